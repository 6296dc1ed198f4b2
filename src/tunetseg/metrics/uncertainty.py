"""Scores of uncertainty maps: are voxels uncertain where the label is wrong, and only there? (paper, 2.8 and 3)"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.errors import InputError

__all__ = ["QU_BRATS_THRESHOLDS", "UncertaintyScores", "check_thresholds", "score_uncertainty"]

QU_BRATS_THRESHOLDS = tuple(float(threshold) for threshold in np.linspace(0, 100, 41))
"""0, 2.5, ..., 100, as in the challenge's code of 2020."""

_EPSILON = 1.1920929e-07
"""Added to the denominators of the ratios in the challenge's code."""


@dataclass(frozen=True)
class UncertaintyScores:
    """Uncertainty scores of one region of one case; all areas and ratios run from 0 to 1.

    Args:
        dauc: Area under the curve of Dice over the thresholds; higher is better.
        rftp: Area under the ratio of filtered true positives; lower is better.
        rftn: Area under the ratio of filtered true negatives; lower is better.
        thresholds: Rising, shape (threshold,); 0 keeps only certain voxels, 100 keeps all.
        dice: Dice of the voxels kept at each threshold, shape (threshold,).
        filtered_tp: Share of true positives that each threshold filters out, shape (threshold,).
        filtered_tn: Share of true negatives that each threshold filters out, shape (threshold,).
    """

    dauc: float
    rftp: float
    rftn: float
    thresholds: NDArray[np.float64]
    dice: NDArray[np.float64]
    filtered_tp: NDArray[np.float64]
    filtered_tn: NDArray[np.float64]

    @property
    def score(self) -> float:
        """Score of the challenge, (DAUC + (1 - RFTP) + (1 - RFTN)) / 3 (Mehta et al., MELBA 2022)."""
        return (self.dauc + (1 - self.rftp) + (1 - self.rftn)) / 3


def check_thresholds(thresholds: Sequence[float]) -> NDArray[np.float64]:
    """Return thresholds as an array.

    Raises:
        InputError: Fewer than two, or not rising within 0 to 100.
    """
    checked = np.asarray(thresholds, dtype=np.float64)
    if checked.size < 2 or not (np.diff(checked) > 0).all() or checked[0] < 0 or checked[-1] > 100:
        raise InputError(f"invalid thresholds {list(thresholds)}; give two or more that rise within 0 to 100")
    return checked


def score_uncertainty(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    uncertainty: NDArray[np.generic],
    brain: NDArray[np.bool_],
    thresholds: Sequence[float] = QU_BRATS_THRESHOLDS,
) -> UncertaintyScores:
    """Score one region's uncertainty map in one pass over the voxels.

    A voxel is kept at a threshold if its uncertainty is not higher. Dice is computed over the kept voxels of the whole
    grid and is 1 where neither mask has a kept voxel; true positives and negatives are counted inside the brain only.
    Where a ratio's denominator is 0, the ratio is 0. This is what the challenge's code does, with one exception: there
    the negative values of a brain mask count with negative weight, which is a bug and not reproduced.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        uncertainty: 0 certain to 100 uncertain, the same shape; higher values are never kept.
        brain: Booleans, the same shape.
        thresholds: At least two, rising, within 0 to 100. Areas are divided by the span of the thresholds; filtered
            voxels are a share of those kept at 100, whether 100 is one of the thresholds or not.

    Returns:
        Areas, and the curves that they are computed from.

    Raises:
        InputError: The thresholds are invalid.
        ValueError: The shapes differ, or the map holds NaN.

    Examples:
        >>> mask = np.array([[[True, False]]])
        >>> score_uncertainty(mask, mask, np.zeros((1, 1, 2)), np.ones((1, 1, 2), bool)).score
        1.0
    """
    checked = check_thresholds(thresholds)
    shapes = {prediction.shape, reference.shape, uncertainty.shape, brain.shape}
    if len(shapes) > 1:
        raise ValueError(f"prediction, reference, uncertainty and brain differ in shape: {sorted(shapes)}")
    count = checked.size
    every = checked if checked[-1] == 100 else np.append(checked, 100)
    kept_from = _first_kept(uncertainty, every)
    # One cell per threshold and kind of voxel: bit 2 predicted, bit 1 in the reference, bit 0 in the brain.
    kind = prediction.astype(np.uint16) << 2 | reference.astype(np.uint16) << 1 | brain
    cells = np.bincount((kept_from * np.uint16(8) + kind).ravel(), minlength=8 * (every.size + 1))
    kept = np.cumsum(cells.reshape(-1, 8), axis=0)[: every.size].astype(np.float64)
    tp, fp, fn = (kept[:, 2 * which : 2 * which + 2].sum(axis=1) for which in (3, 2, 1))
    inside_tp, inside_tn = kept[:, 7], kept[:, 1]
    total = 2 * tp + fp + fn
    dice = np.where(total > 0, 2 * tp / np.maximum(total, 1), 1.0)[:count]
    ratios = [((inside[-1] - inside) / (inside[-1] + _EPSILON))[:count] for inside in (inside_tp, inside_tn)]
    areas = [_area(curve, checked) for curve in (dice, *ratios)]
    return UncertaintyScores(areas[0], areas[1], areas[2], checked, dice, ratios[0], ratios[1])


def _area(curve: NDArray[np.float64], thresholds: NDArray[np.float64]) -> float:
    """Return the area under a curve by the trapezoid rule, as a share of the thresholds' span, 0 to 1."""
    return float(((curve[1:] + curve[:-1]) / 2 * np.diff(thresholds)).sum() / (thresholds[-1] - thresholds[0]))


def _first_kept(uncertainty: NDArray[np.generic], thresholds: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return the index of the lowest threshold that keeps each voxel; the number of thresholds where none does."""
    if uncertainty.dtype == np.uint8:
        return np.searchsorted(thresholds, np.arange(256)).astype(np.uint16)[uncertainty]
    values = uncertainty.astype(np.float64, copy=False)
    if np.isnan(values).any():
        raise ValueError("the uncertainty map holds NaN")
    return np.searchsorted(thresholds, values).astype(np.uint16)
