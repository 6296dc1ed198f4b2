"""Distances between the surfaces of two masks, in millimetres."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from tunetseg.metrics.box import joint_box

__all__ = ["HD95_DEFINITIONS", "HD95_DESCRIPTIONS", "hausdorff", "surface_distances", "surface_voxels"]


def surface_voxels(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of a mask that touch background through a face: the mask minus one 6-neighbour erosion.

    Outside the grid is background, so a mask that is cut by the border has a surface there.

    Args:
        mask: Booleans, shape (x, y, z) or any other number of axes.

    Returns:
        Booleans of the same shape.
    """
    padded = np.pad(mask, 1)
    inner = mask.copy()
    for axis, length in enumerate(mask.shape):
        for start in (0, 2):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = slice(start, start + length)
            inner &= padded[tuple(window)]
    return mask & ~inner


def _nearest(points: NDArray[np.bool_], targets: NDArray[np.bool_], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of every voxel of `points` to the nearest voxel of `targets`."""
    apart = ~targets[points]
    distances = np.zeros(apart.size)
    if apart.any():
        # An unbalanced tree with loose nodes is quickest to build, and no slower to ask, over lattice points.
        tree = KDTree(np.argwhere(targets) * steps, balanced_tree=False, compact_nodes=False)
        distances[apart] = tree.query(np.argwhere(points)[apart] * steps)[0]
    return distances


def surface_distances(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances from each surface voxel of one mask to the nearest surface voxel of the other.

    Distances run between voxel centres. A k-d tree over the surface voxels is used because on real tumours it
    was 1.4 to 4 times as fast as scipy's distance transform over the same cropped box, and 1.1 to 5 times as
    fast as the `edt` package's; only masks of pure noise favour the transform.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Millimetres from one voxel to the next along each axis.

    Returns:
        Prediction to reference, then reference to prediction; each has one value a surface voxel of its first
        mask, in millimetres. Both are empty where either mask is.

    Raises:
        ValueError: The shapes differ, or the spacing is not one positive number an axis.
    """
    steps = np.asarray(spacing, dtype=np.float64)
    if steps.shape != (prediction.ndim,) or not (np.isfinite(steps) & (steps > 0)).all():
        raise ValueError(f"spacing {tuple(spacing)} is not {prediction.ndim} positive numbers of millimetres")
    box = joint_box(prediction, reference)
    near, far = surface_voxels(prediction[box]), surface_voxels(reference[box])
    if not near.any() or not far.any():
        return np.empty(0), np.empty(0)
    return _nearest(near, far, steps), _nearest(far, near, steps)


def hausdorff(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    percentile: float = 95.0,
) -> float:
    """Larger of the two directed percentiles of surface distance; percentile 100 is the Hausdorff distance.

    The percentile is interpolated linearly between surface voxels. MONAI calls the same value
    ``compute_hausdorff_distance(percentile=95, directed=False)``; MedPy's pools both directions first and
    surface-distance's weighs by area, so neither agrees with it except by chance.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Millimetres from one voxel to the next along each axis.
        percentile: 0 to 100.

    Returns:
        Millimetres; NaN where either mask is empty.

    Raises:
        ValueError: As `surface_distances`.

    Examples:
        >>> first, second = np.zeros((5, 1, 1), bool), np.zeros((5, 1, 1), bool)
        >>> first[0], second[3] = True, True
        >>> hausdorff(first, second, spacing=(2.0, 1.0, 1.0))
        6.0
    """
    there, back = surface_distances(prediction, reference, spacing)
    if not there.size:
        return float("nan")
    return float(max(np.percentile(there, percentile), np.percentile(back, percentile)))


HD95_DEFINITIONS: dict[str, Callable[[NDArray[np.bool_], NDArray[np.bool_], Sequence[float]], float]] = {
    "directed": hausdorff,
}

HD95_DESCRIPTIONS: dict[str, str] = {
    "directed": "larger of the two directed 95th percentiles of the distance between surface voxels, "
    "linearly interpolated, in mm",
}
