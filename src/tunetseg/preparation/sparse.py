"""Arrays of zeros of which little is written."""

import math
import mmap

import numpy as np
from numpy.typing import NDArray

__all__ = ["sparse_zeros"]


def sparse_zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return zeros that take memory only where they are written; NumPy asks for huge pages, most of which would be."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return np.zeros(shape, np.float32)
    try:
        pages = mmap.mmap(-1, 4 * math.prod(shape), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no memory for an array of shape {shape}") from error
    return np.frombuffer(pages, np.float32).reshape(shape)
