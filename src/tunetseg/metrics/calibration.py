"""Calibration of probabilities: is what is said with 70 % right in 70 % of voxels?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "calibrate"]


@dataclass(frozen=True)
class Calibration:
    """Reliability of one region's probabilities, bin by bin.

    Args:
        edges: Of the bins of probability, shape (bin + 1,).
        voxels: In each bin, shape (bin,).
        confidence: Mean probability of each bin, NaN where it is empty.
        frequency: Share of each bin's voxels that are in the reference, NaN where it is empty.
    """

    edges: NDArray[np.float64]
    voxels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]

    @property
    def expected_error(self) -> float:
        """Mean gap between confidence and frequency, weighted by voxels, 0..1 (Naeini et al. 2015); NaN for none."""
        filled = self.voxels > 0
        gaps = np.abs(self.confidence - self.frequency)[filled]
        return float(np.average(gaps, weights=self.voxels[filled])) if filled.any() else float("nan")

    @property
    def maximum_error(self) -> float:
        """Largest gap of any bin that has voxels, 0..1; NaN for none."""
        filled = self.voxels > 0
        return float(np.abs(self.confidence - self.frequency)[filled].max()) if filled.any() else float("nan")


def calibrate(
    probabilities: NDArray[np.floating],
    reference: NDArray[np.bool_],
    where: NDArray[np.bool_] | None = None,
    *,
    bins: int = 10,
) -> Calibration:
    """Compare probabilities of one region with how often they are right.

    Args:
        probabilities: 0 to 1, any shape.
        reference: Booleans, the same shape.
        where: Voxels that count, the same shape, such as the brain; None: all. The background outside the brain
            is certain and right, and would hide any error.
        bins: Of equal width.

    Raises:
        ValueError: Shapes differ, or a probability lies outside 0..1.
    """
    mask = np.ones(reference.shape, bool) if where is None else where
    if not probabilities.shape == reference.shape == mask.shape:
        raise ValueError(f"shapes differ: {probabilities.shape}, {reference.shape}, {mask.shape}")
    values, truth = probabilities[mask].astype(np.float64), reference[mask]
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"probabilities run from {values.min():g} to {values.max():g}, not within 0..1")
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    voxels = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, values, bins) / voxels
        frequency = np.bincount(place, truth, bins) / voxels
    return Calibration(np.linspace(0, 1, bins + 1), voxels, confidence, frequency)
