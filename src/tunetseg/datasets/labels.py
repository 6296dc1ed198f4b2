"""Nested regions and the label values that a dataset writes them with."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.errors import InputError

__all__ = ["LabelScheme", "count_labels", "nested", "present_labels", "recognise_labels"]


@dataclass(frozen=True)
class LabelScheme:
    """How nested regions are written as integers in a label map.

    Regions are listed from the outermost to the innermost; each lies inside the one before it.

    Args:
        name: Key, such as ``brats2017``.
        regions: Region name -> the label values that belong to it, outermost first.
        exclusive_labels: For each region, the value written where a voxel is in it and in no deeper one.
        values: Label value -> meaning.

    Raises:
        ValueError: The regions are not nested.

    Examples:
        >>> scheme = LabelScheme("kits", {"kidney": (1, 2), "tumour": (2,)}, (1, 2), {1: "kidney", 2: "tumour"})
        >>> scheme.masks(np.array([[[0, 1, 2]]]))[:, 0, 0].tolist()
        [[False, True, True], [False, False, True]]
        >>> scheme.merge(np.array([[[[0, 1, 0]]], [[[0, 0, 1]]]], bool)).ravel().tolist()
        [0, 1, 2]
    """

    name: str
    regions: dict[str, tuple[int, ...]]
    exclusive_labels: tuple[int, ...]
    values: dict[int, str]

    def __post_init__(self) -> None:
        """Check that the regions are nested and every written value is a known one."""
        sets = [set(labels) for labels in self.regions.values()]
        names = list(self.regions)
        for n, (outer, inner) in enumerate(itertools.pairwise(sets)):
            if not inner < outer:
                raise ValueError(f"region {names[n + 1]!r} must lie inside region {names[n]!r}")
        if len(self.exclusive_labels) != len(sets):
            raise ValueError(f"{len(sets)} regions but exclusive labels {self.exclusive_labels}")
        unknown = sorted(set().union(*sets) - set(self.values))
        if unknown:
            raise ValueError(f"labels {unknown} of regions are not among the values {sorted(self.values)}")
        for level, value in enumerate(self.exclusive_labels):
            if value not in sets[level] or any(value in inner for inner in sets[level + 1 :]):
                raise ValueError(f"label {value} is not exclusive to region {names[level]!r}")

    @property
    def region_names(self) -> tuple[str, ...]:
        """Names of the regions, outermost first."""
        return tuple(self.regions)

    def check(self, present: Iterable[int], source: str) -> None:
        """Raise InputError if a value is neither background nor one of the scheme's.

        Args:
            present: Label values of a label map.
            source: File or case, named in the error.
        """
        unknown = sorted(set(present) - {0} - set(self.values))
        if unknown:
            raise InputError(
                f"{source}: label values {unknown} do not exist in {self.name}, which has {sorted(self.values)}; "
                "name the dataset whose label values these are, or repair the file"
            )

    def nesting(self, label_map: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Return how many of the nested regions hold each voxel.

        Args:
            label_map: Integers from 0 up, any shape.

        Returns:
            uint8 of the same shape: 0 outside, 1 in the outermost region only, and so on.

        Raises:
            InputError: A value is not a label of this scheme.
        """
        table = np.zeros(max(self.values) + 1, np.uint8)
        for labels in self.regions.values():
            table[list(labels)] += 1
        self.check(present_labels(label_map), "label map")
        return table[label_map]

    def masks(self, label_map: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return the region masks of a label map.

        Args:
            label_map: Integers from 0 up, shape (x, y, z).

        Returns:
            Booleans, shape (region, x, y, z), outermost region first.

        Raises:
            InputError: A value is not a label of this scheme.
        """
        nesting = self.nesting(label_map)
        return np.stack([nesting > level for level in range(len(self.regions))])

    def merge(self, masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the label map of region masks; a voxel of an inner region lies in all outer ones too.

        Args:
            masks: Booleans, shape (region, x, y, z), outermost region first.

        Returns:
            uint8 label values, shape (x, y, z).
        """
        return self.label_map(nested(masks).sum(axis=0, dtype=np.uint8))

    def label_map(self, nesting: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the label values of a nesting, the inverse of `nesting` up to labels that share a region."""
        return np.array((0, *self.exclusive_labels), np.uint8)[nesting]


def present_labels(label_map: NDArray[np.integer]) -> list[int]:
    """Return the values that a label map holds, sorted.

    Args:
        label_map: Integers from 0 up, any shape.
    """
    if label_map.dtype == np.uint8:
        return np.flatnonzero(count_labels(label_map)).tolist()
    return np.unique(label_map).tolist()


def count_labels(label_map: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return how many voxels of a label map have each value from 0 to 255, shape (256,)."""
    values = label_map.ravel(order="K")
    counts = np.zeros(256, np.int64)
    for begin in range(0, len(values), 2**18):  # NumPy makes a copy of eight bytes per voxel
        counts += np.bincount(values[begin : begin + 2**18], minlength=256)
    return counts


def nested(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return masks in which a voxel of an inner region lies in all outer ones too.

    The other way to enforce nesting, removing what lies outside an outer region, loses what an inner network found
    where an outer one did not; ``docs/results.md`` has what that cost. The paper does not say which it took.

    Args:
        masks: Booleans, shape (region, x, y, z), outermost region first.

    Returns:
        Booleans of the same shape.
    """
    result = masks.copy()
    for level in reversed(range(len(result) - 1)):  # many times faster than NumPy's accumulate
        result[level] |= result[level + 1]
    return result


def recognise_labels(present: Iterable[int], candidates: Sequence[LabelScheme], source: str) -> LabelScheme:
    """Return the first of some schemes that has all values of a label map.

    Args:
        present: Values of one label map or of a whole cohort.
        candidates: In order of preference.
        source: File or cohort, named in the error.

    Raises:
        InputError: No candidate has all values.

    Examples:
        >>> from tunetseg.datasets import find_description
        >>> schemes = [find_description(name).scheme for name in ("brats2017", "brats2023")]
        >>> recognise_labels([0, 1, 3], schemes, "case").name
        'brats2023'
    """
    values = set(present) - {0}
    for scheme in candidates:
        if values <= set(scheme.values):
            return scheme
    known = ", ".join(f"{scheme.name} has {sorted(scheme.values)}" for scheme in candidates)
    raise InputError(
        f"{source}: label values {sorted(values)} fit none of the conventions in question ({known}); "
        "name the dataset whose label values these are"
    )
