"""Overlap of two masks: four counts, and the ratios made of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts", "count_voxels"]


def _ratio(part: int, total: int) -> float:
    return part / total if total else float("nan")


@dataclass(frozen=True)
class Counts:
    """Voxels that a predicted and a reference mask share or do not.

    A ratio whose denominator is zero is NaN: what then stands in a table is a convention, which `Rules`
    holds, and no arithmetic.

    Args:
        tp: In both.
        fp: In the prediction only.
        fn: In the reference only.
        tn: In neither.

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
        """Voxels of the prediction."""
        return self.tp + self.fp

    @property
    def reference(self) -> int:
        """Voxels of the reference."""
        return self.tp + self.fn

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN), in 0..1; NaN where both masks are empty. Dice, Ecology 26 (1945)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def jaccard(self) -> float:
        """TP / (TP + FP + FN), in 0..1; NaN where both masks are empty. Jaccard, New Phytol. 11 (1912)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN), in 0..1; NaN where the reference is empty."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP), in 0..1; NaN where the reference fills the grid."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def precision(self) -> float:
        """TP / (TP + FP), in 0..1; NaN where the prediction is empty."""
        return _ratio(self.tp, self.tp + self.fp)


def count_voxels(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], *, outside: int = 0) -> Counts:
    """Compare two masks voxel by voxel.

    Args:
        prediction: Booleans, any shape.
        reference: Booleans, the same shape.
        outside: Voxels of the grid that were cropped away because both masks are background there.

    Raises:
        ValueError: The shapes differ or an array is not boolean.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction is {prediction.shape} but reference is {reference.shape}")
    if prediction.dtype != bool or reference.dtype != bool:
        raise ValueError(f"masks must be boolean, not {prediction.dtype} and {reference.dtype}")
    both = int(np.count_nonzero(prediction & reference))
    predicted, present = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    neither = prediction.size + outside - predicted - present + both
    return Counts(tp=both, fp=predicted - both, fn=present - both, tn=neither)
