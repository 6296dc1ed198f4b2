"""Every score of one case, region by region."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.overlap import count_voxels
from tunetseg.metrics.rules import Emptiness, Rules, emptiness
from tunetseg.metrics.surface import HD95_DEFINITIONS

__all__ = ["SCORES", "RegionScores", "score_case", "score_region"]

SCORES = ("dice", "hd95", "sensitivity", "specificity", "precision")
"""Names of the scores that are averaged over cases."""


class RegionScores(TypedDict):
    """Scores of one region of one case; NaN where the rules leave a score out."""

    region: str
    dice: float
    hd95: float
    sensitivity: float
    specificity: float
    precision: float
    reference_ml: float
    predicted_ml: float
    empty: Emptiness


def score_region(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    region: str,
    spacing: Sequence[float],
    rules: Rules,
    outside: int = 0,
) -> RegionScores:
    """Score one predicted mask.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        region: Name of the region.
        spacing: Millimetres from one voxel to the next along each axis.
        rules: Conventions for empty masks and the definition of HD95.
        outside: Voxels of the grid that were cropped away because both masks are background there.

    Returns:
        Ratios in 0..1, HD95 in millimetres, volumes in millilitres, and which mask was empty.

    Raises:
        ValueError: Shapes, types or spacing do not fit.
    """
    counts = count_voxels(prediction, reference, outside=outside)
    empty = emptiness(counts)
    if empty == "none":
        dice, sensitivity, precision = counts.dice, counts.sensitivity, counts.precision
        hd95 = HD95_DEFINITIONS[rules.hd95](prediction, reference, spacing)
    else:
        told = rules.empty
        dice, hd95 = told.dice.value(empty), told.hd95.value(empty)
        sensitivity, precision = told.sensitivity.value(empty), told.precision.value(empty)
    millilitres = float(np.prod(spacing)) / 1000
    return {
        "region": region,
        "dice": dice,
        "hd95": hd95,
        "sensitivity": sensitivity,
        "specificity": counts.specificity if counts.tn + counts.fp else 1.0,
        "precision": precision,
        "reference_ml": counts.reference * millilitres,
        "predicted_ml": counts.predicted * millilitres,
        "empty": empty,
    }


def score_case(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    regions: Sequence[str],
    spacing: Sequence[float],
    rules: Rules,
    outside: int = 0,
) -> list[RegionScores]:
    """Score every region of one case.

    Args:
        prediction: Booleans, shape (region, x, y, z).
        reference: Booleans, the same shape.
        regions: Names, in the order of the first axis.
        spacing: Millimetres from one voxel to the next along x, y and z.
        rules: Conventions for empty masks and the definition of HD95.
        outside: Voxels of the grid that were cropped away because all masks are background there; they count
            as true negatives.

    Returns:
        One dictionary a region.

    Raises:
        ValueError: Shapes, types, names or spacing do not fit.

    Examples:
        >>> from tunetseg.metrics import RULES
        >>> masks = np.ones((1, 2, 2, 2), bool)
        >>> rows = score_case(masks, masks, regions=["whole"], spacing=(1, 1, 1), rules=RULES["brats2020"])
        >>> rows[0]["dice"], rows[0]["hd95"]
        (1.0, 0.0)
    """
    if prediction.shape != reference.shape or len(prediction) != len(regions):
        raise ValueError(
            f"prediction {prediction.shape} and reference {reference.shape} must both be (region, x, y, z) "
            f"with the {len(regions)} regions {', '.join(regions)}"
        )
    box = joint_box(prediction, reference)[1:]
    rows = []
    for name, predicted, present in zip(regions, prediction, reference, strict=True):
        inside, truth = predicted[box], present[box]
        cropped = outside + predicted.size - inside.size
        rows.append(score_region(inside, truth, region=name, spacing=spacing, rules=rules, outside=cropped))
    return rows
