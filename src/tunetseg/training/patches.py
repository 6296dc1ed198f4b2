"""Patches of prepared cases: which, in what order, and cut how."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.utils.data import Dataset, Sampler

from tunetseg.preparation.cache import CachedCase
from tunetseg.training.recipes import Stage

__all__ = ["EpochSampler", "PatchDataset", "cut", "grid_starts", "paste_tumour"]


def grid_starts(size: int, patch: int) -> list[int]:
    """First voxels of the fewest patches that cover an axis, evenly spread; below 0 where the patch is longer."""
    count = max(1, math.ceil(size / patch))
    if count == 1:
        return [(size - patch) // 2]
    return [round(n * (size - patch) / (count - 1)) for n in range(count)]


def _grid_steps(size: int, patch: int) -> list[tuple[int, int]]:
    """Each patch's first voxel along an axis, and how many of its voxels the patch before it had."""
    starts = grid_starts(size, patch)
    before = [starts[0] - patch, *starts]
    return [(start, last + patch - start) for start, last in zip(starts, before, strict=False)]


def cut(array: NDArray, start: tuple[int, ...], patch: tuple[int, ...]) -> NDArray:
    """Patch of an array's last three axes; zeros where it reaches outside."""
    sides = array.shape[-3:]
    inside = tuple(slice(max(0, s), min(n, s + p)) for s, n, p in zip(start, sides, patch, strict=True))
    result = np.zeros((*array.shape[:-3], *patch), array.dtype)
    place = tuple(slice(i.start - s, i.stop - s) for i, s in zip(inside, start, strict=True))
    everything = (slice(None),) * (array.ndim - 3)
    result[everything + place] = array[everything + inside]
    return result


def paste_tumour(
    image: NDArray, depth: NDArray, donor_image: NDArray, donor_depth: NDArray, steps: int
) -> tuple[NDArray, NDArray]:
    """Lay a donor's tumour over a patch, where both have brain; healthy tissue and tumours are thus paired anew.

    After CarveMix (Zhang et al., MICCAI 2021), which carves along the distance to the tumour too.

    Args:
        image: Shape (channel, x, y, z), background 0.
        depth: Count of nested regions that hold a voxel, shape (x, y, z).
        donor_image: As ``image``.
        donor_depth: As ``depth``.
        steps: Voxels around the tumour that come along.
    """
    carved = donor_depth > 0
    if steps:
        carved = ndimage.binary_dilation(carved, iterations=steps)
    carved &= image.any(axis=0) & donor_image.any(axis=0)
    return np.where(carved, donor_image, image), np.where(carved, donor_depth, depth)


class EpochSampler(Sampler[tuple[int, int]]):
    """Names each sample by epoch and position, so that what is drawn depends on nothing else.

    A run that is killed and resumed at an epoch thus draws what it would have drawn.
    """

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Told by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.samples

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, position) for position in range(self.samples))


class PatchDataset(Dataset[dict[str, Any]]):
    """Training or validation patches of one stage.

    Args:
        cases: Prepared at the stage's spacing.
        stage: Patch, sampling and so on.
        stride: Sides of a whole volume are padded to multiples of it.
        seed: Everything random follows from it, the epoch and the position.
        training: False: nothing random; what inference will see: the grid's patches, or whole volumes where the
            stage's patch holds them.
    """

    def __init__(self, cases: list[CachedCase], stage: Stage, stride: int, seed: int, *, training: bool) -> None:
        self.cases = cases
        self.stage = stage
        self.stride = stride
        self.seed = seed
        self.training = training
        self.by_grid = stage.sampling == "grid" or not (training or stage.whole_volume)
        self.grid = [
            (index, tuple(start for start, _ in place), tuple(seen for _, seen in place))
            for index, case in enumerate(cases)
            for place in itertools.product(*map(_grid_steps, case.depth.shape, stage.patch))
        ]

    def __len__(self) -> int:
        if self.by_grid:
            return len(self.grid)
        return len(self.cases) * (self.stage.samples_per_case if self.training else 1)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Image, depth, seed and case number of a sample; shapes (channel, x, y, z) and (x, y, z).

        ``seen`` counts the voxels along each axis that the grid's patch before has shown already.
        """
        epoch, position = key
        generator = np.random.default_rng((self.seed, epoch, position))
        if self.training:
            position = int(np.random.default_rng((self.seed, epoch)).permutation(len(self))[position])
        patch: tuple[int, ...] = self.stage.patch
        start: tuple[int, ...]
        seen: tuple[int, ...] = (0, 0, 0)
        if self.by_grid:
            index, start, seen = self.grid[position]
        else:
            index = position % len(self.cases)
            sides = self.cases[index].depth.shape
            if self.training:
                start = self._draw(self.cases[index], generator)
            else:
                patch = self._whole(sides)
                start = tuple((n - p) // 2 for n, p in zip(sides, patch, strict=True))
        case = self.cases[index]
        seed = int(generator.integers(2**62))
        image, depth = cut(case.image, start, patch), cut(case.depth, start, patch)
        if self.training and generator.random() < self.stage.augmentation.paste:
            donor = self.cases[int(generator.integers(len(self.cases)))]
            place = self._draw(donor, generator)
            steps = int(generator.integers(4))
            image, depth = paste_tumour(
                image, depth, cut(donor.image, place, patch), cut(donor.depth, place, patch), steps
            )
        return {
            "image": torch.from_numpy(image.astype(np.float32)),
            "depth": torch.from_numpy(depth),
            "seed": seed,
            "case": index,
            "seen": torch.tensor(seen),
        }

    def _whole(self, sides: tuple[int, ...]) -> tuple[int, ...]:
        """The patch, or what a larger volume needs in multiples of the stride."""
        patch = self.stage.patch
        return tuple(max(p, math.ceil(n / self.stride) * self.stride) for n, p in zip(sides, patch, strict=True))

    def _draw(self, case: CachedCase, generator: np.random.Generator) -> tuple[int, ...]:
        """First voxel of a random patch, that may reach outside where the volume is the smaller."""
        depth, patch = case.depth, self.stage.patch
        sides = depth.shape
        if generator.random() < self.stage.tumour_share and depth.any():
            level = int(generator.integers(1, int(depth.max()) + 1))
            voxels = np.flatnonzero(depth >= level)
            centre = np.unravel_index(int(generator.choice(voxels)), sides)
            wanted = [int(c) - p // 2 for c, p in zip(centre, patch, strict=True)]
            return tuple(
                min(max(w, min(0, n - p)), max(0, n - p)) for w, n, p in zip(wanted, sides, patch, strict=True)
            )
        return tuple(
            int(generator.integers(min(0, n - p), max(0, n - p) + 1)) for n, p in zip(sides, patch, strict=True)
        )
