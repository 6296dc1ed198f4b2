"""A synthetic abdomen in CT with a kidney tumour, made from a seed.

Arterial phase, in Hounsfield units (HU). Everything is laid out in millimetres around the middle of the field of view,
so that in the same field one seed gives one patient, whatever the voxel size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tunetseg.datasets.catalogue import find_description
from tunetseg.datasets.phantom.anatomy import smooth_noise
from tunetseg.datasets.phantom.phantom import Phantom

__all__ = ["make_ct_patient"]

_AIR, _FAT, _MUSCLE = -1000.0, -100.0, 55.0
_WALL_MM = 12.0
_LENGTHS = (27.0, 24.0, 56.0)
"""Half-axes of a kidney in mm: across, from front to back, from pole to pole."""

_Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Scene:
    """What has been painted so far.

    Args:
        generator: Source of everything random.
        spacing: Voxel size in mm along slices, rows, columns.
        left: mm to the left of the middle, deformed, shape (slices, rows, columns).
        back: The same towards posterior.
        up: The same towards superior.
        inside: mm from the skin, negative outside of the body.
        spine: mm from the middle of the field back to the middle of the vertebrae.
        fat: Thickness of the fat under the skin in mm.
        hu: Result, float32.
    """

    generator: np.random.Generator
    spacing: tuple[float, float, float]
    left: _Floats
    back: _Floats
    up: _Floats
    inside: _Floats
    spine: float
    fat: float
    hu: _Floats

    @property
    def cavity(self) -> NDArray[np.bool_]:
        """Inside of the muscles of the wall."""
        return self.inside > self.fat + _WALL_MM

    def noise(self, size_mm: float) -> _Floats:
        """Return noise with features of a size in mm."""
        return _noise(self.generator, self.hu.shape, self.spacing, size_mm)

    def radius(self, centre: tuple[float, float, float], axes: tuple[float, float, float]) -> _Floats:
        """Return the distance from an ellipsoid's centre, 1 on its surface; an infinite axis makes a cylinder.

        Args:
            centre: mm towards left, posterior, superior.
            axes: Half-axes in mm.
        """
        parts = zip((self.left, self.back, self.up), centre, axes, strict=True)
        return np.sqrt(sum(((mm - c) / a) ** 2 for mm, c, a in parts if np.isfinite(a)))


def _noise(
    generator: np.random.Generator, shape: tuple[int, ...], spacing: tuple[float, float, float], size_mm: float
) -> _Floats:
    cells = tuple(max(1, round(n * s / size_mm)) for n, s in zip(shape, spacing, strict=True))
    return smooth_noise(generator, shape, cells)


def make_ct_patient(
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = (72, 512, 512),
    spacing: tuple[float, float, float] = (3.0, 0.8, 0.8),
) -> Phantom:
    """Make a patient with a kidney tumour; the same seed gives the same patient.

    Args:
        seed: Decides body, organs, tumour and noise.
        shape: Slices, rows and columns, as the files of KiTS are stored: the axes point to inferior, posterior, left.
        spacing: Voxel size in mm along them. The field, shape times spacing, should be about 200x400x400 mm.

    Returns:
        One channel, ``ct``: float32, whole HU from -1024 to 3071. Labels 1 kidney, 2 tumour (``kits19``).

    Raises:
        ValueError: The field is too small to hold a kidney and its tumour.

    Examples:
        >>> patient = make_ct_patient(1, shape=(28, 36, 48), spacing=(7, 8, 8))
        >>> sorted(int(value) for value in np.unique(patient.label_map))
        [0, 1, 2]
    """
    generator = np.random.default_rng(seed)
    scene = _body(generator, shape, spacing)
    _spine_and_vessels(scene)
    _abdomen(scene)
    label_map = _kidneys(scene)
    if not ((label_map == 1).any() and (label_map == 2).any()):
        raise ValueError(f"a field of {shape} voxels of {spacing} mm does not hold the kidneys")
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -spacing[0], -spacing[1], -spacing[2], 1
    return Phantom({"ct": _scan(scene)}, label_map, affine, find_description("kits19").scheme)


def _body(generator: np.random.Generator, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> _Scene:
    """Return a scene with the fat under the skin, the muscles of the wall, and the fat around the organs."""
    across, deep = generator.uniform(150, 172), generator.uniform(102, 122)
    fat = generator.uniform(12, 26)
    up, back, left = (
        sign * ((np.arange(n, dtype=np.float32) - (n - 1) / 2) * s).reshape([-1 if k == axis else 1 for k in range(3)])
        + 5 * _noise(generator, shape, spacing, 90)
        for axis, (n, s, sign) in enumerate(zip(shape, spacing, (-1, 1, 1), strict=True))
    )
    elliptic = np.sqrt((left / across) ** 2 + (back / deep) ** 2)
    inside = np.hypot(left, back) * (1 / np.maximum(elliptic, 1e-3) - 1)
    hu = np.where(inside > 0, _FAT, _AIR).astype(np.float32)
    hu[(inside > fat) & (inside <= fat + _WALL_MM)] = _MUSCLE
    return _Scene(generator, spacing, left, back, up, inside, deep - fat - 38, fat, hu)


def _spine_and_vessels(scene: _Scene) -> None:
    """Paint vertebrae and discs, the muscles along them, aorta and inferior vena cava."""
    generator, spine, hu = scene.generator, scene.spine, scene.hu
    endless = np.inf
    for side in (-1, 1):
        hu[scene.radius((side * 36, spine + 22, 0), (28, 18, endless)) < 1] = _MUSCLE
        hu[(scene.radius((side * 38, spine - 2, 0), (15, 19, endless)) < 1) & scene.cavity] = _MUSCLE + 5
    arch = scene.radius((0, spine + 24, 0), (16, 14, endless))
    hu[arch < 1] = 350
    hu[arch < 0.6] = 30
    body = scene.radius((0, spine, 0), (24, 18, endless))
    disc = (scene.up + generator.uniform(0, 33)) % 33 < 9
    hu[body < 1] = np.where(disc, 90, np.where(body > 0.88, 380, generator.uniform(150, 220)))[body < 1]
    hu[scene.radius((9, spine - 31, 0), (10, 10, endless)) < 1] = generator.uniform(250, 340)
    hu[scene.radius((-17, spine - 28, 0), (13, 9, endless)) < 1] = generator.uniform(90, 150)


def _abdomen(scene: _Scene) -> None:
    """Paint liver, spleen, and bowel with gas."""
    generator, hu, cavity = scene.generator, scene.hu, scene.cavity
    loops = scene.noise(32)
    bowel = cavity & (scene.back < scene.spine - 45) & (loops > 0.1)
    hu[bowel] = 40
    # Gas rises to the front of a loop, since patients lie on their backs.
    hu[bowel & (loops + 0.02 * (scene.spine - 80 - scene.back) > 1.2)] = -950
    liver = (scene.radius((-78, -8, 62), (82, 78, 72)) < 1 + 0.06 * loops) & cavity
    hu[liver] = generator.uniform(70, 100)
    spleen = (scene.radius((98, 22, 72), (28, 42, 44)) < 1) & cavity
    hu[spleen] = generator.uniform(110, 140)


def _kidneys(scene: _Scene) -> NDArray[np.uint8]:
    """Paint both kidneys and a tumour in or on one of them; return the label map."""
    generator, hu = scene.generator, scene.hu
    label_map = np.zeros(hu.shape, np.uint8)
    cortex = generator.uniform(190, 230)
    bumps = scene.noise(22)
    places = {}
    for side, height in ((-1, generator.uniform(-16, -4)), (1, generator.uniform(-2, 10))):
        place = (side * generator.uniform(62, 70), scene.spine - generator.uniform(2, 10), height)
        across, deep, along = _kidney_axes(scene, place, side)
        size = generator.uniform(0.92, 1.08)
        radius = np.sqrt(sum((mm / (size * a)) ** 2 for mm, a in zip((across, deep, along), _LENGTHS, strict=True)))
        # The sinus opens towards the spine and the front; it holds fat and does not belong to the label.
        sinus = np.sqrt(((across + 16) / 17) ** 2 + (deep / 9) ** 2 + (along / 27) ** 2) < 1
        kidney = (radius < 1 + 0.04 * bumps) & ~sinus & (scene.inside > scene.fat)
        hu[(radius < 1) & sinus] = -60
        hu[kidney] = np.where(radius + 0.1 * bumps > 0.7, cortex, cortex - 35)[kidney]
        label_map[kidney] = 1
        places[side] = place
    side = int(generator.choice((-1, 1)))
    _tumour(scene, places[side], side, cortex, label_map)
    return label_map


def _kidney_axes(scene: _Scene, place: tuple[float, float, float], side: int) -> tuple[_Floats, _Floats, _Floats]:
    """Return mm along a kidney's axes: away from the hilum, backwards, to the upper pole, which leans inwards."""
    lateral = side * (scene.left - place[0])
    back, up = scene.back - place[1], scene.up - place[2]
    turn, lean = np.radians(scene.generator.uniform(15, 40)), np.radians(scene.generator.uniform(6, 14))
    outwards, along = lateral * np.cos(lean) + up * np.sin(lean), up * np.cos(lean) - lateral * np.sin(lean)
    return outwards * np.cos(turn) + back * np.sin(turn), back * np.cos(turn) - outwards * np.sin(turn), along


def _tumour(
    scene: _Scene, place: tuple[float, float, float], side: int, cortex: float, label_map: NDArray[np.uint8]
) -> None:
    """Paint a mass of 24 to 64 mm at the outer side of a kidney, darker than it; most have a necrotic centre."""
    generator, hu = scene.generator, scene.hu
    size = generator.uniform(12, 32)
    # Somewhere on the surface away from the hilum, growing into the kidney or out of it.
    polar, round_about = generator.uniform(-1.1, 1.1), generator.uniform(-0.9, 0.9)
    towards = (side * np.cos(polar) * np.cos(round_about), np.cos(polar) * np.sin(round_about), np.sin(polar))
    reach = generator.uniform(0.75, 1.05)
    left, back, up = (p + reach * t * a for p, t, a in zip(place, towards, _LENGTHS, strict=True))
    radius = size * scene.radius((left, back, up), (size, size, size)) + 0.12 * size * scene.noise(25)
    # It displaces fat, kidney, liver and bowel, not bone, muscle or large vessels.
    fixed = ~scene.cavity | (np.abs(scene.left) < 30) & (scene.back > scene.spine - 45)
    mass = (radius < size) & ~fixed
    labelled, count = ndimage.label(mass)
    if not count:
        return
    mass = labelled == 1 + np.argmax(np.bincount(labelled.ravel())[1:])
    level = min(generator.uniform(65, 125), cortex - 85)
    hu[mass] = level
    if generator.uniform() < 0.7:
        texture = scene.noise(11)
        hu[mass] += 14 * texture[mass]
        hu[mass & (radius < 0.55 * size)] = generator.uniform(15, 40)
    label_map[mass] = 2


def _scan(scene: _Scene) -> _Floats:
    """Return the image: the scene with partial volume, texture of tissue, and noise."""
    generator = scene.generator
    body = scene.inside > 0
    hu = scene.hu + np.where(body & (scene.hu > -500), 5 * scene.noise(14), 0)
    hu = ndimage.gaussian_filter(hu, 0.45)
    hu += generator.uniform(9, 16) * generator.normal(size=hu.shape).astype(np.float32)
    return np.rint(hu).clip(-1024, 3071).astype(np.float32)
