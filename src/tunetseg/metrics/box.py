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
    filled = (first != 0) | (second != 0)
    slices = []
    for axis in range(filled.ndim):
        others = tuple(other for other in range(filled.ndim) if other != axis)
        used = np.flatnonzero(filled.any(axis=others))
        slices.append(slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0))
    return tuple(slices)
