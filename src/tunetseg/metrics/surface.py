"""Distances between the surfaces of two masks, in millimetres."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.elements import surface_elements

__all__ = ["HAUSDORFF", "Hausdorff", "SurfaceDistances", "hausdorff", "surface_distances", "surface_voxels"]

Elements = Literal["voxels", "areas"]
"""What a surface is made of: the outermost voxels of a mask, or pieces of area at the corners between voxels."""


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


@dataclass(frozen=True)
class SurfaceDistances:
    """How far the elements of two surfaces are from each other; all arrays are empty where either mask is.

    Args:
        to_reference: Of each element of the prediction's surface, to the nearest of the reference's, mm.
        to_prediction: Of each element of the reference's surface, to the nearest of the prediction's, mm.
        prediction_areas: Area of each element of the prediction's surface, mm2; 1 each where elements are voxels.
        reference_areas: The same of the reference's surface.
    """

    to_reference: NDArray[np.float64]
    to_prediction: NDArray[np.float64]
    prediction_areas: NDArray[np.float64]
    reference_areas: NDArray[np.float64]

    def directed(self, percentile: float) -> float:
        """Larger of the two directed percentiles, each linearly interpolated, every element counting the same."""
        if not self.to_reference.size:
            return float("nan")
        both = (np.percentile(distances, percentile) for distances in (self.to_reference, self.to_prediction))
        return float(max(both))

    def pooled(self, percentile: float) -> float:
        """Percentile of both directions' distances taken together, linearly interpolated."""
        if not self.to_reference.size:
            return float("nan")
        return float(np.percentile(np.concatenate([self.to_reference, self.to_prediction]), percentile))

    def weighted(self, percentile: float) -> float:
        """Larger of the two directed percentiles by area: the least distance within which that share of area lies."""
        if not self.to_reference.size:
            return float("nan")
        return max(
            _weighted_percentile(self.to_reference, self.prediction_areas, percentile),
            _weighted_percentile(self.to_prediction, self.reference_areas, percentile),
        )

    @property
    def average_to_reference(self) -> float:
        """Mean distance from the prediction's surface to the reference's, weighted by area; NaN where one is empty."""
        return _weighted_mean(self.to_reference, self.prediction_areas)

    @property
    def average_to_prediction(self) -> float:
        """Mean distance from the reference's surface to the prediction's, weighted by area; NaN where one is empty."""
        return _weighted_mean(self.to_prediction, self.reference_areas)

    @property
    def average_symmetric(self) -> float:
        """Mean distance over the elements of both surfaces, weighted by area; NaN where one is empty."""
        return _weighted_mean(
            np.concatenate([self.to_reference, self.to_prediction]),
            np.concatenate([self.prediction_areas, self.reference_areas]),
        )

    def surface_dice(self, tolerance: float) -> float:
        """Share of both surfaces' area that lies within a tolerance of the other surface, 0 to 1.

        Nikolov et al., J Med Internet Res 23 (2021), whose elements are areas.

        Args:
            tolerance: mm, itself included.

        Returns:
            NaN where either mask is empty.
        """
        total = self.prediction_areas.sum() + self.reference_areas.sum()
        if not total:
            return float("nan")
        near = self.prediction_areas[self.to_reference <= tolerance].sum()
        near += self.reference_areas[self.to_prediction <= tolerance].sum()
        return float(near / total)


def _weighted_percentile(distances: NDArray[np.float64], areas: NDArray[np.float64], percentile: float) -> float:
    order = np.argsort(distances)
    shares = np.cumsum(areas[order]) / areas.sum()
    # Rounding may leave the last share just under 1.
    place = min(int(np.searchsorted(shares, percentile / 100)), len(order) - 1)
    return float(distances[order][place])


def _weighted_mean(distances: NDArray[np.float64], areas: NDArray[np.float64]) -> float:
    return float((distances * areas).sum() / areas.sum()) if distances.size else float("nan")


_REACH = 2


@lru_cache(maxsize=32)
def _steps_around(spacing: tuple[float, ...]) -> list[tuple[tuple[int, ...], float]]:
    """Steps on the lattice to all points as near as two of its shortest steps, the nearest first, and their lengths."""
    steps = itertools.product(range(-_REACH, _REACH + 1), repeat=len(spacing))
    lengths = ((step, math.hypot(*(n * mm for n, mm in zip(step, spacing, strict=True)))) for step in steps)
    near = _REACH * min(spacing) * (1 + 1e-9)
    return sorted((found for found in lengths if found[1] <= near), key=lambda found: found[1])


def _nearest(
    points: NDArray[np.int64], targets: NDArray[np.int64], shape: tuple[int, ...], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """Distance of every point to the nearest target, both indices on one lattice, shape (point, axis).

    Most surfaces of a good segmentation lie within two steps of each other, where trying every step is quicker than
    asking the tree; the tree has the rest.
    """
    wide = tuple(n + 2 * _REACH for n in shape)
    strides = [math.prod(wide[axis + 1 :]) for axis in range(len(wide))]
    is_target = np.zeros(math.prod(wide), bool)
    is_target[(targets + _REACH) @ strides] = True
    distances = np.zeros(len(points))
    left, places = np.arange(len(points)), (points + _REACH) @ strides
    for step, length in _steps_around(spacing):
        found = is_target[places + sum(n * stride for n, stride in zip(step, strides, strict=True))]
        distances[left[found]] = length
        left, places = left[~found], places[~found]
    if left.size:
        from scipy.spatial import KDTree

        # An unbalanced tree with loose nodes is quickest to build, and no slower to ask, over lattice points.
        tree = KDTree(targets * spacing, balanced_tree=False, compact_nodes=False)
        distances[left] = tree.query(points[left] * spacing)[0]
    return distances


def surface_distances(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    *,
    elements: Elements = "voxels",
) -> SurfaceDistances:
    """Distances from each surface element of one mask to the nearest of the other.

    A k-d tree over the elements beyond the nearest ones is used because on real tumours it was 1.4 to 4 times as fast
    as scipy's distance transform over the same cropped box, and 1.1 to 5 times as fast as the `edt` package's; only
    masks of pure noise favour the transform.

    Args:
        prediction: Booleans, shape (x, y, z); with ``voxels`` any other number of axes too.
        reference: Booleans, the same shape.
        spacing: Millimetres from one voxel to the next along each axis.
        elements: ``voxels``: distances run between the centres of surface voxels, as MedPy and MONAI have it.
            ``areas``: they run between corners of the voxel lattice, as DeepMind's surface-distance has it.

    Raises:
        ValueError: The shapes differ, or the spacing is not one positive number an axis.
    """
    steps = tuple(float(step) for step in spacing)
    if len(steps) != prediction.ndim or not all(math.isfinite(step) and step > 0 for step in steps):
        raise ValueError(f"spacing {tuple(spacing)} is not {prediction.ndim} positive numbers of millimetres")
    box = joint_box(prediction, reference)
    predicted, present = prediction[box], reference[box]
    if not predicted.any() or not present.any():
        nothing = np.empty(0)
        return SurfaceDistances(nothing, nothing, nothing, nothing)
    if elements == "voxels":
        near, far = np.argwhere(surface_voxels(predicted)), np.argwhere(surface_voxels(present))
        near_areas, far_areas = np.ones(len(near)), np.ones(len(far))
    else:
        near, near_areas = surface_elements(predicted, steps)
        far, far_areas = surface_elements(present, steps)
    shape = tuple(n + 1 for n in predicted.shape)
    return SurfaceDistances(_nearest(near, far, shape, steps), _nearest(far, near, shape, steps), near_areas, far_areas)


@dataclass(frozen=True)
class Hausdorff:
    """One of the meanings that a percentile of the Hausdorff distance has in the field.

    Args:
        description: For tables and files; ``{p}`` stands for the percentile.
        elements: What surfaces are made of.
        percentile: Takes the distances and a percentile from 0 to 100, gives mm.
    """

    description: str
    elements: Elements
    percentile: Callable[[SurfaceDistances, float], float]


HAUSDORFF: dict[str, Hausdorff] = {
    "directed": Hausdorff(
        "larger of the two directed {p}th percentiles of the distance between surface voxels, linearly interpolated, "
        "in mm",
        "voxels",
        SurfaceDistances.directed,
    ),
    "pooled": Hausdorff(
        "{p}th percentile of the distances between surface voxels of both directions together, linearly "
        "interpolated, in mm",
        "voxels",
        SurfaceDistances.pooled,
    ),
    "area-weighted": Hausdorff(
        "larger of the two directed {p}th percentiles of the distance between surfaces, weighted by surface area, "
        "not interpolated, in mm",
        "areas",
        SurfaceDistances.weighted,
    ),
}
"""Definitions by name: MONAI's (``directed``), MedPy's (``pooled``), surface-distance's and thus the BraTS code's of
2023 (``area-weighted``). On one pair of masks they differ by up to tens of millimetres."""


def hausdorff(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    percentile: float = 95.0,
    *,
    definition: str = "directed",
) -> float:
    """Percentile of the Hausdorff distance; percentile 100 is the Hausdorff distance itself.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Millimetres from one voxel to the next along each axis.
        percentile: 0 to 100.
        definition: Key of `HAUSDORFF`.

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
    meaning = HAUSDORFF[definition]
    return meaning.percentile(surface_distances(prediction, reference, spacing, elements=meaning.elements), percentile)
