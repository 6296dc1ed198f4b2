"""A synthetic glioma patient with known truth, made from a seed."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tunetseg.datasets.catalogue import find_description
from tunetseg.datasets.phantom.anatomy import FIELD_MM, smooth_noise, tissues
from tunetseg.datasets.phantom.phantom import Phantom

__all__ = ["make_patient"]

Grade = Literal["HGG", "LGG"]

_CHANNELS = ("t1", "t1ce", "flair", "t2")
# Intensity of each channel in standard deviations of the brain, rounded from what glioma patients show.
_INTENSITY = {
    "grey": (-0.3, -0.15, 0.1, 0.1),
    "white": (0.65, 0.3, -0.1, -0.4),
    "fluid": (-1.6, -1.2, -1.4, 2.6),
    "oedema": (-0.1, -0.1, 1.7, 1.1),
    "necrosis": (-1.0, -0.5, 1.0, 1.9),
    "enhancing": (-0.1, 2.6, 1.4, 0.7),
}
_BRIGHTNESS = (420.0, 380.0, 300.0, 350.0)
_SPREAD = (95.0, 85.0, 75.0, 100.0)


def make_patient(
    seed: int = 0, *, shape: tuple[int, int, int] = (240, 240, 155), spacing: float = 1.0, grade: Grade = "HGG"
) -> Phantom:
    """Make a patient with a glioma; the same seed gives the same patient.

    Args:
        seed: Decides brain, tumour, bias and noise.
        shape: Voxels along left, posterior, superior; shape times spacing should be about 240x240x155 mm.
        spacing: Voxel size in mm, the same along each axis.
        grade: ``HGG`` has an enhancing rim, ``LGG`` has none.

    Returns:
        Channels ``t1``, ``t1ce``, ``flair`` and ``t2``: float32, background exactly 0, of arbitrary scale as in MRI,
        axes towards left, posterior, superior. Labels 1 necrosis, 2 oedema, 4 enhancing (``brats2017``).

    Raises:
        ValueError: The field is too small or the voxels are too large to hold a brain.

    Examples:
        >>> patient = make_patient(1, shape=(48, 48, 31), spacing=5)
        >>> sorted(int(value) for value in np.unique(patient.label_map))
        [0, 1, 2, 4]
    """
    generator = np.random.default_rng(seed)
    parts = tissues(generator, shape, spacing)
    if not parts[3].any():
        raise ValueError(f"a field of {shape} voxels of {spacing} mm holds no brain")
    masks = _tumour(generator, parts, spacing, grade)
    fractions = _mix(parts, masks, spacing)
    images = {name: _image(generator, fractions, parts[3] > 0, number) for number, name in enumerate(_CHANNELS)}
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[1, 3] = FIELD_MM[1] - 1
    scheme = find_description("brats2017").scheme
    return Phantom(images, scheme.merge(masks), affine, scheme, grade)


def _tumour(
    generator: np.random.Generator, parts: NDArray[np.float32], spacing: float, grade: Grade
) -> NDArray[np.bool_]:
    """Return nested masks of whole, core and enhancing, shape (3, x, y, z)."""
    white, fluid, brain = parts[1], parts[2], parts[3] > 0
    depth = ndimage.distance_transform_edt(brain) * spacing
    # Gliomas sit in the white matter of the hemispheres, here away from rim and midline.
    lateral = np.abs((np.arange(brain.shape[0]) - (brain.shape[0] - 1) / 2) * spacing)[:, None, None]
    height = ((np.arange(brain.shape[2]) - (brain.shape[2] - 1) / 2) * spacing)[None, None]
    seat = (depth > 14) & (white > 0.5) & (lateral > 20) & (height > -10)
    voxels = np.flatnonzero(seat if seat.any() else brain)
    centre = np.unravel_index(int(generator.choice(voxels)), brain.shape)
    axes = [
        (np.arange(n) - c).reshape([-1 if k == axis else 1 for k in range(3)]) * spacing / s
        for axis, (n, c, s) in enumerate(zip(brain.shape, centre, generator.uniform(0.85, 1.2, 3), strict=True))
    ]
    radius = np.sqrt(sum(axis**2 for axis in axes)) + 2.5 * smooth_noise(generator, brain.shape, 9)
    size = generator.uniform(16, 22)
    core = (radius < size) & brain & (fluid < 0.6)
    # Oedema runs further where there is white matter, in fingers.
    reach = size + generator.uniform(6, 10) + 9 * white + 4 * smooth_noise(generator, brain.shape, 12)
    whole = ((radius < reach) & brain & (fluid < 0.5) & (white + 0.3 * core > 0.15)) | core
    whole = ndimage.binary_opening(whole) | core
    labelled, count = ndimage.label(whole)
    if count > 1:
        whole = labelled == labelled[core].max()
    if grade == "LGG":
        return np.stack([whole, core & whole, np.zeros_like(core)])
    rim = np.maximum(4 + 2 * smooth_noise(generator, brain.shape, 8), 0.9 * spacing)
    enhancing = core & (radius > size - rim)
    return np.stack([whole, core & whole, enhancing & whole])


def _mix(parts: NDArray[np.float32], masks: NDArray[np.bool_], spacing: float) -> dict[str, NDArray[np.float32]]:
    """Return the fraction of each tissue in each voxel: a tumour with soft edges in place of what was there."""
    soft = [ndimage.gaussian_filter(mask.astype(np.float32), 0.7 / spacing) for mask in masks]
    whole, core, enhancing = soft[0], np.minimum(soft[1], soft[0]), np.minimum(soft[2], soft[1])
    rest = 1 - whole
    return {
        "grey": parts[0] * rest,
        "white": parts[1] * rest,
        "fluid": parts[2] * rest,
        "oedema": whole - core,
        "necrosis": core - enhancing,
        "enhancing": enhancing,
    }


def _image(
    generator: np.random.Generator, fractions: dict[str, NDArray[np.float32]], brain: NDArray[np.bool_], channel: int
) -> NDArray[np.float32]:
    """Return one channel: tissues, texture, bias field, Rician noise, an arbitrary scale."""
    signal = sum(_INTENSITY[name][channel] * fraction for name, fraction in fractions.items())
    signal = signal + 0.08 * smooth_noise(generator, brain.shape, 40)
    bias = np.exp(0.06 * smooth_noise(generator, brain.shape, 2))
    clean = (_BRIGHTNESS[channel] + _SPREAD[channel] * signal) * bias
    noise = 0.1 * _SPREAD[channel] * generator.normal(size=(2, *brain.shape)).astype(np.float32)
    measured = np.hypot(np.maximum(clean, 0) + noise[0], noise[1]) * generator.uniform(0.7, 1.4)
    return np.where(brain, np.maximum(measured, 1), 0).astype(np.float32)
