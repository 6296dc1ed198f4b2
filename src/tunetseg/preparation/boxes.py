"""Boxes around what masks hold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bounding_box"]


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return the smallest box around the voxels of a mask, or None where it has none.

    Many times faster than ``find_objects`` of SciPy, which reads labels.

    Args:
        mask: Booleans of any number of axes.

    Returns:
        One slice per axis.

    Examples:
        >>> mask = np.zeros((5, 6), bool)
        >>> mask[1, 2] = mask[3, 4] = True
        >>> bounding_box(mask)
        (slice(1, 4, None), slice(2, 5, None))
    """
    box: list[slice] = []
    for axis in range(mask.ndim):
        places = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not places.size:
            return None
        side = slice(int(places[0]), int(places[-1]) + 1)
        inner: list[Any] = [slice(None)] * mask.ndim
        inner[axis] = side
        mask = mask[tuple(inner)]
        box.append(side)
    return tuple(box)
