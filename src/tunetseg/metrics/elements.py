"""Surface elements: where a mask's surface crosses the lattice of voxel corners, and the area at each corner.

The surface is that of marching cubes (Lorensen and Cline 1987) over the 2x2x2 voxels around a corner, with vertices in
the middle of the cube's edges. DeepMind's ``surface-distance`` defines it this way, and so does the BraTS code of 2023,
which uses that package.
"""

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["element_areas", "surface_elements"]

_CORNER = ((1, 1, 1),)
_EDGE = ((2, 2, 0), (2, 2, 0))
_HALF = ((4, 0, 0), (2, 2, 2), (1, 1, 1))

_TRIANGLES: dict[tuple[tuple[int, int, int], ...], tuple[tuple[int, int, int], ...]] = {
    # Positions of the filled voxels in the 2x2x2 cube -> area vectors of the triangles between them and the other
    # voxels, without sign, in eighths of a face. Every other cube is one of these rotated, mirrored or inverted.
    ((1, 1, 1),): _CORNER,
    ((1, 1, 0), (1, 1, 1)): _EDGE,
    ((1, 0, 1), (1, 1, 0)): _CORNER * 2,
    ((0, 1, 1), (1, 0, 0)): _CORNER * 2,
    ((1, 0, 1), (1, 1, 0), (1, 1, 1)): _HALF,
    ((0, 1, 1), (1, 0, 1), (1, 1, 0)): _CORNER * 3,
    ((0, 0, 1), (1, 1, 0), (1, 1, 1)): _EDGE + _CORNER,
    ((1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)): ((4, 0, 0), (4, 0, 0)),
    ((0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1)): ((2, 2, 2), (2, 2, 2), (1, 1, 1), (1, 1, 1)),
    ((0, 1, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1)): ((0, 2, 2), (2, 0, 2), (3, 3, 3), (1, 1, 1)),
    ((0, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)): _HALF + _CORNER,
    ((0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)): _EDGE * 2,
    ((0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1)): _CORNER * 4,
}


@lru_cache(maxsize=1)
def _area_vectors() -> NDArray[np.float64]:
    """Return the area vectors of the triangles of each of the 256 cubes, shape (256, 4, 3), padded with zeros."""
    table = np.zeros((256, 4, 3))
    for filled, vectors in _TRIANGLES.items():
        cube = np.zeros((2, 2, 2), bool)
        cube[tuple(np.transpose(filled))] = True
        for order in itertools.permutations(range(3)):
            for mirrored in itertools.product((1, -1), repeat=3):
                rotated = cube.transpose(order)[tuple(slice(None, None, step) for step in mirrored)]
                for variant in (rotated, ~rotated):
                    table[_code(variant)] = 0
                    table[_code(variant), : len(vectors)] = np.array(vectors)[:, order] / 8
    return table


def _code(cube: NDArray[np.bool_]) -> int:
    return int(cube.ravel() @ (1 << np.arange(8)))


@lru_cache(maxsize=32)
def element_areas(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the surface area inside each of the 256 cubes, in mm2.

    Args:
        spacing: Voxel size in mm along x, y, z.

    Returns:
        Shape (256,), indexed by the cube's code: bit ``4 x + 2 y + z`` is set where the voxel at (x, y, z) is filled.

    Examples:
        >>> round(float(element_areas((1.0, 1.0, 1.0))[1]), 4)
        0.2165
    """
    x, y, z = spacing
    areas = np.linalg.norm(_area_vectors() * (y * z, x * z, x * y), axis=-1).sum(axis=-1)
    areas.setflags(write=False)
    return areas


def surface_elements(
    mask: NDArray[np.bool_], spacing: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the corners of the voxel lattice that a mask's surface passes, and the area at each.

    Args:
        mask: Booleans, shape (x, y, z); outside the grid is background.
        spacing: Voxel size in mm along x, y, z.

    Returns:
        Indices of the corners, shape (element, 3), where corner (i, j, k) is the first corner of voxel (i, j, k); and
        the area at each in mm2, shape (element,).

    Raises:
        ValueError: The mask does not have three axes.

    Examples:
        >>> corners, areas = surface_elements(np.ones((1, 1, 1), bool), (1.0, 1.0, 1.0))
        >>> len(corners), round(float(areas.sum()), 4)
        (8, 1.7321)
    """
    if mask.ndim != 3:
        raise ValueError(f"a mask needs three axes, not {mask.ndim}")
    codes: NDArray[np.integer] = np.pad(mask, 1).view(np.uint8)
    codes = codes[:, :, :-1] | codes[:, :, 1:] << 1
    codes = codes[:, :-1] | codes[:, 1:] << 2
    codes = codes[:-1] | codes[1:] << 4
    # Neither 0 nor 255, as 0 - 1 is 255.
    indices = np.flatnonzero(codes - np.uint8(1) < 254)
    areas = element_areas((float(spacing[0]), float(spacing[1]), float(spacing[2])))[codes.ravel()[indices]]
    return np.stack(np.unravel_index(indices, codes.shape), axis=-1), areas
