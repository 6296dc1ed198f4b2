"""Bringing images, probabilities and masks from one lattice of voxels to any other in the same world space."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunetseg.io import Grid

__all__ = ["regrid", "regrid_masks"]


def regrid(
    array: NDArray[np.float32],
    source: Grid,
    target: Grid,
    *,
    move: ArrayLike | None = None,
    masked: bool = False,
    outside: float = 0.0,
) -> NDArray[np.float32]:
    """Interpolate linearly, after smoothing along axes on which the target is coarser, so that nothing is aliased.

    Args:
        array: Shape of ``source``, in its order of axes.
        source: Where the voxels lie.
        target: Where values are wanted.
        move: World coordinates of the source to those of the target in mm, shape (4, 4); by default they are the same.
        masked: A voxel of exactly 0 is outside: it does not darken its neighbours, and the edge of what is inside stays
            sharp.
        outside: Value of voxels of the target that lie outside.

    Returns:
        float32, shape of ``target``, in its order of axes.

    Examples:
        >>> grid = Grid(np.diag([-2, -2, 2, 1]), (3, 3, 3))
        >>> finer = Grid(np.diag([-1, -1, 1, 1]), (5, 5, 5))
        >>> regrid(np.indices((3, 3, 3), np.float32)[0], grid, finer)[:, 2, 2].tolist()
        [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    matrix = np.linalg.inv((np.eye(4) if move is None else np.asarray(move)) @ source.affine) @ target.affine
    # Length of a voxel of the target along each axis of the source; a box of that length has this variance.
    steps = np.linalg.norm(matrix[:3, :3], axis=1)
    sigma = np.sqrt(np.clip(steps**2 - 1, 0, None) / 12)
    inside = (array != 0 if masked else np.ones(array.shape, bool)).astype(np.float32)
    values, weights = (_sampled(image, matrix, target.shape, sigma) for image in (array, inside))
    result = np.full(target.shape, outside, np.float32)
    near = weights >= 0.5 - 1e-4
    result[near] = values[near] / weights[near]
    return result


def regrid_masks(
    masks: NDArray[np.bool_], source: Grid, target: Grid, *, move: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Bring masks to another lattice; nested masks stay nested.

    Args:
        masks: Shape (region, ...) and then that of ``source``.
        source: Where the voxels lie.
        target: Where masks are wanted.
        move: As for `regrid`.

    Returns:
        Shape (region, ...) and then that of ``target``.
    """
    return np.stack([regrid(mask.astype(np.float32), source, target, move=move) >= 0.5 for mask in masks])


def _sampled(
    array: NDArray[np.float32], matrix: NDArray[np.float64], shape: tuple[int, int, int], sigma: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Values at places of an array, beyond which it is 0."""
    from scipy import ndimage

    smooth = array.astype(np.float32, copy=False)
    for axis, width in enumerate(sigma):
        if width > 0.05:
            smooth = ndimage.gaussian_filter1d(smooth, width, axis, mode="constant")
    return ndimage.affine_transform(
        smooth, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=1, mode="grid-constant", output=np.float32
    )
