"""What training asks of the system's allocator."""

import ctypes
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["keep_freed_memory", "peak_memory"]

# mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Have glibc keep this process's freed memory until it ends; does nothing where there is no glibc.

    By default it gives large blocks back to the system at once, and the next step of training, which asks for them
    again, pays a page fault for every 4 kB.
    """
    if not sys.platform.startswith("linux"):
        return
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        allocator.mallopt(_TRIM_THRESHOLD, -1)
        allocator.mallopt(_MMAP_MAX, 0)


def peak_memory(device: "torch.device") -> int:
    """Return the most memory in MB that this process has used: of a GPU where it trains on one, else its own."""
    if device.type == "cuda":
        import torch

        return round(torch.cuda.max_memory_allocated(device) / 2**20)
    if not sys.platform.startswith("linux"):
        return 0
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
