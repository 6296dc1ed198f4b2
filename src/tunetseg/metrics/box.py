"""The part of a grid in which anything happens."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["joint_box"]


def joint_box(first: NDArray[np.generic], second: NDArray[np.generic]) -> tuple[slice, ...]:
    """Smallest box that holds every non-zero voxel of two arrays.

    Overlap and surface distances of two masks are the same inside this box as on the whole grid, because
    whatever lies outside it is background of both.

    Args:
        first: Masks or non-negative integers, any number of axes.
        second: The same shape.

    Returns:
        One slice an axis; empty slices where both arrays are zero throughout.

    Raises:
        ValueError: The shapes differ.

    Examples:
        >>> joint_box(np.array([0, 0, 3, 0, 0]), np.array([0, 0, 0, 1, 0]))
        (slice(2, 4, None),)
    """
    if first.shape != second.shape:
        raise ValueError(f"two grids: {first.shape} and {second.shape}")
    one, other = _box(first), _box(second)
    if not all(side.stop for side in one):
        return other
    if not all(side.stop for side in other):
        return one
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


def _box(array: NDArray[np.generic]) -> tuple[slice, ...]:
    """Box of one array, looked for along its slowest axis first: that is quickest, and files come in either order."""
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        return _box(array.T)[::-1]
    used = np.flatnonzero(array.reshape(len(array), -1).any(axis=1)) if array.size else np.empty(0, int)
    outer = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0)
    return (outer,) if array.ndim == 1 else (outer, *_box(np.any(array[outer], axis=0)))
