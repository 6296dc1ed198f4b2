"""Every score of one case, region by region."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.lesions import match_lesions
from tunetseg.metrics.overlap import Counts, count_voxels
from tunetseg.metrics.rules import Rules, emptiness
from tunetseg.metrics.surface import HAUSDORFF, SurfaceDistances, surface_distances

__all__ = ["SCORES", "score_case", "score_region"]

SCORES = (
    "dice",
    "hd95",
    "sensitivity",
    "specificity",
    "precision",
    "jaccard",
    "hd100",
    "assd",
    "surface_dice",
    "volume_error_ml",
    "lesion_dice",
    "lesion_hd95",
    "dauc",
    "rftp",
    "rftn",
    "qu_score",
    "ece",
)
"""Names of the scores that are averaged over cases; a row holds those that its rules and its files give."""


def score_region(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    region: str,
    spacing: Sequence[float],
    rules: Rules,
    tolerance: float | None = None,
    outside: int = 0,
) -> dict[str, Any]:
    """Score one predicted mask.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        region: Name of the region.
        spacing: Millimetres from one voxel to the next along each axis.
        rules: Conventions for empty masks and lesions, and the definition of HD95.
        tolerance: Millimetres; if given, the surface Dice at it is scored too.
        outside: Voxels of the grid that were cropped away because both masks are background there.

    Returns:
        ``region``; ratios in 0..1 (``dice``, ``jaccard``, ``sensitivity``, ``specificity``, ``precision``, and
        ``surface_dice``); distances in mm (``hd95``, ``hd100``, ``assd``, the average over both surfaces); volumes
        in ml (``reference_ml``, ``predicted_ml``, ``volume_error_ml``, predicted minus reference); ``empty``, which
        mask was; and with lesions counted ``lesion_dice``, ``lesion_hd95`` in mm, ``lesion_tp``, ``lesion_fp``,
        ``lesion_fn``. NaN where the rules leave a score out.

    Raises:
        ValueError: Shapes, types or spacing do not fit.
    """
    counts = count_voxels(prediction, reference, outside=outside)
    millilitres = float(np.prod(spacing)) / 1000
    row: dict[str, Any] = {
        "region": region,
        **_overlap(counts, rules),
        **_distances(prediction, reference, counts, spacing, rules, tolerance),
        "reference_ml": counts.reference * millilitres,
        "predicted_ml": counts.predicted * millilitres,
        "volume_error_ml": (counts.predicted - counts.reference) * millilitres,
        "empty": emptiness(counts),
    }
    if rules.lesions is not None:
        match = match_lesions(prediction, reference, spacing, rules.lesions)
        row |= {
            "lesion_dice": match.dice,
            "lesion_hd95": match.hd95,
            "lesion_tp": match.true_positives,
            "lesion_fp": match.false_positives,
            "lesion_fn": match.false_negatives,
        }
    return row


def _overlap(counts: Counts, rules: Rules) -> dict[str, float]:
    empty, told = emptiness(counts), rules.empty
    specificity = counts.specificity if counts.tn + counts.fp else 1.0
    if empty == "none":
        return {
            "dice": counts.dice,
            "jaccard": counts.jaccard,
            "sensitivity": counts.sensitivity,
            "specificity": specificity,
            "precision": counts.precision,
        }
    return {
        "dice": told.overlap.value(empty),
        "jaccard": told.overlap.value(empty),
        "sensitivity": told.sensitivity.value(empty),
        "specificity": specificity,
        "precision": told.precision.value(empty),
    }


def _distances(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    counts: Counts,
    spacing: Sequence[float],
    rules: Rules,
    tolerance: float | None,
) -> dict[str, float]:
    empty, meaning = emptiness(counts), HAUSDORFF[rules.hausdorff]
    if empty != "none":
        told = rules.empty.distance.value(empty)
        found = {"hd95": told, "hd100": told, "assd": told}
        return found if tolerance is None else {**found, "surface_dice": rules.empty.overlap.value(empty)}
    distances = surface_distances(prediction, reference, spacing, elements=meaning.elements)
    found = {
        "hd95": meaning.percentile(distances, 95),
        "hd100": meaning.percentile(distances, 100),
        "assd": distances.average_symmetric,
    }
    if tolerance is not None:
        found["surface_dice"] = _by_area(prediction, reference, spacing, distances, rules).surface_dice(tolerance)
    return found


def _by_area(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    distances: SurfaceDistances,
    rules: Rules,
) -> SurfaceDistances:
    """Surface Dice is of areas, whatever HD95 is of."""
    if HAUSDORFF[rules.hausdorff].elements == "areas":
        return distances
    return surface_distances(prediction, reference, spacing, elements="areas")


def score_case(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    regions: Sequence[str],
    spacing: Sequence[float],
    rules: Rules,
    tolerance: float | None = None,
    outside: int = 0,
) -> list[dict[str, Any]]:
    """Score every region of one case.

    Args:
        prediction: Booleans, shape (region, x, y, z).
        reference: Booleans, the same shape.
        regions: Names, in the order of the first axis.
        spacing: Millimetres from one voxel to the next along x, y and z.
        rules: Conventions for empty masks and lesions, and the definition of HD95.
        tolerance: Millimetres; if given, the surface Dice at it is scored too.
        outside: Voxels of the grid that were cropped away because all masks are background there; they count
            as true negatives.

    Returns:
        One dictionary a region, as `score_region` gives it.

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
        rows.append(
            score_region(inside, truth, region=name, spacing=spacing, rules=rules, tolerance=tolerance, outside=cropped)
        )
    return rows
