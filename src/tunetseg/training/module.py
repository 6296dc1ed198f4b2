"""One stage of training as a Lightning module: read ``training_step`` from top to bottom."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from tunetseg.networks import SegmentationNetwork
from tunetseg.networks.protocol import LossTerms
from tunetseg.training.graphs import capture
from tunetseg.training.loss import RegionLoss, soft_dice
from tunetseg.training.recipes import Recipe, Stage
from tunetseg.training.sampling import generator_of
from tunetseg.training.transforms import augment

__all__ = ["TrainingModule"]


class TrainingModule(lightning.LightningModule):
    """Trains a network for one stage of a recipe.

    Args:
        network: Trained in place.
        recipe: Loss, penalty, moving average.
        stage: Schedule and augmentation.
        steps: Optimiser steps of the whole stage, for the cosine schedule.
        compiled: Use ``torch.compile``.
        channels_last: Store activations with the channels last; always so where compiled.
        cuda_graphs: Capture the network's passes at the first step, and replay them.
        channels: Names of the channels, for augmentation that names them.
        entropy: Of the run; what a network draws itself, as dropout does, follows from it, stage and step.
        number: Number of the stage.
        validation_cases: Number of cases that are validated on.

    Attributes:
        time_fraction: Share of the stage's time that is spent, 0 to 1, where it has a time budget. The schedule then
            follows the larger of this and the share of steps.
        scores: Loss and Dice per region of the latest validation.
    """

    # A process may have no validation case where there are more processes than cases.
    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self,
        network: SegmentationNetwork,
        recipe: Recipe,
        stage: Stage,
        steps: int,
        *,
        compiled: bool = False,
        channels_last: bool = False,
        cuda_graphs: bool = False,
        channels: Sequence[str] = (),
        entropy: Sequence[int] = (0,),
        number: int = 0,
        validation_cases: int = 0,
    ) -> None:
        super().__init__()
        # Channels last is what the matrix units of CPUs and GPUs want; uncompiled, normalising it is slow on a CPU.
        self.layout = torch.channels_last_3d if compiled or channels_last else torch.contiguous_format
        self.network = network.train().to(memory_format=self.layout)  # type: ignore[call-overload]
        # Lightning's EMAWeightAveraging copies the whole module, has no warm-up, and waits for the device at each step.
        self.average = copy.deepcopy(network).requires_grad_(False) if recipe.ema_decay else None
        self.loss_terms = torch.compile(network.loss_terms, dynamic=False) if compiled else network.loss_terms
        self.criterion = torch.compiler.disable(RegionLoss(recipe.bce_weight).__call__)
        self.recipe, self.stage, self.steps = recipe, stage, steps
        self.channels, self.entropy, self.number = tuple(channels), tuple(entropy), number
        self.validation_cases = validation_cases
        self.to_capture = cuda_graphs
        self.time_fraction = 0.0
        self.scores: dict[str, Any] = {}
        self.epoch_sums = torch.zeros(0)
        self.validation_loss = self.overlap = torch.zeros(0)

    @property
    def kept(self) -> SegmentationNetwork:
        """The network to validate and to keep: the moving average where there is one."""
        return self.network if self.average is None else self.average

    @property
    def done(self) -> float:
        """Share of the stage that is done, by steps or by time, 0 to 1."""
        return min(1.0, max(self.global_step / self.steps, self.time_fraction))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Set the learning rate, augment, predict, compare.

        Args:
            batch: ``image``, shape (sample, channel, x, y, z); ``nesting``, the count of nested regions that hold each
                voxel, shape (sample, x, y, z); ``seed``, one per sample, of its augmentation.
            batch_idx: Number of the batch in its epoch.

        Returns:
            The loss.
        """
        if self.stage.schedule == "cosine":
            for group in self.trainer.optimizers[0].param_groups:
                group["lr"] = self.learning_rate(self.global_step)
        torch.manual_seed(self._seed(batch_idx))  # of dropout, and of whatever else a network draws
        image, masks = batch["image"].float(), self._masks(batch["nesting"])
        with torch.autocast(self.device.type, enabled=False):
            image, masks = augment(image, masks, batch["seed"], self.stage.augmentation, self.channels)
        result = self.terms(image, masks)
        loss = result.total
        with torch.no_grad():
            dice = soft_dice(torch.sigmoid(result.logits.detach().float()), masks)
            self.epoch_sums += torch.cat([torch.ones_like(dice[:1]), loss.detach().float().reshape(1), dice])
        return loss

    def terms(self, image: Tensor, masks: Tensor) -> LossTerms:
        """Return logits and loss terms of a batch as it is, in the memory layout and in the way asked for."""
        image = image.contiguous(memory_format=self.layout)
        if self.to_capture:
            capture(self.network, image)
            self.to_capture = False
        result = self.loss_terms(image, masks, self.criterion)
        assert isinstance(result, LossTerms)
        return result

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of ``cosine`` at a step: a linear rise, then half a cosine.

        Where the stage has a time budget, the rise ends after a tenth of the time at the latest.
        """
        peak, least, warmup = self.stage.learning_rate, self.stage.min_lr_ratio, self.stage.warmup_steps
        rise = max((step + 1) / warmup, 10 * self.time_fraction) if warmup else 1.0
        by_steps = (step - warmup) / max(1, self.steps - warmup)
        done = min(1.0, max(0.0, by_steps, self.time_fraction))
        return peak * min(1.0, rise) * (least + (1 - least) * (1 + math.cos(math.pi * done)) / 2)

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Step, and let the moving average follow."""
        step = self.global_step
        super().optimizer_step(*arguments, **options)
        if self.average is not None:
            # A young average forgets faster, or the random start would hold it back.
            decay = min(self.recipe.ema_decay, (1 + step) / (10 + step)) if step else 0.0
            with torch.no_grad():
                follow = get_ema_multi_avg_fn(decay)
                follow([*self.average.parameters()], [*self.network.parameters()], step)
                for average, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
                    average.copy_(current)

    def on_train_epoch_start(self) -> None:
        """Begin the sums of the epoch: batches, loss, Dice of each region."""
        self.epoch_sums = torch.zeros(2 + len(self.network.regions), device=self.device)

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch."""
        for name, value in self.epoch_means().items():
            self.log(f"train/{name}", value)
        self.log("learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])

    def epoch_means(self) -> dict[str, float]:
        """Return the mean loss and soft Dice of the epoch so far."""
        count, *sums = self.epoch_sums.tolist()
        names = ("loss", *(f"dice_{region}" for region in self.network.regions))
        return {name: value / max(count, 1) for name, value in zip(names, sums, strict=True)}

    def on_validation_epoch_start(self) -> None:
        """Begin the sums of the validation."""
        self.validation_loss = torch.zeros(2, device=self.device)
        shape = self.validation_cases, 3, len(self.network.regions)
        self.overlap = torch.zeros(shape, dtype=torch.int64, device=self.device)

    def validation_step(self, batch: dict[str, Any]) -> Tensor:
        """Add a batch to the loss, and to the overlap of each case.

        Args:
            batch: ``image`` and ``nesting`` as in training; ``case``, the number of each sample's case; ``seen``, how
                many voxels along x, y, z earlier patches have shown.

        Returns:
            Where each region was found, bool, shape (sample, region, x, y, z).
        """
        masks = self._masks(batch["nesting"])
        logits = self.kept(batch["image"].float())
        loss = RegionLoss(self.recipe.bce_weight, across_processes=False)(logits, masks)
        self.validation_loss += torch.stack([loss, torch.ones_like(loss)]) * len(masks)
        found = logits > 0
        for case, (x, y, z), one, true in zip(batch["case"], batch["seen"], found, masks > 0, strict=True):
            predicted, reference = one[:, x:, y:, z:], true[:, x:, y:, z:]  # each voxel once, though patches overlap
            self.overlap[case] += torch.stack(
                [mask.sum((1, 2, 3)) for mask in (predicted & reference, predicted, reference)]
            )
        return found

    def on_validation_epoch_end(self) -> None:
        """Compute and log the scores: mean loss, and mean Dice over the cases at the working spacing."""
        total, count = self._over_processes(self.validation_loss).tolist()
        both, predicted, reference = self._over_processes(self.overlap).float().unbind(1)
        # A region that is absent and not predicted counts 1.
        dice = torch.where(predicted + reference > 0, 2 * both / (predicted + reference).clamp(min=1), 1.0).mean(0)
        self.scores = {"loss": total / count, "dice": dict(zip(self.network.regions, dice.tolist(), strict=True))}
        self.log("val/loss", self.scores["loss"])
        for region, value in self.scores["dice"].items():
            self.log(f"val/dice_{region}", value)

    def on_validation_end(self) -> None:
        """Let the plateau schedule see the loss now: the checkpoint of the epoch must hold what follows from it."""
        if self.trainer.state.fn == "fit" and isinstance(plateau := self.lr_schedulers(), ReduceLROnPlateau):
            plateau.step(self.scores["loss"])

    def configure_optimizers(self) -> Any:
        """Return Adam with the L2 penalty of the network's parameter groups (paper, 3.1), and the plateau schedule."""
        groups = self.network.parameter_groups(self.recipe.l2)
        # Keras' epsilon; PyTorch's own is 1e-8.
        optimizer = torch.optim.Adam(groups, lr=self.stage.learning_rate, betas=(0.9, 0.999), eps=1e-7)
        if self.stage.schedule == "cosine":
            return optimizer
        plateau = ReduceLROnPlateau(
            optimizer,
            factor=self.stage.plateau_factor,
            # Keras' patience counts the epoch that acts, PyTorch's does not.
            patience=self.stage.plateau_patience - 1,
            threshold=1e-4,
            threshold_mode="abs",
        )
        # Lightning keeps its state but would step it after the checkpoint: on_validation_end does so before.
        never = self.stage.epochs + 1
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss", "frequency": never},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the sums of an epoch that is not over, and the time that is spent."""
        checkpoint["epoch_sums"] = self.epoch_sums
        checkpoint["time_fraction"] = self.time_fraction

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back."""
        self.epoch_sums = checkpoint["epoch_sums"].to(self.device)
        self.time_fraction = checkpoint["time_fraction"]

    def _seed(self, batch_idx: int) -> int:
        key = self.number, self.current_epoch, batch_idx, self.global_rank
        return int(generator_of(self.entropy, *key).integers(2**63))

    def _over_processes(self, values: Tensor) -> Tensor:
        total = self.trainer.strategy.reduce(values, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def _masks(self, nesting: Tensor) -> Tensor:
        """Return the region masks, float32, shape (batch, region, x, y, z)."""
        return torch.stack([nesting > level for level in range(len(self.network.regions))], dim=1).float()
