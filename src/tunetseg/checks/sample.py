"""A coarse copy of a volume, on which checks are fast."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import DatasetDescription
from tunetseg.preparation import Volume

__all__ = ["SEQUENCES", "Sample", "shows_brain", "take_sample"]

SEQUENCES = ("t1", "t1ce", "t2", "flair")
"""Channels of a brain, by the names that descriptions use."""

_SPACING = 3.0
_DEEP_MM = 9.0


@dataclass(frozen=True, eq=False)
class Sample:
    """Every n-th voxel of the channels of a brain, so that voxels are about 3 mm long.

    Args:
        names: Names of the channels.
        array: Shape (channel, x, y, z); background is 0.
        spacing: Voxel sizes in mm.
    """

    names: tuple[str, ...]
    array: NDArray[np.float32]
    spacing: tuple[float, float, float]

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """What is not background, shape (channel, x, y, z)."""
        return self.array != 0

    @cached_property
    def depth(self) -> NDArray[np.float64]:
        """Distance in mm from what is background in any channel, shape (x, y, z)."""
        from scipy import ndimage

        inside = np.pad(self.masks.all(axis=0), 1)
        return ndimage.distance_transform_edt(inside, sampling=self.spacing)[1:-1, 1:-1, 1:-1]

    @cached_property
    def ml(self) -> tuple[float, ...]:
        """Volume of each channel's mask."""
        return tuple(float(mask.sum()) * float(np.prod(self.spacing)) / 1000 for mask in self.masks)

    @cached_property
    def deep(self) -> dict[str, NDArray[np.float64]]:
        """Values of each channel deep in the brain, with mean 0 and variance 1; empty where there are too few."""
        inside = self.depth > _DEEP_MM
        if inside.sum() < 1000:
            return {}
        values = {
            name: channel[inside].astype(np.float64) for name, channel in zip(self.names, self.array, strict=True)
        }
        return {name: (value - value.mean()) / (value.std() or 1.0) for name, value in values.items()}


def shows_brain(description: DatasetDescription) -> bool:
    """Return whether a dataset holds MRI of brains without skull."""
    return description.foreground.kind == "nonzero" and len(set(description.channel_names) & set(SEQUENCES)) >= 3


def take_sample(volume: Volume, description: DatasetDescription) -> Sample | None:
    """Return a coarse copy of a volume, or None where it is not the MRI of a brain.

    Args:
        volume: Its channels in the order of the description.
        description: Names of the channels.
    """
    if not shows_brain(description):
        return None
    names = description.channel_names
    present = [number for number, name in enumerate(names) if name not in volume.missing]
    steps = [max(1, round(_SPACING / size)) for size in volume.grid.spacing]
    # No axis is left with less than eight voxels by it.
    steps = [min(step, max(1, length // 8)) for step, length in zip(steps, volume.grid.shape, strict=True)]
    inner = tuple(slice(step // 2, None, step) for step in steps)
    x, y, z = (step * size for step, size in zip(steps, volume.grid.spacing, strict=True))
    array = volume.array[(slice(None), *inner)]
    return Sample(tuple(names[number] for number in present), array[present], (x, y, z))
