"""Lesions matched one to one, as the BraTS challenge scores them since 2026."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.components import find_parts
from tunetseg.metrics.lesions import Lesion, Separated, score_parts

__all__ = ["MatchingRules", "OneToOneMatch", "assign", "match_one_to_one"]


@dataclass(frozen=True)
class MatchingRules:
    """How lesions are matched one to one, and which of them enter the means.

    Args:
        threshold: Smallest Dice, or IoU, of a pair; smaller ones cannot be matched.
        measure: Overlap whose sum over pairs is greatest. With ``iou`` and a threshold of 0.5 or more, each component
            fits at most one other, so that every way to match gives the same pairs.
        penalty_mm: HD95 where nothing is matched.
        hausdorff: Key of `HAUSDORFF`.
        large_mm3: Lesions of this volume and more enter the means, smaller ones only the F1; None: every lesion enters
            both.
        detection_dice: Dice from which a smaller lesion is detected; only with ``large_mm3``.
        count_misses: Missed lesions and false positives enter the means, with 0 and the penalty.
        empty_is_perfect: A region that is empty on both sides is perfect; otherwise it is left out, as is one without
            a lesion of the size that a mean or count is over.
        reversed_axes: Lesions are numbered with the axes reversed, which decides between pairs of equal Dice, and
            distances take the sides of a voxel in the order of the axes that were not reversed, as by an official code.
    """

    threshold: float = 1e-6
    measure: Literal["dice", "iou"] = "dice"
    penalty_mm: float = 373.0
    hausdorff: str = "pooled"
    large_mm3: float | None = None
    detection_dice: float = 0.2
    count_misses: bool = False
    empty_is_perfect: bool = False
    reversed_axes: bool = False


@dataclass(frozen=True)
class OneToOneMatch:
    """All lesions of one region of one case, each matched with at most one predicted component.

    Args:
        rules: Rules that they were matched by.
        lesions: All lesions of the reference, smallest first.
        false_positives: Predicted components that are matched with no lesion.
    """

    rules: MatchingRules
    lesions: tuple[Lesion, ...]
    false_positives: int

    @property
    def averaged(self) -> tuple[Lesion, ...]:
        """Lesions that enter the means if they are matched: all, or the large ones."""
        large = self.rules.large_mm3
        return tuple(lesion for lesion in self.lesions if large is None or lesion.volume_mm3 >= large)

    @property
    def detectable(self) -> tuple[Lesion, ...]:
        """Lesions that enter the counts and the F1: all, or the small ones."""
        large = self.rules.large_mm3
        return tuple(lesion for lesion in self.lesions if large is None or lesion.volume_mm3 < large)

    @property
    def true_positives(self) -> int:
        """Number of lesions that are detected."""
        least = 0.0 if self.rules.large_mm3 is None else self.rules.detection_dice
        return sum(lesion.components > 0 and lesion.dice >= least for lesion in self.detectable)

    @property
    def false_negatives(self) -> int:
        """Number of lesions that are not."""
        return len(self.detectable) - self.true_positives

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), the RQ of panoptic quality; NaN, or 1 by strict rules, where there is nothing."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        if self._leaves_out(self.detectable) or not total:
            return self._nothing(1.0)
        return 2 * self.true_positives / total

    @property
    def dice(self) -> float:
        """Mean Dice of matched lesions, or of all; 0 where none is matched, NaN where there is nothing to score."""
        return self._mean([lesion.dice for lesion in self._matched], 0.0, 1.0)

    @property
    def hd95(self) -> float:
        """Mean HD95 in mm likewise; the penalty where none is matched, NaN where there is nothing to score."""
        return self._mean([lesion.hd95 for lesion in self._matched], self.rules.penalty_mm, 0.0)

    @property
    def nsd(self) -> float:
        """Mean normalised surface Dice likewise; 0 where none is matched, NaN where there is nothing to score."""
        return self._mean([lesion.nsd[0] for lesion in self._matched], 0.0, 1.0)

    @property
    def panoptic_quality(self) -> float:
        """F1 times the mean overlap of all matched lesions, Dice or IoU by ``measure``; Kirillov et al., CVPR 2019.

        NaN, or 1 by strict rules, where there is nothing on either side. Sizes are left aside.
        """
        matched = self._overlaps
        total = len(self.lesions) + len(matched) + self.false_positives
        return 2 * sum(matched) / total if total else self._nothing(1.0)

    @property
    def segmentation_quality(self) -> float:
        """Mean overlap of all matched lesions, Dice or IoU by ``measure``, the SQ of panoptic quality.

        0 where none is matched; NaN, or 1 by strict rules, where there is nothing on either side.
        """
        matched = self._overlaps
        if not self.lesions and not self.false_positives:
            return self._nothing(1.0)
        return sum(matched) / len(matched) if matched else 0.0

    @property
    def _overlaps(self) -> list[float]:
        """Overlap of each matched lesion, of every size."""
        matched = [lesion.dice for lesion in self.lesions if lesion.components]
        return [dice / (2 - dice) for dice in matched] if self.rules.measure == "iou" else matched

    @property
    def _matched(self) -> tuple[Lesion, ...]:
        return tuple(lesion for lesion in self.averaged if lesion.components)

    def _nothing(self, perfect: float) -> float:
        return perfect if self.rules.empty_is_perfect else math.nan

    def _leaves_out(self, lesions: tuple[Lesion, ...]) -> bool:
        """Return whether rules with classes of size leave a mean or count out, because the class has no lesion."""
        return not lesions and self.rules.large_mm3 is not None and not self.rules.empty_is_perfect

    def _mean(self, values: Sequence[float], miss: float, nothing: float) -> float:
        missed = len(self.averaged) - len(values) + self.false_positives
        if self._leaves_out(self.averaged) or not len(values) + missed:
            return self._nothing(nothing)
        if self.rules.count_misses:
            return (sum(values) + miss * missed) / (len(values) + missed)
        return sum(values) / len(values) if values else miss


def match_one_to_one(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    rules: MatchingRules,
    *,
    tolerance: float | None = None,
) -> OneToOneMatch:
    """Match the 26-connected components of two masks one to one so that the sum of their Dice is greatest.

    The maximum bipartite matching of panoptica (Kofler et al., arXiv 2312.02608), written from its published
    parameters.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Voxel size in mm along x, y, z.
        rules: Threshold, and which lesions enter the means.
        tolerance: Millimetres of the normalised surface Dice of each pair; None: the smallest side of a voxel.

    Returns:
        Lesions and false positives.

    Raises:
        ValueError: The shapes differ or the spacing does not fit.

    Examples:
        >>> reference = np.zeros((12, 1, 1), bool)
        >>> reference[[0, 1, 4, 5, 8]] = True
        >>> prediction = np.zeros_like(reference)
        >>> prediction[[1, 4, 5, 11]] = True
        >>> match = match_one_to_one(prediction, reference, (1, 1, 1), MatchingRules())
        >>> match.true_positives, match.false_positives, match.false_negatives, round(match.dice, 4)
        (2, 1, 1, 0.8333)
    """
    if rules.reversed_axes:
        prediction, reference = prediction.T, reference.T
    box = joint_box(prediction, reference)
    parts = Separated(find_parts(prediction[box], 0), find_parts(reference[box], 0))
    pairs = assign(parts, rules.threshold, rules.measure)
    tolerances = (float(min(spacing)) if tolerance is None else tolerance,)
    lesions = score_parts(parts, pairs, spacing, rules.hausdorff, tolerances)
    ordered = tuple(sorted(lesions, key=lambda lesion: lesion.volume_mm3))
    return OneToOneMatch(rules, ordered, parts.predicted.count - pairs.shape[1])


def assign(parts: Separated, threshold: float, measure: Literal["dice", "iou"] = "dice") -> NDArray[np.int64]:
    """Return the one-to-one pairs of lesions and predicted components whose sum of overlaps is greatest.

    Args:
        parts: Of two masks, without dilation.
        threshold: Smallest overlap of a pair.
        measure: Of overlap.

    Returns:
        Numbers of lesions and of components, shape (2, pair).
    """
    from scipy.optimize import linear_sum_assignment

    found, present = parts.predicted, parts.present
    if not found.count or not present.count:
        return np.empty((2, 0), np.int64)
    base = found.count + 1
    keys = present.numbers.ravel().astype(np.int64) * base + found.numbers.ravel()
    overlap = np.bincount(keys, minlength=base * (present.count + 1)).reshape(-1, base)
    sizes = overlap.sum(axis=1)[1:, None] + overlap.sum(axis=0)[None, 1:]
    both = overlap[1:, 1:]
    values = 2 * both / sizes if measure == "dice" else both / (sizes - both)
    # Without any overlap, nothing is a pair, whatever the threshold.
    fits = (values >= threshold) & (both > 0)
    # The costs are panoptica's, of lesions without overlap too, because these decide between matchings of equal sums.
    first, second = linear_sum_assignment(np.where(fits, 1 - values, 1 + 1e-6))
    pairs = np.stack([first, second])
    return pairs[:, fits[first, second]] + 1
