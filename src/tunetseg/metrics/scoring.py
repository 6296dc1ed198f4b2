"""Every score of one case, region by region."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.lesions import match_lesions
from tunetseg.metrics.overlap import Counts, count_voxels
from tunetseg.metrics.rules import Rules, emptiness
from tunetseg.metrics.scores import SCORES
from tunetseg.metrics.surface import HAUSDORFF, SurfaceDistances, surface_distances

__all__ = ["score_case", "score_region"]

_BY_RULE = ("dice", "jaccard", "sensitivity", "precision", "hd95", "hd100", "assd")
"""Scores that a rule gives where a mask is empty."""


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
        spacing: Voxel size in mm along each axis.
        rules: Rules for empty masks and lesions, and the definition of HD95.
        tolerance: Millimetres; if given, the surface Dice at this tolerance is scored too.
        outside: Voxels of the grid that were cropped away because both masks are background there.

    Returns:
        ``region``; ratios in 0 to 1 (``dice``, ``jaccard``, ``sensitivity``, ``specificity``, ``precision``, and
        ``surface_dice``); distances in mm (``hd95``, ``hd100``, ``assd``, the average over both surfaces); volumes
        in ml (``reference_ml``, ``predicted_ml``, ``volume_error_ml``, predicted minus reference); ``empty``, which
        mask was empty; and with lesions counted ``lesion_dice``, ``lesion_hd95`` in mm, ``lesion_tp``,
        ``lesion_fp``, ``lesion_fn``. NaN where the rules leave a score out.

    Raises:
        ValueError: Shapes, types or spacing do not fit.

    Examples:
        >>> from tunetseg.metrics import RULES
        >>> mask = np.ones((2, 2, 2), bool)
        >>> row = score_region(mask, ~mask, region="whole", spacing=(1, 1, 1), rules=RULES["brats2020"])
        >>> row["dice"], row["hd95"], row["empty"]
        (0.0, 373.12866, 'reference')
    """
    counts = count_voxels(prediction, reference, outside=outside)
    empty = emptiness(counts)
    if empty == "none":
        scores = {
            "dice": counts.dice,
            "jaccard": counts.jaccard,
            "sensitivity": counts.sensitivity,
            "precision": counts.precision,
            **_distances(prediction, reference, spacing, rules, tolerance),
        }
    else:
        names = _BY_RULE if tolerance is None else (*_BY_RULE, "surface_dice")
        scores = {name: _value_by_rule(name, rules, empty) for name in names}
    scores["specificity"] = counts.specificity if counts.tn + counts.fp else 1.0
    return {
        "region": region,
        **scores,
        **_volumes(counts, spacing),
        "empty": empty,
        **_lesions(prediction, reference, spacing, rules),
    }


def _value_by_rule(name: str, rules: Rules, empty: Literal["both", "reference", "prediction"]) -> float:
    rule = SCORES[name].when_empty
    assert rule is not None, f"no rule for {name} in empty regions"
    return rules.empty.rule(rule).value(empty)


def _volumes(counts: Counts, spacing: Sequence[float]) -> dict[str, float]:
    millilitres = float(np.prod(spacing)) / 1000
    return {
        "reference_ml": counts.reference * millilitres,
        "predicted_ml": counts.predicted * millilitres,
        "volume_error_ml": (counts.predicted - counts.reference) * millilitres,
    }


def _lesions(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float], rules: Rules
) -> dict[str, float]:
    if rules.lesions is None:
        return {}
    match = match_lesions(prediction, reference, spacing, rules.lesions)
    return {
        "lesion_dice": match.dice,
        "lesion_hd95": match.hd95,
        "lesion_tp": match.true_positives,
        "lesion_fp": match.false_positives,
        "lesion_fn": match.false_negatives,
    }


def _distances(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    rules: Rules,
    tolerance: float | None,
) -> dict[str, float]:
    """Return the scores of two surfaces that both exist."""
    definition = HAUSDORFF[rules.hausdorff]
    distances = surface_distances(prediction, reference, spacing, elements=definition.elements)
    scores = {
        "hd95": definition.percentile(distances, 95),
        "hd100": definition.percentile(distances, 100),
        "assd": distances.average_symmetric,
    }
    if tolerance is not None:
        by_area = _by_area(prediction, reference, spacing, distances, rules)
        scores["surface_dice"] = by_area.surface_dice(tolerance)
    return scores


def _by_area(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    distances: SurfaceDistances,
    rules: Rules,
) -> SurfaceDistances:
    """Return distances between areas, which surface Dice needs whatever HD95 is defined over."""
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
        spacing: Voxel size in mm along x, y and z.
        rules: Rules for empty masks and lesions, and the definition of HD95.
        tolerance: Millimetres; if given, the surface Dice at this tolerance is scored too.
        outside: Voxels of the grid that were cropped away because all masks are background there; they count
            as true negatives.

    Returns:
        One dictionary per region, as `score_region` gives it.

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
    for region, predicted, present in zip(regions, prediction, reference, strict=True):
        inner_prediction, inner_reference = predicted[box], present[box]
        rows.append(
            score_region(
                inner_prediction,
                inner_reference,
                region=region,
                spacing=spacing,
                rules=rules,
                tolerance=tolerance,
                outside=outside + predicted.size - inner_prediction.size,
            )
        )
    return rows
