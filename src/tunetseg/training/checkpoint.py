"""Checkpoints as safetensors: never unpickled, in two generations, and a kill while writing loses nothing."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open

from tunetseg.errors import InputError
from tunetseg.io.seal import SEAL, check_seal
from tunetseg.models.store import write_tensors

__all__ = ["LAST", "PREVIOUS", "SafeCheckpoints", "find_checkpoint", "remove_checkpoints", "remove_damaged"]

_LOG = logging.getLogger(__name__)

LAST = "last.safetensors"
"""Name of the checkpoint in the folder of a stage."""

PREVIOUS = "previous.safetensors"
"""Name of the checkpoint before it."""


def find_checkpoint(folder: Path) -> Path | None:
    """Return the latest checkpoint of a stage, if there is one."""
    return next((folder / name for name in (LAST, PREVIOUS) if (folder / name).exists()), None)


def remove_damaged(folder: Path) -> None:
    """Delete the checkpoints of a stage that cannot be read whole, and say so, up to the first that can.

    The stage then continues from the one before, or from its start; it ends with the same weights. What a kill left
    half written is deleted too.
    """
    for partial in folder.glob(".*.safetensors"):
        partial.unlink(missing_ok=True)
    while (path := find_checkpoint(folder)) is not None:
        try:
            SafeCheckpoints().load_checkpoint(path)
        except InputError as fault:
            path.unlink()
            before = find_checkpoint(folder)
            way = "the start of the stage" if before is None else f"the one before, {before.name}"
            _LOG.warning("%s; continuing from %s", fault, way)
        else:
            return


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a stage that is finished."""
    for name in (LAST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def _flatten(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Return plain data with each tensor replaced by its number in ``tensors``; keys keep their type."""
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
    """Stores Lightning's checkpoint dictionary as one safetensors file with the rest as JSON in its header."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write one file; the earlier one becomes the one before when the new one is complete and on disk."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, torch.Tensor] = {}
        content = _flatten(checkpoint, tensors)
        copies = {name: tensor.clone() for name, tensor in tensors.items()}
        fresh = target.with_name(f".new-{target.name}")
        write_tensors(fresh, copies, "checkpoint", content, durable=True)
        if target.exists():
            os.replace(target, target.with_name(PREVIOUS))
        os.replace(fresh, target)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint back.

        Raises:
            InputError: The file is damaged or not a checkpoint.
        """
        try:
            check_seal(path)
            with safe_open(path, framework="pt") as file:
                plain = json.loads((file.metadata() or {})["checkpoint"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            plain.pop(SEAL, None)
            # Copied, so that where a tensor lies in memory does not depend on the file, by which some kernels round.
            return _rebuild(plain, {name: tensor.clone() for name, tensor in tensors.items()})
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: not a readable checkpoint ({error})") from None

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)
