"""Every score of one case, region by region."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import grow, joint_box
from tunetseg.metrics.cells import score_cells
from tunetseg.metrics.lesions import LesionMatch, Separated, match_lesions, separate
from tunetseg.metrics.matching import MatchingRules, OneToOneMatch, match_one_to_one
from tunetseg.metrics.overlap import Counts, centre_distance, count_voxels
from tunetseg.metrics.rules import Emptiness, Rules, emptiness
from tunetseg.metrics.scores import SCORES
from tunetseg.metrics.surface import HAUSDORFF, surface_distances

__all__ = ["match_case", "match_region", "score_case", "score_region"]

_RATIOS = ("dice", "jaccard", "sensitivity", "precision")
_LENGTHS = ("hd95", "hd100", "assd")


def score_region(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    region: str,
    spacing: Sequence[float],
    rules: Rules,
    tolerance: float | None = None,
    outside: int = 0,
    shape: Sequence[int] | None = None,
    others: Mapping[str, Separated] | None = None,
    cells: bool = False,
) -> dict[str, Any]:
    """Score one predicted mask.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        region: Name of the region.
        spacing: Voxel size in mm along each axis.
        rules: Rules for empty masks and lesions, and the definition of HD95.
        tolerance: Millimetres; if given, the surface Dice at this tolerance is scored too, over areas and over voxels.
        outside: Voxels of the grid that were cropped away because both masks are background there.
        shape: Shape of the whole grid, for rules whose penalty is its diagonal; by default that of the masks.
        others: Parts of the regions that join the lesions of this one; `score_case` finds them.
        cells: Score within the Voronoi cell of each lesion too (`score_cells`): ``cc_dice`` and ``cc_hd95``, the latter
            with the grid's diagonal in mm for a miss where the rules have no penalty.

    Returns:
        ``region``; ratios in 0 to 1 (``dice``, ``jaccard``, ``sensitivity``, ``specificity``, ``precision``,
        ``surface_dice``, over areas, and ``nsd``, ``nsd_05``, ``nsd_10``, over voxels); distances in mm (``hd95``,
        ``hd100``, ``assd``, the average over both surfaces, ``centre_distance``, of the centres of gravity); volumes
        in ml (``reference_ml``, ``predicted_ml``, ``volume_error_ml``, predicted minus reference); ``empty``, which
        mask was empty; and with lesions counted ``lesion_dice``, ``lesion_hd95`` in mm, ``lesion_tp``, ``lesion_fp``,
        ``lesion_fn``, ``lesion_nsd`` for every tolerance that the rules name, and ``f1``, ``sq`` and ``pq`` (panoptic
        quality, the product of the two where every size counts) where lesions are matched one to one.
        NaN where the rules leave a score out.

    Raises:
        ValueError: Shapes, types or spacing do not fit.

    Examples:
        >>> from tunetseg.metrics import RULES
        >>> mask = np.ones((2, 2, 2), bool)
        >>> row = score_region(mask, ~mask, region="whole", spacing=(1, 1, 1), rules=RULES["brats2020"])
        >>> row["dice"], row["hd95"], row["empty"]
        (0.0, 373.12866, 'reference')
    """
    rules = rules.for_grid(prediction.shape if shape is None else shape, spacing)
    counts = count_voxels(prediction, reference, outside=outside)
    empty = emptiness(counts)
    nsd = {**({} if tolerance is None else {"nsd": tolerance}), **dict(rules.nsd)}
    if empty == "none":
        scores = {
            "dice": counts.dice,
            "jaccard": counts.jaccard,
            "sensitivity": counts.sensitivity,
            "precision": counts.precision,
            "centre_distance": centre_distance(prediction, reference, spacing),
        }
    else:
        scores = {name: _value_by_rule(name, rules, empty) for name in (*_RATIOS, "centre_distance")}
    if empty == "none" and (counts.tp or not rules.overlap_needed):
        scores |= _distances(prediction, reference, spacing, rules, tolerance, nsd)
    else:
        names = (*_LENGTHS, *nsd) if tolerance is None else (*_LENGTHS, *nsd, "surface_dice")
        # Masks that share no voxel count as a miss where the rules say so.
        scores |= {name: _value_by_rule(name, rules, "prediction" if empty == "none" else empty) for name in names}
    if cells:
        scores |= _cells(prediction, reference, spacing, rules, empty, prediction.shape if shape is None else shape)
    scores["specificity"] = counts.specificity if counts.tn + counts.fp else 1.0
    return {
        "region": region,
        **scores,
        **_volumes(counts, spacing),
        "empty": empty,
        **_lesions(match_region(prediction, reference, region, spacing, rules, others), rules),
    }


def _cells(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    rules: Rules,
    empty: Emptiness,
    shape: Sequence[int],
) -> dict[str, float]:
    """Return the scores within Voronoi cells; without a lesion in the reference those of the rules."""
    if empty in ("both", "reference"):
        return {name: _value_by_rule(name, rules, empty) for name in ("cc_dice", "cc_hd95")}
    penalty = rules.penalty_mm
    if penalty is None:
        penalty = math.hypot(*(n * side for n, side in zip(shape, spacing, strict=True)))
    dice, hd95 = score_cells(prediction, reference, spacing, penalty_mm=penalty, definition=rules.hausdorff)
    return {"cc_dice": dice, "cc_hd95": hd95}


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


def match_region(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    region: str,
    spacing: Sequence[float],
    rules: Rules,
    others: Mapping[str, Separated] | None = None,
) -> LesionMatch | OneToOneMatch | None:
    """Return the lesions of one region, counted or matched as the rules say; None where they count no lesions.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        region: Name of the region.
        spacing: Voxel size in mm along each axis.
        rules: Of one grid (`Rules.for_grid`).
        others: Parts of the regions that join the lesions of this one.
    """
    if rules.matching is not None:
        return match_one_to_one(prediction, reference, spacing, rules.matching)
    lesions = rules.lesions_of(region)
    if lesions is None:
        return None
    tolerances = [mm for _, mm in rules.nsd]
    return match_lesions(prediction, reference, spacing, lesions, tolerances=tolerances, others=others)


def _lesions(match: LesionMatch | OneToOneMatch | None, rules: Rules) -> dict[str, float]:
    if match is None:
        return {}
    if isinstance(match, OneToOneMatch):
        more = {
            "lesion_nsd": match.nsd,
            "f1": match.f1,
            "sq": match.segmentation_quality,
            "pq": match.panoptic_quality,
        }
    else:
        more = {f"lesion_{name}": match.nsd(number) for number, (name, _) in enumerate(rules.nsd)}
    return {
        "lesion_dice": match.dice,
        "lesion_hd95": match.hd95,
        **more,
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
    nsd: Mapping[str, float],
) -> dict[str, float]:
    """Return the scores of two surfaces that both exist."""
    definition = HAUSDORFF[rules.hausdorff]
    sides = (1.0,) * len(spacing) if rules.voxel_units else spacing
    distances = surface_distances(prediction, reference, sides, elements=definition.elements)
    scores = {
        "hd95": definition.percentile(distances, 95),
        "hd100": definition.percentile(distances, 100),
        "assd": distances.average_symmetric,
    }
    if nsd:
        by_voxel = distances if definition.elements == "voxels" else surface_distances(prediction, reference, sides)
        scores |= {name: by_voxel.nsd(mm) for name, mm in nsd.items()}
    if tolerance is not None:
        by_area = distances
        if definition.elements == "voxels" or rules.voxel_units:
            by_area = surface_distances(prediction, reference, spacing, elements="areas")
        scores["surface_dice"] = by_area.surface_dice(tolerance)
    return scores


def score_case(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    regions: Sequence[str],
    spacing: Sequence[float],
    rules: Rules,
    tolerance: float | None = None,
    outside: int = 0,
    shape: Sequence[int] | None = None,
    cells: bool = False,
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
        shape: Shape of the whole grid, for rules whose penalty is its diagonal; by default that of the masks.
        cells: Score within the Voronoi cell of each lesion too.

    Returns:
        One dictionary per region that the rules score, as `score_region` gives it.

    Raises:
        ValueError: Shapes, types, names or spacing do not fit.

    Examples:
        >>> from tunetseg.metrics import RULES
        >>> masks = np.ones((1, 2, 2, 2), bool)
        >>> rows = score_case(masks, masks, regions=["whole"], spacing=(1, 1, 1), rules=RULES["brats2020"])
        >>> rows[0]["dice"], rows[0]["hd95"]
        (1.0, 0.0)
    """
    rules, masks, others = _prepare(prediction, reference, regions, spacing, rules, shape)
    return [
        score_region(
            predicted,
            present,
            region=region,
            spacing=spacing,
            rules=rules,
            tolerance=tolerance,
            outside=outside + math.prod(prediction.shape[1:]) - predicted.size,
            others=others,
            cells=cells,
        )
        for region, (predicted, present) in masks.items()
        if rules.scores(region)
    ]


def match_case(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    regions: Sequence[str],
    spacing: Sequence[float],
    rules: Rules,
    tolerance: float = 1.0,
    shape: Sequence[int] | None = None,
) -> dict[str, LesionMatch | OneToOneMatch]:
    """Return the lesions of every region of one case, counted or matched as the rules say.

    Lesions are matched one to one where the rules count none.

    Args:
        prediction: Booleans, shape (region, x, y, z).
        reference: Booleans, the same shape.
        regions: Names, in the order of the first axis.
        spacing: Voxel size in mm along x, y and z.
        rules: How lesions are counted or matched.
        tolerance: Millimetres of each lesion's normalised surface Dice.
        shape: Shape of the whole grid, for rules whose penalty is its diagonal; by default that of the masks.

    Returns:
        Region -> its lesions, without regions that the rules do not score.

    Raises:
        ValueError: Shapes, types, names or spacing do not fit.

    Examples:
        >>> from tunetseg.metrics import RULES
        >>> masks = np.ones((1, 2, 2, 2), bool)
        >>> matches = match_case(masks, masks, regions=["whole"], spacing=(1, 1, 1), rules=RULES["brats2020"])
        >>> matches["whole"].lesions
        (Lesion(volume_mm3=8.0, components=1, dice=1.0, hd95=0.0, nsd=(1.0,)),)
    """
    rules, masks, others = _prepare(prediction, reference, regions, spacing, rules, shape)
    matches: dict[str, LesionMatch | OneToOneMatch] = {}
    for region, pair in masks.items():
        if not rules.scores(region):
            continue
        lesions = rules.lesions_of(region)
        if rules.matching is not None or lesions is None:
            matches[region] = match_one_to_one(*pair, spacing, rules.matching or MatchingRules(), tolerance=tolerance)
        else:
            matches[region] = match_lesions(*pair, spacing, lesions, tolerances=[tolerance], others=others)
    return matches


def _prepare(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    regions: Sequence[str],
    spacing: Sequence[float],
    rules: Rules,
    shape: Sequence[int] | None,
) -> tuple[Rules, dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]], dict[str, Separated]]:
    """Return the rules of the grid, the cropped masks of both sides per region, and the parts that join others'."""
    if prediction.shape != reference.shape or len(prediction) != len(regions):
        raise ValueError(
            f"prediction {prediction.shape} and reference {reference.shape} must both be (region, x, y, z) "
            f"with the {len(regions)} regions {', '.join(regions)}"
        )
    grid = prediction.shape[1:]
    rules = rules.for_grid(grid if shape is None else shape, spacing)
    box = grow(joint_box(prediction, reference)[1:], rules.margin, grid)
    masks = {
        region: (predicted[box], present[box])
        for region, predicted, present in zip(regions, prediction, reference, strict=True)
    }
    return rules, masks, _joining(masks, spacing, rules)


def _joining(
    masks: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]], spacing: Sequence[float], rules: Rules
) -> dict[str, Separated]:
    """Return the parts of every region that joins the lesions of another."""
    found = [lesions for region in masks if (lesions := rules.lesions_of(region)) is not None]
    names = {name for lesions in found for name in lesions.joined_by if name in masks}
    return {name: separate(*masks[name], spacing, lesions) for name in names if (lesions := rules.lesions_of(name))}
