"""Patches of prepared cases: which ones, and how they are cut."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from tunetseg.preparation.cache import CachedCase
from tunetseg.preparation.pack import PackedCase
from tunetseg.training.recipes import Stage
from tunetseg.training.resident import ResidentCase
from tunetseg.training.sampling import Key, generator_of

__all__ = ["TrainingPatches", "ValidationPatches", "collate", "cut", "grid_starts", "paste_lesion"]

Place = tuple[int, ...]
TrainingCase = CachedCase | PackedCase | ResidentCase


def grid_starts(size: int, patch: int) -> list[int]:
    """Return the first voxels of the fewest patches that cover an axis, evenly spread; below 0 for a longer patch."""
    count = max(1, math.ceil(size / patch))
    if count == 1:
        return [(size - patch) // 2]
    return [round(n * (size - patch) / (count - 1)) for n in range(count)]


def _grid(shape: Sequence[int], patch: Sequence[int]) -> list[tuple[Place, Place]]:
    """Return each patch's first voxel, and how many of its voxels along each axis an earlier patch has shown."""
    axes = []
    for size, side in zip(shape, patch, strict=True):
        starts = grid_starts(size, side)
        before = [starts[0] - side, *starts]
        axes.append([(start, last + side - start) for start, last in zip(starts, before, strict=False)])
    return [(tuple(s for s, _ in place), tuple(n for _, n in place)) for place in itertools.product(*axes)]


@overload
def cut(array: NDArray, start: Sequence[int], patch: Sequence[int]) -> NDArray: ...
@overload
def cut(array: Tensor, start: Sequence[int], patch: Sequence[int]) -> Tensor: ...
def cut(array: Any, start: Sequence[int], patch: Sequence[int]) -> Any:
    """Return a patch of an array's or tensor's last three axes; zeros where it reaches outside."""
    sides = array.shape[-3:]
    inside = tuple(slice(max(0, s), min(n, s + p)) for s, n, p in zip(start, sides, patch, strict=True))
    shape = *array.shape[:-3], *patch
    result = array.new_zeros(shape) if isinstance(array, Tensor) else np.zeros(shape, array.dtype)
    target = tuple(slice(i.start - s, i.stop - s) for i, s in zip(inside, start, strict=True))
    everything = (slice(None),) * (array.ndim - 3)
    result[everything + target] = array[everything + inside]
    return result


def paste_lesion(
    image: Tensor, nesting: Tensor, donor_image: Tensor, donor_nesting: Tensor, margin: int
) -> tuple[Tensor, Tensor]:
    """Lay another case's lesion over a patch, where both have foreground.

    After CarveMix (Zhang et al., MICCAI 2021), which carves along the distance to the lesion too.

    Args:
        image: Shape (channel, x, y, z), background 0.
        nesting: Count of nested regions that hold each voxel, shape (x, y, z).
        donor_image: As ``image``.
        donor_nesting: As ``nesting``.
        margin: Voxels around the lesion that come with it.

    Returns:
        Image and nesting of the same shapes.
    """
    carved = (donor_nesting > 0)[None, None].float()
    for _ in range(margin):
        # The neighbours across faces: the largest value along each axis in turn, not of the whole cube.
        sides = ((3, 1, 1), (1, 3, 1), (1, 1, 3))
        x, y, z = (F.max_pool3d(carved, side, 1, [n // 2 for n in side]) for side in sides)
        carved = torch.maximum(torch.maximum(x, y), z)
    inside = (carved[0, 0] > 0) & (image != 0).any(dim=0) & (donor_image != 0).any(dim=0)
    return torch.where(inside, donor_image, image), torch.where(inside, donor_nesting, nesting)


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack arrays into tensors, and keep numbers as a list, which stays on the CPU."""
    return {
        name: torch.stack([sample[name] for sample in samples])
        if isinstance(first, Tensor)
        else [sample[name] for sample in samples]
        for name, first in samples[0].items()
    }


class TrainingPatches(Dataset[dict[str, Any]]):
    """Training patches of one stage.

    Args:
        cases: Prepared at the spacing of the stage; of cases on a device, patches are cut there.
        stage: Patch size, sampling and so on.
        entropy: Of the run; all that is random follows from it, the stage's number and the key of a sample.
        number: Number of the stage.
    """

    def __init__(self, cases: Sequence[TrainingCase], stage: Stage, entropy: Sequence[int], number: int) -> None:
        self.cases = cases
        self.stage = stage
        self.entropy = tuple(entropy)
        self.number = number
        self.grid = (
            [(index, start) for index, case in enumerate(cases) for start, _ in _grid(_shape(case), stage.patch_size)]
            if stage.sampling == "grid"
            else None
        )

    def __len__(self) -> int:
        return len(self.cases) * self.stage.samples_per_case if self.grid is None else len(self.grid)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return a sample.

        Returns:
            ``image``, float16, shape (channel, x, y, z); ``nesting``, the count of nested regions that hold each voxel,
            uint8, shape (x, y, z); ``seed`` of the changes that follow; ``case``, its number.
        """
        generator = generator_of(self.entropy, self.number, key.epoch, key.position)
        patch = self.stage.patch_size
        if self.grid is None:
            index = key.sample % len(self.cases)
            start = _random_start(self.cases[index], self.stage, generator)
        else:
            index, start = self.grid[key.sample]
        image, nesting = _cut_both(self.cases[index], start, patch)
        seed = int(generator.integers(2**62))
        carvemix = self.stage.augmentation.carvemix
        if generator.random() < carvemix.probability:
            donor = self.cases[int(generator.integers(len(self.cases)))]
            there = _random_start(donor, self.stage, generator)
            margin = int(generator.integers(carvemix.margin + 1))
            image, nesting = paste_lesion(image, nesting, *_cut_both(donor, there, patch), margin)
        return {"image": image, "nesting": nesting, "seed": seed, "case": index}


class ValidationPatches(Dataset[dict[str, Any]]):
    """What inference will see of each case: the patches of a grid, or the whole volume where a patch holds it.

    Args:
        cases: Prepared at the spacing of the stage.
        stage: Patch size, and whether it holds whole volumes.
        stride: Sides of a whole volume are padded to multiples of it.
    """

    def __init__(self, cases: Sequence[TrainingCase], stage: Stage, stride: int) -> None:
        self.cases = cases
        self.places: list[tuple[int, Place, Place, Place]] = []
        for index, case in enumerate(cases):
            shape = _shape(case)
            if stage.whole_volume:
                sides = tuple(
                    max(p, math.ceil(n / stride) * stride) for n, p in zip(shape, stage.patch_size, strict=True)
                )
                start = tuple(-((p - n) // 2) for n, p in zip(shape, sides, strict=True))
                self.places.append((index, start, sides, (0, 0, 0)))
            else:
                grid = _grid(shape, stage.patch_size)
                self.places += [(index, start, stage.patch_size, seen) for start, seen in grid]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return a sample.

        Returns:
            ``image``, ``nesting`` and ``case`` as for training; ``seen``, how many of the voxels along x, y, z earlier
            patches have shown.
        """
        index, start, sides, seen = self.places[key.sample]
        image, nesting = _cut_both(self.cases[index], start, sides)
        return {"image": image, "nesting": nesting, "case": index, "seen": seen}


def _shape(case: TrainingCase) -> tuple[int, ...]:
    return tuple(case.nesting.shape)


def _cut_both(case: TrainingCase, start: Place, sides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return a patch of image and nesting, on the device of the case."""
    return torch.as_tensor(cut(case.image, start, sides)), torch.as_tensor(cut(case.nesting, start, sides))


def _levels(case: TrainingCase) -> int:
    """Return how many regions have a voxel in a case."""
    return len(case.voxels) if isinstance(case, ResidentCase) else int(case.nesting.max(initial=0))


def _voxels(case: TrainingCase, level: int) -> NDArray[np.int64]:
    """Return the flat indices of the voxels of a region, from 1."""
    return case.voxels[level - 1] if isinstance(case, ResidentCase) else np.flatnonzero(case.nesting >= level)


def _random_start(case: TrainingCase, stage: Stage, generator: np.random.Generator) -> Place:
    """Return the first voxel of a random patch; it may reach outside where the volume is smaller."""
    shape, patch = _shape(case), stage.patch_size
    room = [(min(0, n - p), max(0, n - p)) for n, p in zip(shape, patch, strict=True)]
    if generator.random() < stage.foreground_probability and (levels := _levels(case)):
        level = int(generator.integers(1, levels + 1))
        centre = np.unravel_index(int(generator.choice(_voxels(case, level))), shape)
        wanted = [int(c) - p // 2 for c, p in zip(centre, patch, strict=True)]
        return tuple(min(max(start, low), high) for start, (low, high) in zip(wanted, room, strict=True))
    return tuple(int(generator.integers(low, high + 1)) for low, high in room)
