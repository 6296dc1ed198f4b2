"""From a volume to the normalised array that networks see, and back to the patient's grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tunetseg.errors import InputError
from tunetseg.io.volume import Volume
from tunetseg.preparation.resample import covered, resample, resampled_shape

__all__ = ["Prepared", "Preprocessing", "normalise", "prepare"]


@dataclass(frozen=True)
class Preprocessing:
    """How a volume becomes a network's input; stored with a model's weights.

    Args:
        spacing: Working spacing in mm, the same along every axis.
        denoise: Median filter of 3x3x3 voxels first. The paper tried it without gain (2.5).
    """

    spacing: float = 1.0
    denoise: bool = False

    def __post_init__(self) -> None:
        """Check the spacing."""
        if not 0.2 <= self.spacing <= 20:
            raise InputError(f"working spacing {self.spacing:g} mm: must lie between 0.2 and 20")


def normalise(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Zero mean and unit variance of each channel over its brain voxels (paper, 2.5).

    Brain voxels are those that are not zero, which is what skull-stripping leaves; the paper does not say
    over which voxels, its author's earlier code takes these. Background stays 0.

    Args:
        array: Shape (channel, x, y, z).

    Returns:
        float32 of the same shape.
    """
    result = np.zeros(array.shape, np.float32)
    for channel, out in zip(array, result, strict=True):
        brain = channel != 0
        values = channel[brain].astype(np.float64)
        out[brain] = (values - values.mean()) / (values.std() or 1.0)
    return result


@dataclass(frozen=True)
class Prepared:
    """A network's input and the way back to the patient's grid.

    Args:
        array: Normalised float32, shape (channel, x, y, z) at the working spacing, cropped to the brain.
        box: Where the crop lies in the volume, one slice an axis.
        steps: Length of a working voxel in the volume's voxels, along x, y, z.
        full_shape: Shape of the volume along x, y, z.
    """

    array: NDArray[np.float32]
    box: tuple[slice, slice, slice]
    steps: tuple[float, float, float]
    full_shape: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the working array along x, y, z."""
        _, x, y, z = self.array.shape
        return x, y, z

    def masks_at_working_spacing(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Region masks of the whole volume brought to the working grid: a voxel at least half covered is in.

        Args:
            masks: Shape (region, x, y, z) on the volume's grid.

        Returns:
            Shape (region, x, y, z) of the working grid; nested masks stay nested.
        """
        cropped = masks[(slice(None), *self.box)]
        if self.steps == (1, 1, 1):
            return cropped
        # Halves stay halves in float32's rounding.
        return covered(cropped, self.steps, self.shape) >= 0.5 - 1e-4

    def restore(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring probabilities from the working grid to the volume's; 0 outside the brain's box.

        Args:
            probabilities: Shape (region, x, y, z) of the working grid.

        Returns:
            float32, shape (region, *full_shape).
        """
        inner = [axis.stop - axis.start for axis in self.box]
        back = resample(probabilities, _inverse(self.steps), (inner[0], inner[1], inner[2]))
        result = np.zeros((len(probabilities), *self.full_shape), np.float32)
        result[(slice(None), *self.box)] = back
        return result


def _inverse(steps: tuple[float, float, float]) -> tuple[float, float, float]:
    return 1 / steps[0], 1 / steps[1], 1 / steps[2]


def prepare(volume: Volume, settings: Preprocessing) -> Prepared:
    """Denoise if asked, normalise, crop to the brain, resample to the working spacing.

    Statistics are taken at the patient's own resolution, before the resampling mixes brain and background.

    Args:
        volume: Shape (channel, x, y, z), background 0.
        settings: What to do.

    Returns:
        The array, shape (channel, x, y, z) of the working grid, in standard deviations of the brain; and the way back.

    Raises:
        ValueError: Every voxel is 0.
    """
    if not volume.array.any():
        raise ValueError("an all-zero volume has no brain")
    array = volume.array
    if settings.denoise:
        # Each voxel stays background or brain, whatever lies around it.
        medians = np.stack([ndimage.median_filter(channel, size=3) for channel in array])
        array = np.where((array != 0) & (medians != 0), medians, array)
    (x, y, z), *_ = ndimage.find_objects(np.any(volume.array != 0, axis=0).astype(np.uint8))
    box = (x, y, z)
    cropped = normalise(array[(slice(None), *box)])
    spacing = volume.grid.lps_spacing
    # A file's spacing is only as exact as its float32 header.
    sx, sy, sz = (1.0 if abs(settings.spacing - s) < 1e-4 else settings.spacing / s for s in spacing)
    steps = (sx, sy, sz)
    nx, ny, nz = resampled_shape(cropped.shape[1:], (1 / sx, 1 / sy, 1 / sz), 1.0)
    full_x, full_y, full_z = array.shape[1:]
    return Prepared(resample(cropped, steps, (nx, ny, nz)), box, steps, (full_x, full_y, full_z))
