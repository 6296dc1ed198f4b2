"""What inputs may ask for at most, in one place, and how much memory there is."""

import math
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tunetseg.errors import InputError

__all__ = ["LIMITS", "Limits", "check_memory", "check_patch", "check_process", "memory_limit", "processors", "shortage"]

MEMORY_VARIABLE = "TUNETSEG_MEMORY_GB"
"""Environment variable that says how many GB this program may use, where that is less than the machine has."""


@dataclass(frozen=True)
class Limits:
    """Limits that are checked before the work that they bound.

    They are far beyond any real patient, cohort or network: what is larger comes from a damaged header or from a file
    that was made to do harm.

    Args:
        voxel_mm: Shortest and longest edge of a voxel.
        field_mm: Longest edge of the field of view of a head.
        image_voxels: Voxels of one volume; 1024 x 1024 x 512.
        working_voxels: Voxels of a patient at the working spacing of a model; 512 x 512 x 512.
        surplus_bytes: Bytes that an image may hold after the last voxel that its header announces.
        text_bytes: Size of a text file: a recipe, a table of scores, a list of cases, a description.
        name_bytes: Length of a case's name, so that all files named after it fit a file system's 255.
        patch_side: Voxels of a patch along one axis.
        patch_voxels: Voxels of a patch.
        channels: Channels of a network's input.
        regions: Regions of a network's output.
        filters: Filters of a network's first level, and any other number among its options.
        levels: Resolutions of a network.
        upload_bytes: Bytes of the files that the local server holds at one time, unpacked.
        upload_files: Files of one upload, members of archives counted.
        upload_depth: Folders above an uploaded file.
        jobs: Uploads that the local server holds at one time.
    """

    voxel_mm: tuple[float, float] = (0.1, 20.0)
    field_mm: float = 1000.0
    image_voxels: int = 2**29
    working_voxels: int = 2**27
    surplus_bytes: int = 4096
    text_bytes: int = 2**26
    name_bytes: int = 200
    patch_side: int = 1024
    patch_voxels: int = 2**27
    channels: int = 64
    regions: int = 32
    filters: int = 4096
    levels: int = 10
    upload_bytes: int = 2**32
    upload_files: int = 20_000
    upload_depth: int = 16
    jobs: int = 16


LIMITS = Limits()

LEAST_PROCESS_BYTES = 10**9
"""Address space without which not even the libraries can be loaded."""

_CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_SHORTAGES = re.compile(
    r"out of memory|can't allocate|cannot allocate|unable to allocate|failed to allocate|bad_?alloc|"
    r"could not create a (primitive|memory)|not enough memory|DefaultCPUAllocator|can't start new thread",
    re.IGNORECASE,
)
_WANTED = re.compile(
    r"tr(?:ied|ying) to allocate ([\d.]+) ?(bytes|MiB|GiB)|allocate ([\d.]+) ?(bytes|KiB|MiB|GiB|TiB|PiB)"
)
_UNITS = {"bytes": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40, "PiB": 2.0**50}


def memory_limit() -> int:
    """Return how many bytes of memory this process can have.

    That is the least of what the machine has, what the control group and the limits of the process allow, and what the
    environment variable ``TUNETSEG_MEMORY_GB`` says.
    """
    limits = [float(os.environ[MEMORY_VARIABLE]) * 1e9] if _is_number(os.environ.get(MEMORY_VARIABLE, "")) else []
    with suppress(ValueError, OSError, AttributeError):  # not on every system
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for place in _CONTROL_GROUPS:
        with suppress(OSError, ValueError):  # "max" means that there is none
            limits.append(int(Path(place).read_text()))
    return int(min([*limits, *_process_limits()], default=2**62))


def _process_limits() -> list[int]:
    """Return the limits that a shell or a scheduler has set for this process, in bytes."""
    try:
        import resource
    except ImportError:  # not on every system
        return []
    soft = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return [limit for limit in soft if limit != resource.RLIM_INFINITY]


def check_process() -> None:
    """Raise InputError where this process may not even load the libraries, of which one would wait for ever."""
    limit = min(_process_limits(), default=LEAST_PROCESS_BYTES)
    if limit < LEAST_PROCESS_BYTES:
        raise InputError(
            f"this process may use {_gb(limit)} GB of memory (ulimit -v or -d), which is too little to begin; allow it "
            "2 GB or more"
        )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d{1,9}(\.\d+)?", text) is not None and float(text) > 0


def check_memory(source: object, needed: float) -> None:
    """Raise InputError where work needs more memory than there is.

    Args:
        source: The file or the work, named in the error.
        needed: Bytes that it needs at least.
    """
    limit = memory_limit()
    if needed > limit:
        raise InputError(f"{source}: needs about {_gb(needed)} GB of memory; this machine has {_gb(limit)}")


def check_patch(sides: Sequence[int]) -> None:
    """Raise InputError where a patch or a window has more voxels than any network sees."""
    if max(sides) > LIMITS.patch_side or math.prod(sides) > LIMITS.patch_voxels:
        raise InputError(
            f"patch size {' x '.join(map(str, sides))}: at most {LIMITS.patch_side} voxels along an axis and "
            f"{LIMITS.patch_voxels:,} in all are possible"
        )


def _gb(size: float) -> str:
    return f"{size / 1e9:.0f}" if size >= 1e10 else f"{size / 1e9:.1f}"


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shortage(error: BaseException) -> str | None:
    """Return a sentence for an error that says that there is not enough memory; None for any other error.

    Args:
        error: ``MemoryError``, or what PyTorch, oneDNN or OpenVINO raise instead.

    Examples:
        >>> shortage(ValueError("7")) is None
        True
    """
    text = str(error)
    if not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and _SHORTAGES.search(text)):
        return None
    if "CUDA" in text or "MPS" in text:
        return "the device has not enough memory; choose the device cpu, smaller patches or smaller batches"
    found = _WANTED.search(text)
    number, unit = (found[1] or found[3], found[2] or found[4]) if found else (None, None)
    wanted = f"one step needs {_gb(float(number) * _UNITS[unit])} GB more; " if number and unit else ""
    return (
        f"there is not enough memory: {wanted}this machine has {_gb(memory_limit())} GB for this program; close other "
        "programs, or choose a model of larger working spacing, smaller patches or fewer workers"
    )
