"""Checkpoints as safetensors: never unpickled, and a kill while writing loses nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open

from tunetseg.errors import InputError
from tunetseg.models.store import write_tensors
from tunetseg.training.module import TrainingModule
from tunetseg.training.patches import EpochSampler

__all__ = ["SafeCheckpoints", "SaveEachEpoch"]


def _flatten(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Plain data with each tensor replaced by its number in ``tensors``; keys keep their type."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _flatten(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_flatten(item, tensors) for item in value]}
    return {"plain": value}


def _rebuild(value: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _rebuild(item, tensors) for key, item in content}
    if kind == "list":
        return [_rebuild(item, tensors) for item in content]
    return content


class SafeCheckpoints(CheckpointIO):
    """Writes Lightning's checkpoint dictionary as one safetensors file with the rest as JSON in its header."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write one file; the old one stands until the new is whole and on disk."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, torch.Tensor] = {}
        plain = json.dumps(_flatten(checkpoint, tensors))
        copies = {name: tensor.clone() for name, tensor in tensors.items()}
        write_tensors(target, copies, {"checkpoint": plain}, durable=True)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint back.

        Raises:
            InputError: The file is damaged or no checkpoint.
        """
        try:
            with safe_open(path, framework="pt") as file:
                plain = json.loads((file.metadata() or {})["checkpoint"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{path}: not a readable checkpoint ({error}); delete it to begin its stage anew"
            ) from None
        return _rebuild(plain, tensors)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


class SaveEachEpoch(lightning.Callback):
    """Writes ``last.ckpt`` after each epoch, and the kept weights whenever the validation loss is the lowest yet.

    Args:
        folder: Of the stage.
        export: Writes the kept weights to a path.
        sampler: Of the training patches.
    """

    def __init__(self, folder: Path, export: Callable[[TrainingModule, Path], None], sampler: EpochSampler) -> None:
        self.folder = folder
        self.export = export
        self.sampler = sampler
        self.lowest = float("inf")

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Compare this validation's loss with the lowest."""
        loss = float(trainer.callback_metrics["val/loss"])
        if loss < self.lowest:
            self.lowest = loss
            assert isinstance(module, TrainingModule)
            self.export(module, self.folder / "best.safetensors")

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Save everything that resuming needs."""
        trainer.save_checkpoint(self.folder / "last.ckpt")

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Tell the sampler its epoch now: the loader's processes ask for patches before Lightning tells it."""
        self.sampler.set_epoch(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])

    def state_dict(self) -> dict[str, Any]:
        """Kept in the checkpoint."""
        return {"lowest": self.lowest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Taken from the checkpoint."""
        self.lowest = state["lowest"]
