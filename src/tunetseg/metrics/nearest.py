"""Distances between two sets of points of one lattice."""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest_distances"]

_REACH = 6
"""Length, in shortest voxel sides, up to which columns of the lattice are searched before a tree is built."""


@dataclass(frozen=True, eq=False)
class _Ring:
    """Columns along the last axis that are equally far from a point.

    Args:
        offsets: Steps to each along the other axes, shape (column, axis - 1).
        lengths: Distance in mm to a target that lies so many steps along a column; the last is infinite.
        final: Distances up to this one cannot be undercut by later rings.
    """

    offsets: NDArray[np.int64]
    lengths: NDArray[np.float64]
    final: float


@lru_cache(maxsize=32)
def _rings(spacing: tuple[float, ...]) -> tuple[tuple[int, ...], list[_Ring]]:
    """Return how many steps along each axis are searched, and the rings, nearest first."""
    limit = _REACH * min(spacing) * (1 + 1e-9)
    reach = tuple(int(limit / side) for side in spacing)
    columns: dict[float, list[tuple[int, ...]]] = {}
    for offset in itertools.product(*(range(-steps, steps + 1) for steps in reach[:-1])):
        sides = [n * side for n, side in zip(offset, spacing[:-1], strict=True)]
        if math.hypot(*sides) <= limit:
            columns.setdefault(math.hypot(*sides), []).append(offset)
    radii = sorted(columns)
    rings = []
    for radius, final in zip(radii, [*radii[1:], limit], strict=True):
        sides = [n * side for n, side in zip(columns[radius][0], spacing[:-1], strict=True)]
        lengths = [math.hypot(*sides, n * spacing[-1]) for n in range(reach[-1] + 1)]
        offsets = np.array(columns[radius], np.int64).reshape(len(columns[radius]), len(reach) - 1)
        rings.append(_Ring(offsets, np.array([*lengths, math.inf]), final))
    return reach, rings


def nearest_distances(
    points: NDArray[np.int64], targets: NDArray[np.int64], shape: tuple[int, ...], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return the distance of every point to the nearest target, in mm.

    Most of the surface of a segmentation lies within a few voxels of the reference's. There, columns of the lattice
    that hold the steps to the nearest target along them are tried, the nearest first, which is faster than a tree; a
    tree is built for the other points only.

    Args:
        points: Lattice indices, shape (point, axis).
        targets: The same of one target or more, shape (target, axis).
        shape: Of the lattice.
        spacing: Distance of neighbours along each axis in mm.

    Examples:
        >>> nearest_distances(np.array([[0, 0], [9, 9]]), np.array([[0, 1], [6, 5]]), (10, 10), (1.0, 2.0)).tolist()
        [2.0, 8.54400374531753]
    """
    reach, rings = _rings(spacing)
    padded = tuple(n + 2 * steps for n, steps in zip(shape, reach, strict=True))
    strides = np.array([math.prod(padded[axis + 1 :]) for axis in range(len(padded))])
    steps_along = _steps_along((targets + reach) @ strides, math.prod(padded), reach[-1])
    distances = np.empty(len(points))
    remaining, flat = np.arange(len(points)), (points + reach) @ strides
    best = np.full(len(points), math.inf)
    for ring in rings:
        first, *others = (ring.offsets @ strides[:-1]).tolist()
        steps = steps_along[flat + first]
        for column in others:
            np.minimum(steps, steps_along[flat + column], out=steps)
        best = np.minimum(best, ring.lengths[steps])
        final = best <= ring.final
        distances[remaining[final]] = best[final]
        remaining, flat, best = remaining[~final], flat[~final], best[~final]
        if not remaining.size:
            return distances
    from scipy.spatial import KDTree

    # Over lattice points, an unbalanced tree with loose nodes is fastest to build and not slower to query.
    tree = KDTree(targets * spacing, balanced_tree=False, compact_nodes=False)
    distances[remaining] = tree.query(points[remaining] * spacing)[0]
    return distances


def _steps_along(flat: NDArray[np.int64], size: int, most: int) -> NDArray[np.uint8]:
    """Return the steps along the last axis from each place of a lattice to the nearest target, most + 1 if farther."""
    steps = np.full(size, most + 1, np.uint8)
    for number in range(most, 0, -1):
        steps[flat - number] = number
        steps[flat + number] = number
    steps[flat] = 0
    return steps
