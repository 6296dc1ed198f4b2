"""A synthetic patient of any channels and any number of nested regions, made from a seed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets.labels import LabelScheme
from tunetseg.datasets.phantom.anatomy import smooth_noise
from tunetseg.datasets.phantom.phantom import Phantom

__all__ = ["make_nested"]


def make_nested(
    seed: int = 0,
    *,
    channels: Sequence[str] = ("first", "second"),
    regions: int = 4,
    shape: tuple[int, int, int] = (40, 40, 32),
    spacing: float = 5.0,
) -> Phantom:
    """Make an egg-shaped body with nested regions, one inside the other like the layers of an onion.

    It has no anatomy: it tests what must hold for every dataset.

    Args:
        seed: Decides body, regions and noise; the same seed gives the same patient.
        channels: Names of the images.
        regions: How many nested regions, from 1 to 9.
        shape: Voxels along left, posterior, superior.
        spacing: Voxel size in mm, the same along each axis.

    Returns:
        Images as float32, 0 outside of the body. The label map's value is the count of regions that hold a voxel;
        the regions are called ``region1`` (outermost), ``region2`` and so on.

    Raises:
        ValueError: There is no channel, or the number of regions is not from 1 to 9, or the grid is too coarse for
            them.

    Examples:
        >>> patient = make_nested(0, channels=("pet", "ct"), regions=3)
        >>> list(patient.images), sorted(int(value) for value in np.unique(patient.label_map))
        (['pet', 'ct'], [0, 1, 2, 3])
    """
    if not channels or not 1 <= regions <= 9:
        raise ValueError(f"{len(channels)} channels and {regions} regions; at least 1 channel and 1 to 9 regions")
    generator = np.random.default_rng(seed)
    sides = np.array(shape) * spacing
    places = np.meshgrid(
        *((np.arange(n, dtype=np.float32) - (n - 1) / 2) * spacing for n in shape), indexing="ij", sparse=True
    )
    body = sum((mm / side) ** 2 for mm, side in zip(places, sides * generator.uniform(0.38, 0.46, 3), strict=True)) < 1
    nesting = _nesting(generator, places, sides, body, regions)
    if len(np.unique(nesting)) != regions + 1:
        raise ValueError(f"a field of {shape} voxels of {spacing:g} mm does not hold {regions} nested regions")
    images = {name: _image(generator, nesting, body, regions, n) for n, name in enumerate(channels)}
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    values = range(1, regions + 1)
    scheme = LabelScheme(
        f"nested{regions}",
        {f"region{value}": tuple(range(value, regions + 1)) for value in values},
        tuple(values),
        {value: f"region {value}" for value in values},
    )
    return Phantom(images, nesting, affine, scheme)


def _nesting(
    generator: np.random.Generator,
    places: Sequence[NDArray[np.float32]],
    sides: NDArray[np.float64],
    body: NDArray[np.bool_],
    regions: int,
) -> NDArray[np.uint8]:
    """Return how many regions hold each voxel: deformed layers around one centre."""
    centre = sides * generator.uniform(-0.1, 0.1, 3)
    distance = np.sqrt(sum((mm - c) ** 2 for mm, c in zip(places, centre, strict=True)))
    distance = distance / (sides.min() * generator.uniform(0.3, 0.36)) + 0.06 * smooth_noise(generator, body.shape, 4)
    # Equal steps of radius would leave the innermost region a few voxels.
    layers = np.ceil((1 - np.maximum(distance, 0) ** 1.7) * regions)
    return (np.clip(layers, 0, regions) * body).astype(np.uint8)


def _image(
    generator: np.random.Generator, nesting: NDArray[np.uint8], body: NDArray[np.bool_], regions: int, channel: int
) -> NDArray[np.float32]:
    """Return one channel, in which each layer has a brightness of its own, the same in every patient."""
    order = np.arange(regions + 1) if channel == 0 else np.random.default_rng(channel).permutation(regions + 1)
    clean = 200 + 600 * order[nesting] / regions + 20 * smooth_noise(generator, body.shape, 8)
    noisy = clean + 30 * generator.normal(size=body.shape)
    return np.where(body, np.maximum(np.rint(noisy), 1), 0).astype(np.float32)
