"""Nested regions and the label values that each dataset writes them with."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.errors import InputError

__all__ = ["LabelScheme", "nested"]


@dataclass(frozen=True)
class LabelScheme:
    """How one dataset writes nested regions as integers in a label map.

    Regions are listed from the outermost to the innermost; each lies inside the one before it.

    Args:
        name: Key of the scheme, such as ``brats2019``.
        regions: Region name -> the label values that belong to it, outermost first.
        shells: For each region, the value written where a voxel is in it and in no deeper one.
        values: Label value -> what it means, for people.

    Examples:
        >>> scheme = LabelScheme("kits", {"kidney": (1, 2), "tumour": (2,)}, (1, 2), {1: "kidney", 2: "tumour"})
        >>> scheme.masks(np.array([[[0, 1, 2]]]))[:, 0, 0].tolist()
        [[False, True, True], [False, False, True]]
        >>> scheme.merge(np.array([[[[0, 1, 0]]], [[[0, 0, 1]]]], bool)).ravel().tolist()
        [0, 1, 2]
    """

    name: str
    regions: dict[str, tuple[int, ...]]
    shells: tuple[int, ...]
    values: dict[int, str]

    def __post_init__(self) -> None:
        """Check that the regions are nested and every written value is a known one."""
        sets = [set(labels) for labels in self.regions.values()]
        if any(not inner < outer for outer, inner in itertools.pairwise(sets)):
            raise ValueError(f"label scheme {self.name}: each region must lie inside the one before it")
        if len(self.shells) != len(sets):
            raise ValueError(f"label scheme {self.name}: {len(sets)} regions but shells {self.shells}")
        for depth, value in enumerate(self.shells):
            if value not in sets[depth] or any(value in inner for inner in sets[depth + 1 :]):
                raise ValueError(f"label scheme {self.name}: shell {value} is not exactly in region {depth}")

    @property
    def region_names(self) -> tuple[str, ...]:
        """Region names, outermost first."""
        return tuple(self.regions)

    def check(self, present: Iterable[int], source: str) -> None:
        """Raise InputError if a value is neither background nor one of the scheme's.

        Args:
            present: Label values found in a label map.
            source: File or case, for the message.
        """
        unknown = sorted(set(present) - {0} - set(self.values))
        if unknown:
            raise InputError(
                f"{source}: label values {unknown} do not exist in {self.name}, which has "
                f"{sorted(self.values)}; if it is another year's, name that with --labels "
                "(a prediction's alone with --prediction-labels), else repair the file"
            )

    def depth(self, label_map: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Count of nested regions that hold each voxel.

        Args:
            label_map: Integers, any shape.

        Returns:
            uint8 of the same shape: 0 outside, 1 in the outermost region only, and so on.

        Raises:
            InputError: A value is no label of this scheme.
        """
        table = np.zeros(max(self.values) + 1, np.uint8)
        for labels in self.regions.values():
            table[list(labels)] += 1
        self.check(np.unique(label_map).tolist(), "label map")
        return table[label_map]

    def masks(self, label_map: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Region masks of a label map.

        Args:
            label_map: Integers, shape (x, y, z).

        Returns:
            Booleans, shape (region, x, y, z), outermost region first.

        Raises:
            InputError: A value is no label of this scheme.
        """
        depth = self.depth(label_map)
        return np.stack([depth > level for level in range(len(self.regions))])

    def merge(self, masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Label map of region masks, with nesting enforced: a voxel of an inner region lies in all outer ones too.

        Args:
            masks: Booleans, shape (region, x, y, z), outermost region first.

        Returns:
            uint8 label values, shape (x, y, z).
        """
        depth = nested(masks).sum(axis=0, dtype=np.uint8)
        return np.array((0, *self.shells), np.uint8)[depth]


def nested(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Masks in which a voxel of an inner region lies in all outer ones too.

    The other way to enforce nesting, taking away what lies outside an outer region, loses what an inner network found
    where an outer one did not; ``docs/results.md`` has what that cost. The paper does not say which it took.

    Args:
        masks: Booleans, shape (region, x, y, z), outermost region first.

    Returns:
        Booleans of the same shape.
    """
    return np.logical_or.accumulate(masks[::-1], axis=0)[::-1]
