"""A few slices of validation cases with what the network finds in them, kept with the logs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from numpy.typing import NDArray

from tunetseg.io.files import whole_file
from tunetseg.training.module import TrainingModule

__all__ = ["Samples"]

_CASES = 4


class Samples(lightning.Callback):
    """Keeps one axial slice of each of the first validation cases, from the patch with the most of the outer region.

    Each validation replaces what the last one left. Nothing is predicted for it: it takes what the validation finds.

    Args:
        path: The file, with ``image``, uint8, shape (case, channel, x, y), ``reference`` and ``prediction``, uint8,
            counts of regions that hold a pixel, shape (case, x, y), ``cases``, ``channels`` and ``epoch``.
        cases: Names of the validation cases.
    """

    def __init__(self, path: Path, cases: Sequence[str]) -> None:
        self.path = path
        self.cases = tuple(cases)
        self.kept: dict[int, tuple[int, dict[str, NDArray[np.uint8]]]] = {}

    def on_validation_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Forget the last validation."""
        self.kept = {}

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a slice of each patch that shows more of its case than earlier ones."""
        for place, case in enumerate(batch["case"]):
            if case >= _CASES or not trainer.is_global_zero:
                continue
            per_slice = (batch["nesting"][place] > 0).sum((0, 1))
            level = int(per_slice.argmax())
            amount = int(per_slice.sum())
            if case in self.kept and self.kept[case][0] >= amount:
                continue
            if not amount:
                level = len(per_slice) // 2
            found = {
                "image": _grey(batch["image"][place, ..., level]),
                "reference": _array(batch["nesting"][place, ..., level]),
                "prediction": _array(outputs[place, ..., level].sum(0)),
            }
            self.kept[case] = amount, found

    def on_validation_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write the file."""
        if not self.kept or not trainer.is_global_zero:
            return
        assert isinstance(module, TrainingModule)
        shown = [found for _, (_, found) in sorted(self.kept.items())]
        # Whole volumes differ in size; what is smaller than the largest is filled up with background.
        sides = [max(one["reference"].shape[axis] for one in shown) for axis in (0, 1)]
        arrays: dict[str, Any] = {name: np.stack([_padded(one[name], sides) for one in shown]) for name in shown[0]}
        with whole_file(self.path) as partial:
            np.savez_compressed(
                partial,
                cases=np.array([self.cases[case] for case in sorted(self.kept)]),
                channels=np.array(module.channels),
                epoch=np.array(trainer.current_epoch + (trainer.state.fn == "fit")),
                **arrays,
            )


def _array(values: torch.Tensor) -> NDArray[np.uint8]:
    return values.to(torch.uint8).cpu().numpy()


def _grey(image: torch.Tensor) -> NDArray[np.uint8]:
    """Return each channel of a slice, shape (channel, x, y), from 0, background, to 255, its 99.5th percentile."""
    array = image.float().cpu().numpy()
    grey = np.zeros(array.shape, np.uint8)
    for channel, values in enumerate(array):
        inside = values[values != 0]
        if inside.size:
            low, high = inside.min(), np.percentile(inside, 99.5)
            scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 254 + 1
            grey[channel] = np.where(values != 0, scaled, 0)
    return grey


def _padded(array: NDArray[np.uint8], sides: Sequence[int]) -> NDArray[np.uint8]:
    lacking = [side - length for side, length in zip(sides, array.shape[-2:], strict=True)]
    around = [(0, 0)] * (array.ndim - 2) + [(lack // 2, lack - lack // 2) for lack in lacking]
    return np.pad(array, around)
