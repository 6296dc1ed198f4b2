"""Volumes made small enough for a page: cropped to what is seen, in few bits, compressed."""

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tunetseg.io import Grid

__all__ = ["Frame", "PackedVolume", "frame_of", "pack", "pack_images"]

BUDGET = 14_000_000
"""Bytes of compressed images in one page; base64 makes a third more of them, and the viewer and maps come on top."""

_MARGIN = 4
"""Voxels around what is seen."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The part of a grid that a page holds, in the order of axes of its viewer: right, anterior, superior.

    Args:
        box: Part of the arrays in LPS order.
        step: Every how manieth voxel is kept.
        affine: Voxels of the frame to world in mm, shape (4, 4).
        shape: Voxels of the frame.
    """

    box: tuple[slice, slice, slice]
    step: int
    affine: NDArray[np.float64]
    shape: tuple[int, int, int]

    def cut(self, array: NDArray) -> NDArray:
        """Return an array in LPS order, shape (..., x, y, z), as the frame shows it."""
        part = array[(..., *self.box)][..., :: self.step, :: self.step, :: self.step]
        return part[..., ::-1, ::-1, :]

    def to_stored(self, stored: Grid) -> list[list[float]]:
        """Return the affine from voxels of the frame to those of the patient's files, rows of it."""
        return np.round(np.linalg.inv(stored.affine) @ self.affine, 6)[:3].tolist()


def frame_of(grid: Grid, seen: NDArray[np.bool_], step: int = 1) -> Frame:
    """Return the frame around what is seen.

    Args:
        grid: In LPS order.
        seen: What must be inside, shape (x, y, z).
        step: Every how manieth voxel is kept.
    """
    box = []
    for axis, length in enumerate(grid.shape):
        places = np.flatnonzero(seen.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(places[0]), int(places[-1])) if places.size else (0, length - 1)
        box.append(slice(max(0, first - _MARGIN), min(length, last + _MARGIN + 1)))
    x, y, z = (len(range(part.start, part.stop, step)) for part in box)
    # Voxel 0 of the frame is the last that is kept of the first two axes, which then run the other way.
    turn = np.diag([-step, -step, step, 1.0])
    turn[:3, 3] = [box[0].start + step * (x - 1), box[1].start + step * (y - 1), box[2].start]
    return Frame((box[0], box[1], box[2]), step, grid.affine @ turn, (x, y, z))


@dataclass(frozen=True)
class PackedVolume:
    """A volume as a page holds it.

    Args:
        data: A compressed NIfTI file in base64.
        slope: Value per unit that is stored.
        size: Bytes before base64.
    """

    data: str
    slope: float
    size: int


def pack(array: NDArray, frame: Frame, slope: float = 1.0, *, labels: bool = False) -> PackedVolume:
    """Pack whole numbers.

    Args:
        array: uint8 or int16, in LPS order, shape (x, y, z).
        frame: What is kept.
        slope: Value per unit.
        labels: The numbers are labels, which must not be interpolated.
    """
    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_xyzt_units("mm")
    image = nib.Nifti1Image(frame.cut(array), frame.affine, header)
    image.header.set_slope_inter(slope, 0)
    if labels:
        image.header.set_intent("label", allow_unknown=True)
    image.set_sform(frame.affine, code=1)
    image.set_qform(None, code=0)
    raw = gzip.compress(image.to_bytes(), 4, mtime=0)
    return PackedVolume(base64.b64encode(raw).decode(), slope, len(raw))


def pack_images(
    images: Sequence[NDArray[np.float32]], grid: Grid, seen: NDArray[np.bool_]
) -> tuple[Frame, list[PackedVolume]]:
    """Pack images as exactly as the size of a page allows.

    Whole numbers are kept; other intensities get 4096 steps from 0 to the largest. Where that is too large, they get
    256 steps, and then only every second voxel, third voxel and so on is kept.

    Args:
        images: In LPS order, each of shape (x, y, z).
        grid: Where the voxels lie, in LPS order.
        seen: What must be inside.
    """
    step, bits = 1, 12
    while True:
        frame = frame_of(grid, seen, step)
        packed = [_pack_rounded(image, bits, frame) for image in images]
        if sum(volume.size for volume in packed) <= BUDGET:
            return frame, packed
        step, bits = (step, 8) if bits == 12 else (step + 1, 8)


def _pack_rounded(image: NDArray[np.float32], bits: int, frame: Frame) -> PackedVolume:
    values, slope = _rounded(image, bits)
    return pack(values, frame, slope)


def _rounded(image: NDArray[np.float32], bits: int) -> tuple[NDArray, float]:
    """Return whole numbers and the value per unit."""
    low, high = float(image.min()), float(image.max())
    greatest = max(abs(low), abs(high))
    if bits == 12 and greatest <= np.iinfo(np.int16).max and np.array_equal(image, np.rint(image)):
        return image.astype(np.uint8 if low >= 0 and high <= 255 else np.int16), 1.0
    steps = 2**bits - 1 if low >= 0 else 2 ** (bits - 1) - 1
    slope = greatest / steps or 1.0
    return np.rint(image / slope).astype(np.uint8 if low >= 0 and bits == 8 else np.int16), slope
