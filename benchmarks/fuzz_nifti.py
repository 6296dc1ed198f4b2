"""A NIfTI-1 file as the standard says, read without nibabel, to judge what the program reads from damaged ones."""

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["affine_and_values"]

_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}


def affine_and_values(path: Path) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]] | None:
    """Return the affine, None where the header has none, and the scaled voxels; None for other files."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
    if raw[344:348] != b"n+1\0":
        return None
    order = "<" if 1 <= struct.unpack_from("<h", raw, 40)[0] <= 7 else ">"

    def numbers(kind: str, offset: int, count: int) -> tuple:
        return struct.unpack_from(f"{order}{count}{kind}", raw, offset)

    count, *sides = numbers("h", 40, 8)
    shape = sides[:count]
    kind, begin = _TYPES[numbers("h", 70, 1)[0]], int(numbers("f", 108, 1)[0])
    stored = np.frombuffer(raw, order + kind, int(np.prod(shape, dtype=np.int64)), begin)
    values = stored.reshape(shape, order="F").astype(np.float64)
    slope, intercept = numbers("f", 112, 2)
    if slope and np.isfinite(slope):
        values = values * slope + intercept
    while values.ndim > 3:
        values = values[..., 0]
    qform, sform = numbers("h", 252, 2)
    if sform > 0:
        return np.vstack([np.reshape(numbers("f", 280, 12), (3, 4)), [0, 0, 0, 1]]), values
    return (_of_quaternion(numbers("f", 76, 4), numbers("f", 256, 6)) if qform > 0 else None), values


def _of_quaternion(sizes: tuple[float, ...], numbers: tuple[float, ...]) -> NDArray[np.float64]:
    """Method 2 of the standard."""
    b, c, d, *offset = map(float, numbers)
    a = np.sqrt(max(0.0, 1 - (b * b + c * c + d * d)))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn * [*sizes[1:3], sizes[3] * (-1 if sizes[0] < 0 else 1)]
    affine[:3, 3] = offset
    return affine
