"""From a volume to the normalised array that networks see, and back to the grid of the patient."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import Channel, DatasetDescription, Foreground
from tunetseg.errors import InputError
from tunetseg.io.grid import check_voxel_size
from tunetseg.limits import LIMITS, check_memory
from tunetseg.preparation.boxes import bounding_box
from tunetseg.preparation.resample import covered, resample, resampled_shape
from tunetseg.preparation.sparse import sparse_zeros
from tunetseg.preparation.volume import Volume

__all__ = [
    "Prepared",
    "Preprocessing",
    "WorkingGrid",
    "find_working_grid",
    "foreground_mask",
    "normalise",
    "prepare",
]


@dataclass(frozen=True)
class Preprocessing:
    """What is done to a volume besides what its dataset's description says; stored with the weights of a model.

    Args:
        spacing: Working spacing in mm, the same along every axis.
        denoise: Apply a median filter of 3x3x3 voxels first. The paper tried it without gain (2.5).

    Raises:
        InputError: The spacing lies outside 0.2 to 20 mm.
    """

    spacing: float = 1.0
    denoise: bool = False

    def __post_init__(self) -> None:
        """Check the spacing."""
        if not 0.2 <= self.spacing <= 20:
            raise InputError(f"working spacing {self.spacing:g} mm: must lie between 0.2 and 20")


def normalise(array: NDArray[np.float32], channels: Sequence[Channel], foreground: Foreground) -> NDArray[np.float32]:
    """Scale the intensities of each channel as its description says; background is 0 afterwards.

    ``zscore`` takes the foreground of each channel, which in MRI is what is not zero, as skull-stripping leaves it. The
    paper says only zero mean and unit variance (2.5), not over which voxels; the author's earlier code takes these.

    Args:
        array: Shape (channel, x, y, z).
        channels: One per channel of ``array``.
        foreground: What counts as foreground in each channel.

    Returns:
        float32 of the same shape.
    """
    result = np.zeros(array.shape, np.float32)
    for number, (image, channel) in enumerate(zip(array, channels, strict=True)):
        settings = channel.normalisation
        if settings.kind == "clip":
            result[number] = (np.clip(image, settings.low, settings.high) - settings.low) / settings.scale
        else:
            inside = _inside(image, foreground)
            values = image[inside]
            if len(values):
                result[number][inside] = _standardised(values)
    return result


def _standardised(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values with mean 0 and variance 1, computed in double precision without a copy of that size."""
    mean = values.mean(dtype=np.float64)
    pieces = [slice(begin, begin + 2**16) for begin in range(0, len(values), 2**16)]
    squares = sum(float(np.square(values[piece] - mean).sum()) for piece in pieces)
    deviation = np.sqrt(squares / len(values)) or 1.0
    for piece in pieces:
        values[piece] = (values[piece] - mean) / deviation
    return values


def _inside(array: NDArray[np.float32], foreground: Foreground) -> NDArray[np.bool_]:
    return array != 0 if foreground.kind == "nonzero" else array > foreground.value


def foreground_mask(array: NDArray[np.float32], foreground: Foreground) -> NDArray[np.bool_]:
    """Return the voxels that are foreground in any channel.

    Args:
        array: Shape (channel, x, y, z).
        foreground: What counts.

    Returns:
        Booleans, shape (x, y, z).
    """
    result = _inside(array[0], foreground)
    for channel in array[1:]:
        result |= _inside(channel, foreground)
    return result


@dataclass(frozen=True, eq=False)
class WorkingGrid:
    """Where a network works on a volume: the foreground's box, at the working spacing.

    Args:
        box: Where the crop lies in the volume, one slice per axis.
        scale: Length of a working voxel in voxels of the volume, along x, y, z.
        shape: Voxels of the working grid along x, y, z.
        full_shape: Shape of the volume along x, y, z.
    """

    box: tuple[slice, slice, slice]
    scale: tuple[float, float, float]
    shape: tuple[int, int, int]
    full_shape: tuple[int, int, int]

    def masks_at_working_spacing(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Bring region masks to the working grid: a voxel that is at least half covered is inside.

        Args:
            masks: Shape (region, x, y, z) on the grid of the volume.

        Returns:
            Shape (region, x, y, z) of the working grid; nested masks stay nested.
        """
        cropped = masks[(slice(None), *self.box)]
        if self.scale == (1, 1, 1):
            return cropped
        # Halves stay halves in float32's rounding.
        return covered(cropped, self.scale, self.shape) >= 0.5 - 1e-4

    def restore(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring probabilities from the working grid to that of the volume; they are 0 outside the foreground's box.

        Args:
            probabilities: Shape (region, x, y, z) of the working grid.

        Returns:
            float32, shape (region, *full_shape).
        """
        x, y, z = (axis.stop - axis.start for axis in self.box)
        sx, sy, sz = self.scale
        result = sparse_zeros((len(probabilities), *self.full_shape))
        for one, place in zip(probabilities, result, strict=True):
            place[self.box] = resample(one[None], (1 / sx, 1 / sy, 1 / sz), (x, y, z))[0]
        return result


@dataclass(frozen=True, eq=False)
class Prepared(WorkingGrid):
    """The input of a network and the way back to the grid of the patient.

    Args:
        array: Normalised float32, shape (channel, x, y, z) at the working spacing, cropped to the foreground.
    """

    array: NDArray[np.float32]


def _check_working_grid(shape: tuple[int, int, int], channels: int, spacing: float) -> None:
    """Raise InputError where a patient would be too large at the working spacing."""
    voxels = math.prod(shape)
    if voxels > LIMITS.working_voxels:
        size = " x ".join(map(str, shape))
        raise InputError(
            f"{size} voxels at the working spacing of {spacing:g} mm, which no patient needs; correct the voxel sizes "
            "in the header, or choose a model of larger spacing"
        )
    check_memory(f"resampling to {spacing:g} mm", 2 * 4 * channels * voxels)


def find_working_grid(volume: Volume, settings: Preprocessing, description: DatasetDescription) -> WorkingGrid:
    """Return where a network works on a volume.

    Args:
        volume: Shape (channel, x, y, z).
        settings: Working spacing.
        description: What counts as foreground.

    Raises:
        InputError: No voxel is foreground, no image has voxels of such a size, or the working grid is too large.
    """
    check_voxel_size("images", volume.grid)
    inside = foreground_mask(volume.array[_present(volume, description)], description.foreground)
    box = bounding_box(inside)
    if box is None:
        raise InputError("the images hold no foreground, so there is nothing to segment")
    x, y, z = box
    # The spacing of a file is only as exact as its float32 header.
    sx, sy, sz = (1.0 if abs(settings.spacing - s) < 1e-4 else settings.spacing / s for s in volume.grid.spacing)
    crop = tuple(side.stop - side.start for side in (x, y, z))
    nx, ny, nz = resampled_shape(crop, (1 / sx, 1 / sy, 1 / sz), 1.0)
    channels, full_x, full_y, full_z = volume.array.shape
    _check_working_grid((nx, ny, nz), channels, settings.spacing)
    return WorkingGrid((x, y, z), (sx, sy, sz), (nx, ny, nz), (full_x, full_y, full_z))


def _present(volume: Volume, description: DatasetDescription) -> slice | list[bool]:
    """Return an index of the channels that a volume has."""
    present = [name not in volume.missing for name in description.channel_names]
    return slice(None) if all(present) else present  # which copies


def prepare(
    volume: Volume, settings: Preprocessing, description: DatasetDescription, grid: WorkingGrid | None = None
) -> Prepared:
    """Denoise if asked, normalise, crop to the foreground, resample to the working spacing.

    Statistics are taken at the resolution of the files, before resampling mixes foreground and background.

    Args:
        volume: Shape (channel, x, y, z).
        settings: Working spacing and denoising.
        description: Normalisation and foreground.
        grid: As `find_working_grid` returns it, if it is known.

    Returns:
        The array, shape (channel, x, y, z) of the working grid, and the way back.

    Raises:
        InputError: As from `find_working_grid`.
    """
    grid = grid or find_working_grid(volume, settings, description)
    array = volume.array
    if settings.denoise:
        from scipy import ndimage

        # Each voxel stays background or foreground, whatever lies around it.
        medians = np.stack([ndimage.median_filter(channel, size=3) for channel in array])
        both = _inside(array, description.foreground) & _inside(medians, description.foreground)
        array = np.where(both, medians, array)
    cropped = normalise(array[(slice(None), *grid.box)], description.channels, description.foreground)
    absent = [name in volume.missing for name in description.channel_names]
    cropped[absent] = 0  # as in training with dropped channels, whatever 0 is in the file's unit
    return Prepared(**vars(grid), array=resample(cropped, grid.scale, grid.shape))
