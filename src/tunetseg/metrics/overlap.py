"""Overlap of two masks: four counts, and the ratios computed from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts", "centre_distance", "count_voxels"]


def _ratio(part: int, total: int) -> float:
    return part / total if total else float("nan")


@dataclass(frozen=True)
class Counts:
    """Counts of true and false, positive and negative voxels.

    A ratio whose denominator is 0 is NaN; the value that a table shows instead is a convention, and part of `Rules`.

    Args:
        tp: Voxels in both masks.
        fp: Voxels in the prediction only.
        fn: Voxels in the reference only.
        tn: Voxels in neither.

    Examples:
        >>> counts = Counts(tp=2, fp=1, fn=1, tn=4)
        >>> round(counts.dice, 4), counts.specificity
        (0.6667, 0.8)
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def predicted(self) -> int:
        """Number of voxels of the prediction."""
        return self.tp + self.fp

    @property
    def reference(self) -> int:
        """Number of voxels of the reference."""
        return self.tp + self.fn

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN), 0 to 1; NaN where both masks are empty. Dice, Ecology 26 (1945)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def jaccard(self) -> float:
        """TP / (TP + FP + FN), 0 to 1; NaN where both masks are empty. Jaccard, New Phytol. 11 (1912)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN), 0 to 1; NaN where the reference is empty."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP), 0 to 1; NaN where the reference fills the grid."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> float:
        """TP / (TP + FP), 0 to 1; NaN where the prediction is empty."""
        return _ratio(self.tp, self.tp + self.fp)


def count_voxels(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], *, outside: int = 0) -> Counts:
    """Compare two masks voxel by voxel.

    Args:
        prediction: Booleans, any shape.
        reference: Booleans, the same shape.
        outside: Voxels of the grid that were cropped away because both masks are background there.

    Returns:
        Counts over the whole grid.

    Raises:
        ValueError: The shapes differ or an array is not boolean.

    Examples:
        >>> count_voxels(np.array([True, True, False]), np.array([True, False, False]), outside=7)
        Counts(tp=1, fp=1, fn=0, tn=8)
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction is {prediction.shape} but reference is {reference.shape}")
    if prediction.dtype != bool or reference.dtype != bool:
        raise ValueError(f"masks must be boolean, not {prediction.dtype} and {reference.dtype}")
    both = int(np.count_nonzero(prediction & reference))
    predicted, present = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    neither = prediction.size + outside - predicted - present + both
    return Counts(tp=both, fp=predicted - both, fn=present - both, tn=neither)


def centre_distance(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float]) -> float:
    """Return the distance between the centres of gravity of two masks.

    Args:
        prediction: Booleans, shape (x, y, z) or any other number of axes.
        reference: Booleans, the same shape.
        spacing: Voxel size in mm along each axis.

    Returns:
        Millimetres; NaN where either mask is empty.

    Examples:
        >>> first, second = np.zeros((2, 5, 1, 1), bool)
        >>> first[:2], second[4] = True, True
        >>> centre_distance(first, second, (2, 1, 1))
        7.0
    """
    sizes = [int(np.count_nonzero(mask)) for mask in (prediction, reference)]
    if not all(sizes):
        return math.nan
    gaps = []
    for axis, side in enumerate(spacing):
        others = tuple(other for other in range(prediction.ndim) if other != axis)
        profiles = [np.count_nonzero(mask, axis=others) for mask in (prediction, reference)]
        first, second = (int(profile @ np.arange(len(profile))) for profile in profiles)
        # Whole numbers, so that the place of the masks in the grid changes not even the last digit.
        gaps.append((first * sizes[1] - second * sizes[0]) / (sizes[0] * sizes[1]) * side)
    return math.hypot(*gaps)
