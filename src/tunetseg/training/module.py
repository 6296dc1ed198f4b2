"""One stage of training as a Lightning module: read ``training_step`` top to bottom."""

import math
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from tunetseg.errors import InputError
from tunetseg.networks import Cascade
from tunetseg.training.augment import augment
from tunetseg.training.loss import cascade_loss, soft_dice
from tunetseg.training.recipes import Recipe, Stage

__all__ = ["TrainingModule"]


class TrainingModule(lightning.LightningModule):
    """Trains a cascade for one stage of a recipe.

    Args:
        network: Trained in place.
        recipe: Loss, penalty, averaging.
        stage: Schedule and augmentation.
        steps: Optimiser steps that the whole stage will take, for the cosine schedule.
        compiled: Let torch.compile fuse what lies between the convolutions.
    """

    def __init__(self, network: Cascade, recipe: Recipe, stage: Stage, steps: int, *, compiled: bool = False) -> None:
        super().__init__()
        # Channels last is what a CPU's and a GPU's matrix units want; uncompiled, normalising it is slow on a CPU.
        self.layout = torch.channels_last_3d if compiled else torch.contiguous_format
        self.network = network.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.predict = torch.compile(network.forward, dynamic=False) if compiled else network.forward
        self.recipe = recipe
        self.stage = stage
        self.steps = steps
        self.average = AveragedModel(network, multi_avg_fn=self._blend) if recipe.average else None
        self.overlap: dict[int, Tensor] = {}

    @property
    def kept(self) -> Cascade:
        """The network to validate and to keep: the running average where there is one."""
        kept = self.network if self.average is None else self.average.module
        assert isinstance(kept, Cascade)
        return kept

    @torch.no_grad()
    def _blend(self, averages: Any, currents: Any, count: int | Tensor) -> None:
        # A young average forgets faster, or it would be held back by the random start.
        decay = min(self.recipe.average, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averages, currents, 1 - decay)

    def training_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Augment, predict, compare.

        Args:
            batch: ``image``, shape (sample, channel, x, y, z); ``depth``, the count of nested regions that hold a
                voxel, shape (sample, x, y, z); ``seed`` of each sample's changes, shape (sample,).

        Returns:
            ``loss``, and ``dice``, each region's soft Dice for the progress bar, shape (region,).

        Raises:
            InputError: The loss is not finite.
        """
        masks = self._masks(batch["depth"])
        with torch.autocast(self.device.type, enabled=False):
            image, masks = augment(batch["image"], masks, batch["seed"], self.stage.augmentation)
        logits = self.predict(image.contiguous(memory_format=self.layout))
        loss = cascade_loss(logits, masks, self.recipe.cross_entropy)
        if not torch.isfinite(loss):
            raise InputError(
                f"the loss became {loss.item()} at step {self.global_step}; "
                "take a lower learning rate and a new run folder"
            )
        dice = soft_dice(torch.sigmoid(logits.detach().float()), masks)
        shown = {f"train/dice_{region}": value for region, value in zip(self.network.regions, dice, strict=True)}
        self.log_dict({"train/loss": loss, **shown}, on_step=False, on_epoch=True, batch_size=len(image))
        return {"loss": loss, "dice": dice}

    def on_train_batch_end(self, *_: Any) -> None:
        """Let the running average follow."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        """Loss a batch, overlap a case.

        Args:
            batch: ``image`` and ``depth`` as in training; ``case``, the number of each sample's case, shape
                (sample,); ``seen``, how many voxels along x, y, z an earlier patch has shown, shape (sample, 3).
        """
        masks = self._masks(batch["depth"])
        logits = self.kept(batch["image"])
        self.log("val/loss", cascade_loss(logits, masks, self.recipe.cross_entropy), batch_size=len(masks))
        places = zip(batch["case"].tolist(), batch["seen"].tolist(), strict=True)
        for (case, (x, y, z)), found, true in zip(places, logits > 0, masks > 0, strict=True):
            own, truth = found[:, x:, y:, z:], true[:, x:, y:, z:]  # each voxel once, though patches overlap
            counts = torch.stack([mask.sum((1, 2, 3)) for mask in (own & truth, own, truth)], dim=-1).cpu()
            self.overlap[case] = self.overlap.get(case, 0) + counts

    def on_validation_end(self) -> None:
        """Let the plateau schedule see the loss, now, since the epoch's checkpoint must hold what follows from it."""
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(float(self.trainer.callback_metrics["val/loss"]))

    def on_validation_epoch_end(self) -> None:
        """Mean Dice over cases at the working spacing; a region that is absent and not found counts 1."""
        both, found, true = torch.stack(list(self.overlap.values())).float().unbind(-1)
        dice = torch.where(found + true > 0, 2 * both / (found + true).clamp(min=1), 1.0).mean(0)
        self.overlap.clear()
        for region, value in zip(self.network.regions, dice, strict=True):
            self.log(f"val/dice_{region}", value)

    def configure_optimizers(self) -> Any:
        """Adam with the L2 penalty on kernels only (paper, 3.1).

        The penalty is Keras': ``l2`` times the sum of squares, whose gradient is Adam's ``weight_decay`` of
        twice that. Heads, normalisation, squeeze-and-excitation and biases are left out.
        """
        heads = {id(head.weight) for head in self.network.heads}
        kernels = [m.weight for m in self.network.modules() if isinstance(m, nn.Conv3d) and id(m.weight) not in heads]
        chosen = {id(kernel) for kernel in kernels}
        others = [parameter for parameter in self.network.parameters() if id(parameter) not in chosen]
        groups = [
            {"params": kernels, "weight_decay": 2 * self.recipe.l2},
            {"params": others, "weight_decay": 0.0},
        ]
        # Keras' epsilon; PyTorch's own is 1e-8.
        optimizer = torch.optim.Adam(groups, lr=self.stage.learning_rate, betas=(0.9, 0.999), eps=1e-7)
        if self.stage.schedule == "plateau":
            plateau = ReduceLROnPlateau(
                optimizer,
                factor=self.stage.plateau_factor,
                # Keras' patience counts the epoch that acts, PyTorch's does not.
                patience=self.stage.plateau_patience - 1,
                threshold=1e-4,
                threshold_mode="abs",
            )
            never = self.stage.epochs + 1  # by Lightning, which would do it after the checkpoint: on_validation_end
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss", "frequency": never},
            }
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self._cosine), "interval": "step"},
        }

    def _cosine(self, step: int) -> float:
        if step < self.stage.warmup:
            return (step + 1) / self.stage.warmup
        done = (step - self.stage.warmup) / max(1, self.steps - self.stage.warmup)
        last = self.stage.final_rate
        return last + (1 - last) * (1 + math.cos(math.pi * min(1.0, done))) / 2

    def _masks(self, depth: Tensor) -> Tensor:
        """Region masks, float32, shape (batch, region, x, y, z)."""
        return torch.stack([depth > level for level in range(len(self.network.regions))], dim=1).float()
