"""The box that holds every non-zero voxel of two arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["grow", "joint_box"]


def joint_box(first: NDArray[np.generic], second: NDArray[np.generic]) -> tuple[slice, ...]:
    """Return the smallest box that holds every non-zero voxel of two arrays.

    Overlap and surface distances of two masks are the same inside this box as on the whole grid, because
    everything outside it is background in both.

    Args:
        first: Masks or non-negative integers, any number of axes.
        second: The same shape.

    Returns:
        One slice per axis; empty slices where both arrays are zero everywhere.

    Raises:
        ValueError: The shapes differ.

    Examples:
        >>> joint_box(np.array([0, 0, 3, 0, 0]), np.array([0, 0, 0, 1, 0]))
        (slice(2, 4, None),)
    """
    if first.shape != second.shape:
        raise ValueError(f"arrays differ in shape: {first.shape} and {second.shape}")
    first_box, second_box = _box(first), _box(second)
    if not all(side.stop for side in first_box):
        return second_box
    if not all(side.stop for side in second_box):
        return first_box
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first_box, second_box, strict=True))


def _box(array: NDArray[np.generic]) -> tuple[slice, ...]:
    """Return the box of one array, searched along its slowest axis first: that is fastest in either memory order."""
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        return _box(array.T)[::-1]
    used = np.flatnonzero(array.reshape(len(array), -1).any(axis=1)) if array.size else np.empty(0, int)
    outer = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0)
    return (outer,) if array.ndim == 1 else (outer, *_box(np.any(array[outer], axis=0)))


def grow(box: tuple[slice, ...], margin: int, shape: Sequence[int]) -> tuple[slice, ...]:
    """Return a box with a margin around it, as far as the grid reaches; an empty box stays empty.

    Examples:
        >>> grow((slice(2, 4), slice(1, 2)), 2, (5, 5))
        (slice(0, 5, None), slice(0, 4, None))
    """
    if not margin or not all(side.stop for side in box):
        return box
    return tuple(slice(max(0, b.start - margin), min(n, b.stop + margin)) for b, n in zip(box, shape, strict=True))
