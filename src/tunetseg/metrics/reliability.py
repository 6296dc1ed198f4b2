"""Reliability of probabilities: of the voxels that are given 70 %, is the label right in 70 %?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reliability", "reliability"]


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram of one region's probabilities.

    Args:
        edges: Edges of the bins of probability, shape (bin + 1,).
        voxels: Number of voxels in each bin, shape (bin,).
        confidence: Mean probability of each bin, NaN where the bin is empty, shape (bin,).
        frequency: Share of each bin's voxels that lie in the reference, NaN where the bin is empty, shape (bin,).
    """

    edges: NDArray[np.float64]
    voxels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]

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
    return Reliability(np.linspace(0, 1, bins + 1), voxels, confidence, frequency)
