"""Connected parts of masks: joined by dilation, dropped where small, joined across regions that they touch."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOUCHING", "Parts", "dilate", "find_parts", "join_across", "touching_pairs"]

TOUCHING = np.ones((3, 3, 3), bool)
"""Voxels that share a face, an edge or a corner belong to one component."""

_AROUND = [offset for offset in itertools.product((-1, 0, 1), repeat=3) if 0 < sum(map(abs, offset)) < 3]
"""The 18 neighbours that one dilation along faces and edges reaches."""


def dilate(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Return a mask dilated along faces and edges (18 neighbours), as the BraTS codes do."""
    from scipy import ndimage

    if not steps:
        return mask
    return ndimage.binary_dilation(mask, ndimage.generate_binary_structure(3, 2), iterations=steps)


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of one mask, numbered from 1; 0 is background.

    Args:
        numbers: Part of each voxel of the mask, shape (x, y, z).
        areas: Part of each voxel of the dilated mask, the same shape.
        count: The highest number; not all numbers need to occur.
    """

    numbers: NDArray[np.int32]
    areas: NDArray[np.int32]
    count: int

    def renumber(self, table: NDArray[np.int32]) -> "Parts":
        """Return the same parts with other numbers; ``table`` holds the new number of each old one and of 0."""
        return Parts(table[self.numbers], table[self.areas], int(table.max(initial=0)))

    def without_small(self, voxels: float) -> "Parts":
        """Return the parts of more than so many voxels, with their numbers."""
        table = np.arange(self.count + 1, dtype=np.int32)
        table[np.bincount(self.numbers.ravel(), minlength=self.count + 1) <= voxels] = 0
        return self.renumber(table)


def find_parts(mask: NDArray[np.bool_], dilation: int) -> Parts:
    """Separate a mask into 26-connected parts; what a dilation joins is one part.

    Parts are numbered in the order of their first voxel after dilation, the last axis fastest, which decides in
    `join_across`. A dilation is cut off at the edge of the array.

    Args:
        mask: Booleans, shape (x, y, z).
        dilation: Steps along faces and edges; 0 for none.

    Examples:
        >>> mask = np.zeros((9, 1, 1), bool)
        >>> mask[[1, 4, 8]] = True
        >>> find_parts(mask, 1).numbers.ravel().tolist()
        [0, 1, 0, 0, 1, 0, 0, 0, 2]
    """
    from scipy import ndimage

    areas = np.zeros(mask.shape, np.int32)
    count = ndimage.label(dilate(np.ascontiguousarray(mask), dilation), TOUCHING, output=areas)
    return Parts(np.where(mask, areas, np.int32(0)), areas, int(count))


def touching_pairs(first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the pairs of parts of two masks that one dilation along faces and edges brings together.

    Args:
        first: Numbers of parts, shape (x, y, z); 0 is background.
        second: The same of another mask.

    Returns:
        Shape (pair, 2), sorted: number in ``first``, number in ``second``.

    Examples:
        >>> touching_pairs(np.array([[[1, 0, 0, 2]]], np.int32), np.array([[[0, 0, 3, 0]]], np.int32)).tolist()
        [[2, 3]]
    """
    places = np.argwhere(first)
    if not len(places):
        return np.empty((0, 2), np.int64)
    others = np.pad(second, 1)
    own = first[tuple(places.T)].astype(np.int64)
    base = int(second.max(initial=0)) + 1
    found = []
    for offset in ((0, 0, 0), *_AROUND):
        other = others[tuple((places + 1 + offset).T)]
        found.append(np.unique((own * base + other)[other > 0]))
    return np.stack(np.divmod(np.unique(np.concatenate(found)), base), axis=1)


def join_across(parts: Parts, others: Sequence[NDArray[np.int32]]) -> Parts:
    """Join the parts of a mask that touch one part of another mask, for each of several other masks in turn.

    The rule of the BraTS code of 2024, quirks included: nothing is joined where there is only one touching pair, and
    a part that touches several others is joined with those whose other part of the lowest number is the same, so a
    chain is not always joined.

    Args:
        parts: Parts of the mask.
        others: Numbers of the parts of the other masks, as `find_parts` gives them.

    Examples:
        >>> mask, between = np.zeros((2, 5, 1, 1), bool)
        >>> mask[[0, 4]], between[1:4] = True, True
        >>> join_across(find_parts(mask, 0), [find_parts(between, 0).numbers]).numbers.ravel().tolist()
        [3, 0, 0, 0, 3]
    """
    for other in others:
        pairs = touching_pairs(parts.numbers, other)
        if len(pairs) < 2:
            continue
        own, first = np.unique(pairs[:, 0], return_index=True)
        _, rank = np.unique(pairs[first, 1], return_inverse=True)
        table = np.arange(parts.count + 1, dtype=np.int32)
        table[own] = parts.count + 1 + rank
        parts = parts.renumber(table)
    return parts
