"""A prepared cohort held on a device, so that patches are cut there and no step waits for a copy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunetseg.preparation.cache import CachedCase
from tunetseg.preparation.pack import PackedCase

__all__ = ["ResidentCase", "to_device"]


@dataclass(frozen=True, eq=False)
class ResidentCase:
    """One prepared case on a device.

    Args:
        id: Name of the case.
        image: Normalised, shape (channel, x, y, z).
        nesting: Count of nested regions that hold each voxel, uint8, shape (x, y, z).
        voxels: Of each region, outermost first, the flat indices of its voxels; on the CPU, where places are drawn.
    """

    id: str
    image: Tensor
    nesting: Tensor
    voxels: tuple[NDArray[np.int64], ...]


def to_device(cases: Sequence[CachedCase | PackedCase], device: torch.device) -> list[ResidentCase]:
    """Return prepared cases on a device; a patient of BraTS takes about 4 MB at 2 mm."""
    result = []
    for case in cases:
        nesting = np.ascontiguousarray(case.nesting)
        voxels = tuple(np.flatnonzero(nesting >= level) for level in range(1, int(nesting.max(initial=0)) + 1))
        # A copy: arrays of files are read-only, and their maps must not stay open.
        image = torch.tensor(np.ascontiguousarray(case.image), device=device)
        result.append(ResidentCase(case.id, image, torch.tensor(nesting, device=device), voxels))
    return result
