"""Reliability of probabilities: of the voxels that are given 70 %, is the label right in 70 %?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import grow, joint_box

__all__ = ["BORDER_MM", "Reliability", "border_band", "pool_reliability", "reliability"]

BORDER_MM = 5.0
"""Half the width of the band round a border in which probabilities are scored."""


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram of one region's probabilities.

    Args:
        edges: Edges of the bins of probability, shape (bin + 1,).
        voxels: Number of voxels in each bin, shape (bin,).
        confidence: Mean probability of each bin, NaN where the bin is empty, shape (bin,).
        frequency: Share of each bin's voxels that lie in the reference, NaN where the bin is empty, shape (bin,).
        brier: Mean squared difference of probability and reference, 0 to 1; NaN without voxels. Brier, Monthly Weather
            Review 78 (1950).
    """

    edges: NDArray[np.float64]
    voxels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    brier: float

    @property
    def expected_error(self) -> float:
        """Expected calibration error: mean gap between confidence and frequency, weighted by voxels, 0 to 1.

        NaN where no bin has voxels. Naeini et al., AAAI 2015.
        """
        filled = self.voxels > 0
        gaps = np.abs(self.confidence - self.frequency)[filled]
        return float(np.average(gaps, weights=self.voxels[filled])) if filled.any() else float("nan")

    @property
    def maximum_error(self) -> float:
        """Maximum calibration error: largest gap of all bins that have voxels, 0 to 1; NaN where none has."""
        filled = self.voxels > 0
        return float(np.abs(self.confidence - self.frequency)[filled].max()) if filled.any() else float("nan")


def reliability(
    probabilities: NDArray[np.floating],
    reference: NDArray[np.bool_],
    where: NDArray[np.bool_] | None = None,
    *,
    bins: int = 10,
) -> Reliability:
    """Compare the probabilities of one region with how often they are right.

    Args:
        probabilities: 0 to 1, any shape.
        reference: Booleans, the same shape.
        where: Voxels to count, the same shape, such as the brain; None counts all. The background outside the
            brain is certain and right, and would hide any error.
        bins: Number of bins of equal width.

    Returns:
        One value per bin.

    Raises:
        ValueError: Shapes differ, or a probability lies outside 0 to 1.

    Examples:
        >>> round(reliability(np.array([0.95, 0.95, 0.05]), np.array([True, True, False])).expected_error, 6)
        0.05
    """
    mask = np.ones(reference.shape, bool) if where is None else where
    if not probabilities.shape == reference.shape == mask.shape:
        raise ValueError(f"shapes differ: {probabilities.shape}, {reference.shape}, {mask.shape}")
    values, truth = probabilities[mask].astype(np.float64), reference[mask]
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"probabilities run from {values.min():g} to {values.max():g}, not within 0 to 1")
    bin_of = np.minimum((values * bins).astype(np.int64), bins - 1)
    voxels = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bin_of, values, bins) / voxels
        frequency = np.bincount(bin_of, truth, bins) / voxels
    brier = float(np.mean((values - truth) ** 2)) if values.size else float("nan")
    return Reliability(np.linspace(0, 1, bins + 1), voxels, confidence, frequency, brier)


def pool_reliability(cases: Sequence[Reliability]) -> Reliability:
    """Return the reliability of the voxels of several cases together.

    Args:
        cases: One or more, with the same bins.

    Examples:
        >>> truth = np.array([True, False])
        >>> first, second = (reliability(np.full(2, p), truth, bins=2) for p in (0.6, 0.8))
        >>> pooled = pool_reliability([first, second])
        >>> pooled.voxels.tolist(), round(float(pooled.confidence[1]), 3), float(pooled.frequency[1])
        ([0, 4], 0.7, 0.5)
    """
    voxels = np.stack([case.voxels for case in cases])
    total = voxels.sum(axis=0)
    with np.errstate(invalid="ignore"):
        confidence, frequency = (
            np.nansum(voxels * np.stack([getattr(case, name) for case in cases]), axis=0) / total
            for name in ("confidence", "frequency")
        )
    counted = [case for case in cases if case.voxels.any()]
    weights = [int(case.voxels.sum()) for case in counted]
    brier = float(np.average([case.brier for case in counted], weights=weights)) if counted else float("nan")
    return Reliability(cases[0].edges, total, confidence, frequency, brier)


def border_band(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    width_mm: float = BORDER_MM,
) -> NDArray[np.bool_]:
    """Return the voxels near the border of either of two masks, where a segmentation is decided.

    Far from every border nearly all probabilities are 0 or 1 and right, and hide the errors of the others.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Voxel size in mm along each axis.
        width_mm: Largest distance of a voxel's centre from that of a voxel on the other side of a border.

    Returns:
        Booleans, the same shape; all false where both masks are empty.

    Examples:
        >>> mask = np.zeros((9, 1, 1), bool)
        >>> mask[4:] = True
        >>> border_band(mask, mask, (1, 1, 1), 2).ravel().astype(int).tolist()
        [0, 0, 1, 1, 1, 1, 0, 0, 0]
    """
    from scipy import ndimage

    band = np.zeros(reference.shape, bool)
    margin = max(math.ceil(width_mm / side) for side in spacing)
    for mask in (prediction, reference):
        box = grow(joint_box(mask, mask), margin, mask.shape)
        inner = mask[box]
        if inner.any():
            band[box] |= inner & (ndimage.distance_transform_edt(inner, spacing) <= width_mm)
            band[box] |= ~inner & (ndimage.distance_transform_edt(~inner, spacing) <= width_mm)
    return band
