"""Tissues of a brain on any grid: the packaged map, deformed differently for each seed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import make_interp_spline

__all__ = ["FIELD_MM", "smooth_noise", "tissues"]

FIELD_MM = (240.0, 240.0, 155.0)
"""Field of view of BraTS images along left, posterior, superior."""

_MAP_MM = 2.0
_STEPS = 15
_SIZE = 0.93
"""Scale of the template, which is larger than patients' brains: those of BraTS have a median box of 138x169x139 mm."""


def smooth_noise(
    generator: np.random.Generator, shape: tuple[int, ...], cells: int | tuple[int, ...]
) -> NDArray[np.float32]:
    """Return noise that varies slowly, with a standard deviation of about 0.8.

    Args:
        generator: Source of the noise.
        shape: Voxels along each axis.
        cells: How many times smaller than the field its features are, for all axes or per axis.

    Returns:
        float32 of ``shape``.
    """
    per_axis = (cells,) * len(shape) if isinstance(cells, int) else cells
    noise = generator.normal(size=[count + 3 for count in per_axis]).astype(np.float32)
    for count, pieces in zip(shape, per_axis, strict=True):
        # A cubic spline through the knots, as a matrix: each pass interpolates the first axis and moves it last.
        knots = pieces + 3
        spline = make_interp_spline(np.arange(knots), np.eye(knots))(np.linspace(1, pieces + 1, count))
        noise = np.tensordot(noise, spline.astype(np.float32), axes=(0, 1))
    return noise


def tissues(generator: np.random.Generator, shape: tuple[int, int, int], spacing: float) -> NDArray[np.float32]:
    """Return the fractions of grey matter, white matter, fluid and brain in each voxel.

    Args:
        generator: Decides size and shape of the brain.
        shape: Voxels along left, posterior, superior; the brain lies in the middle of the field.
        spacing: Voxel size in mm.

    Returns:
        float32, shape (4, x, y, z): grey, white, fluid, brain, from 0 to 1; the first three add up to the fourth.
    """
    with np.load(Path(__file__).with_name("anatomy.npz"), allow_pickle=False) as packed:
        maps = [packed[name].astype(np.float32) / _STEPS for name in ("grey", "white", "brain")]
    size = _SIZE * (1 + 0.04 * generator.uniform(-1, 1, 3))
    coordinates = []
    for axis, (count, length) in enumerate(zip(shape, maps[0].shape, strict=True)):
        from_centre = (np.arange(count, dtype=np.float32) - (count - 1) / 2) * spacing
        place = from_centre / (_MAP_MM * size[axis]) + (length - 1) / 2
        coordinates.append(place.reshape([-1 if n == axis else 1 for n in range(3)]))
    bent = [place + 1.2 * smooth_noise(generator, shape, 5) for place in coordinates]
    grey, white, brain = (ndimage.map_coordinates(part, bent, order=1) for part in maps)
    brain = (brain > 0.5).astype(np.float32)
    grey, white = grey * brain, white * brain
    total = np.maximum(grey + white, 1.0)
    grey, white = grey / total, white / total
    return np.stack([grey, white, brain - grey - white, brain]).clip(0, 1)
