"""Score the label maps of one case."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from tunetseg.datasets import DatasetDescription, LabelScheme, candidate_schemes, find_scheme, present_labels
from tunetseg.errors import InputError
from tunetseg.evaluation.labels import Finding, HowKnown, choose_scheme, default_schemes, manifest_scheme
from tunetseg.evaluation.maps import score_maps
from tunetseg.evaluation.pairing import LabelFile, Pair
from tunetseg.evaluation.regions import of_rules, region_masks
from tunetseg.io import Image, check_same_lattice, labels_of, read_image, read_label_map
from tunetseg.metrics import SCORES, Reliability, Rules, grow, joint_box, lesion_rows, match_case, score_case

__all__ = [
    "CaseResult",
    "LabelMap",
    "Settings",
    "Status",
    "reference_scheme",
    "score_label_maps",
    "score_pair",
    "to_label_map",
]

Status = Literal["scored", "missing", "unreadable", "misaligned"]

_Known = tuple[HowKnown, Sequence[LabelScheme]] | None
"""How the label scheme of a label map is known, and the schemes in question; None where nothing is known."""


@dataclass(frozen=True)
class Settings:
    """What every case is scored by.

    Args:
        rules: Rules and thresholds.
        labels: Label scheme of the references; None: each file says.
        prediction_labels: Label scheme of the predictions; None: each file says.
        dataset: Dataset of both sides; None: names say.
        uncertainty: Score uncertainty and probability maps too.
        tolerance: Millimetres of the surface Dice; None: it is not scored.
        strict: Score every case by the strict version of the rules too.
        lesions: Make one row per lesion too.
        cells: Score within the Voronoi cell of each lesion too.
        by_default: Neither rules nor a dataset were named, so that the summary says which are usual.
    """

    rules: Rules
    labels: LabelScheme | None = None
    prediction_labels: LabelScheme | None = None
    dataset: DatasetDescription | None = None
    uncertainty: bool = False
    tolerance: float | None = None
    strict: bool = False
    lesions: bool = False
    cells: bool = False
    by_default: bool = False


@dataclass(frozen=True)
class LabelMap:
    """One label map in memory, and what is known of its label values.

    Args:
        source: File, or what else errors name.
        image: Label values and grid.
        manifest: Manifest of a prediction.
        dataset: Dataset that names say.
        scheme: Label scheme of a `Segmentation` in memory.
    """

    source: object
    image: Image
    manifest: Mapping[str, object] = field(default_factory=dict)
    dataset: DatasetDescription | None = None
    scheme: LabelScheme | None = None

    @classmethod
    def read(cls, file: LabelFile, rules: Rules) -> "LabelMap":
        """Return the label map of a file.

        Raises:
            InputError: The file cannot be read or holds values that cannot be labels.
        """
        if not rules.round_labels:
            return cls(file.path, read_label_map(file.path), file.manifest, file.dataset)
        return cls(
            file.path, to_label_map(read_image(file.path, dtype=None), file.path, rules), file.manifest, file.dataset
        )


def to_label_map(image: Image, source: object, rules: Rules) -> Image:
    """Return an image with its values as uint8 labels, rounded where the rules say so.

    Raises:
        InputError: A value cannot be a label.
    """
    array = np.rint(image.array) if rules.round_labels and image.array.dtype.kind == "f" else image.array
    return replace(image, array=labels_of(array, source))


@dataclass(frozen=True)
class CaseResult:
    """Scores of one case.

    Args:
        case: Name.
        rows: One per region.
        reference: Label scheme of the reference.
        prediction: Label scheme of the prediction; None where it was not scored.
        status: Whether the prediction was scored, or why it counts as an empty one.
        fault: What is wrong with the prediction or its maps, if anything.
        strict_rows: One per region by the strict version of the rules, where it was requested.
        lesions: One row per lesion of every region, where these were requested.
        reliability: Region -> reliability of its probabilities near the border, where there are any.
    """

    case: str
    rows: list[dict[str, Any]]
    reference: Finding
    prediction: Finding | None
    status: Status
    fault: str | None
    strict_rows: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    reliability: dict[str, Reliability] = field(default_factory=dict)


def score_pair(pair: Pair, settings: Settings) -> CaseResult:
    """Read and score one case; a prediction that is missing, unreadable or misaligned counts as an empty one.

    Rules whose official code skips a case that fails leave out one that is unreadable or misaligned, and those whose
    code gives a missing one the worst scores do so.

    Raises:
        InputError: The reference cannot be read, its label values are not its scheme's, or its regions not the rules'.
    """
    reference = LabelMap.read(pair.reference, settings.rules)
    prediction, status, fault = _read_prediction(pair, reference, settings.rules)
    return score_label_maps(pair.case, prediction, reference, settings, status, fault, pair)


def _read_prediction(pair: Pair, reference: LabelMap, rules: Rules) -> tuple[LabelMap | None, Status, str | None]:
    """Return a prediction, or why it counts as a miss."""
    if pair.prediction is None:
        return None, "missing", None
    try:
        prediction = LabelMap.read(pair.prediction, rules)
    except InputError as error:
        return None, "unreadable", str(error)
    try:
        check_same_lattice(prediction.source, prediction.image.stored, reference.source, reference.image.stored)
    except InputError as error:
        return None, "misaligned", str(error)
    return prediction, "scored", None


def score_label_maps(
    case: str,
    prediction: LabelMap | None,
    reference: LabelMap,
    settings: Settings,
    status: Status = "scored",
    fault: str | None = None,
    pair: Pair | None = None,
) -> CaseResult:
    """Score one case whose label maps lie on one grid.

    Args:
        case: Name.
        prediction: The prediction; None counts as an empty one.
        reference: The reference.
        settings: Rules and label schemes.
        status: Of the prediction.
        fault: Why the prediction is None, if so.
        pair: Files of the case, for the maps next to the prediction.

    Raises:
        InputError: The label values of the reference are not its scheme's, or its regions not the rules'.
    """
    truth = reference.image.array
    predicted = prediction.image.array if prediction is not None else np.zeros_like(truth)
    box = grow(joint_box(predicted, truth), settings.rules.margin, truth.shape)
    inner_prediction, inner_truth = predicted[box], truth[box]
    reference_finding = reference_scheme(reference, present_labels(inner_truth), settings)
    prediction_finding = None
    if prediction is not None:
        try:
            values = present_labels(inner_prediction)
            prediction_finding = _prediction_scheme(prediction, values, reference_finding.scheme, settings)
        except InputError as error:
            status, fault, inner_prediction = "unreadable", str(error), np.zeros_like(inner_prediction)
    schemes = (reference_finding if prediction_finding is None else prediction_finding).scheme, reference_finding.scheme
    _check_regions(case, *schemes)
    regions = of_rules(settings.rules) or schemes[1].regions
    masks, present = (
        region_masks(label_map, scheme, settings.rules)
        for label_map, scheme in zip((inner_prediction, inner_truth), schemes, strict=True)
    )
    common: dict[str, Any] = {"regions": tuple(regions), "spacing": reference.image.grid.spacing, "shape": truth.shape}
    outside = truth.size - inner_truth.size
    options: dict[str, Any] = {"tolerance": settings.tolerance, "outside": outside, "cells": settings.cells}
    score = partial(score_case, masks, present, **common, **options)
    rows = score(rules=settings.rules)
    strict = score(rules=settings.rules.strict()) if settings.strict else []
    curves: dict[str, Reliability] = {}
    if settings.uncertainty and pair is not None:
        map_rows, curves, map_fault = score_maps(
            pair, reference.image, tuple(regions), masks, present, box, settings.rules
        )
        rows = [{**row, **extra} for row, extra in zip(rows, map_rows, strict=True)]
        fault = fault or map_fault
    skipped = settings.rules.skip_failed and status in ("unreadable", "misaligned")
    lesions = []
    if settings.lesions and not skipped:
        tolerance = 1.0 if settings.tolerance is None else settings.tolerance
        matches = match_case(masks, present, **common, rules=settings.rules, tolerance=tolerance)
        lesions = [
            {"case": case, "region": region, **row} for region, match in matches.items() for row in lesion_rows(match)
        ]
    if skipped:
        rows = [{name: math.nan if name in SCORES else value for name, value in row.items()} for row in rows]
    if settings.rules.missing_is_worst and prediction_finding is None:
        penalty = settings.rules.for_grid(truth.shape, common["spacing"]).penalty_mm
        strict = [_worst(row, penalty) for row in strict]
        rows = rows if skipped else [_worst(row, penalty) for row in rows]
    rows, strict = ([{"case": case, **row, "status": status} for row in found] for found in (rows, strict))
    return CaseResult(case, rows, reference_finding, prediction_finding, status, fault, strict, lesions, curves)


def _worst(row: Mapping[str, Any], penalty_mm: float | None) -> dict[str, Any]:
    """Return a row with the worst scores: distances have the penalty, and ratios of what is there are 0."""
    changed: dict[str, Any] = {}
    for name in row:
        score = SCORES.get(name)
        if score is not None and score.unit == "mm" and penalty_mm is not None:
            changed[name] = penalty_mm
        elif score is not None and score.higher_is_better and name != "specificity":
            changed[name] = 0.0
    return {**row, **changed}


def _check_regions(case: str, predicted: LabelScheme, present: LabelScheme) -> None:
    """Raise InputError unless prediction and reference have the same regions."""
    if predicted.region_names != present.region_names:
        raise InputError(
            f"{case}: the prediction has the regions {', '.join(predicted.region_names)} ({predicted.name}) "
            f"but the reference {', '.join(present.region_names)} ({present.name})"
        )


def _known_schemes(
    label_map: LabelMap, overrule: LabelScheme | None, settings: Settings, others: Sequence[LabelScheme] = ()
) -> _Known:
    """Return what option, manifest and dataset say of a label map, in this order; None where they say nothing."""
    if overrule is not None:
        return "option", [overrule]
    if label_map.scheme is not None:
        return "segmentation", [label_map.scheme]
    dataset = settings.dataset or label_map.dataset
    schemes = [*others, *([dataset.scheme] if dataset is not None else [])]
    named = manifest_scheme(label_map.manifest, schemes, label_map.source)
    if named is not None:
        return "manifest", [named]
    if dataset is None or (dataset.generic and settings.dataset is None):
        return None
    candidates = candidate_schemes(dataset)
    return "dataset" if len(candidates) == 1 else "values", candidates


def _for_rules(known: _Known, rules: Rules) -> _Known:
    """Return the scheme of the rules where names say one with the same regions: names of cases outlive label values.

    The names of 2023 are those of 2024 too, whose label maps have a cavity.
    """
    if known is None or not rules.regions or rules.labels is None or known[0] not in ("dataset", "values"):
        return known
    scheme = find_scheme(rules.labels)
    return ("rules", [scheme]) if all(found.regions == scheme.regions for found in known[1]) else known


def reference_scheme(reference: LabelMap, values: list[int], settings: Settings) -> Finding:
    """Return the label scheme of a reference that holds some values.

    Raises:
        InputError: The values are not its scheme's, or its regions not the rules'.
    """
    known = _known_schemes(reference, settings.labels, settings)
    how, candidates = _for_rules(known, settings.rules) or default_schemes(settings.rules.labels)
    finding = choose_scheme(reference.source, values, how, candidates)
    if settings.rules.labels is not None:
        wanted = find_scheme(settings.rules.labels).region_names
        if wanted != finding.scheme.region_names:
            raise InputError(
                f"{reference.source}: has the regions {', '.join(finding.scheme.region_names)}, but the rules "
                f"{settings.rules.name} are for {', '.join(wanted)}; choose other rules"
            )
    return finding


def _prediction_scheme(prediction: LabelMap, values: list[int], reference: LabelScheme, settings: Settings) -> Finding:
    """Return the scheme of a prediction.

    Where nothing else says, its values decide between the reference's scheme and the usual ones of the same regions.
    """
    known = _known_schemes(prediction, settings.prediction_labels, settings, [reference])
    how, candidates = _for_rules(known, settings.rules) or _usual_schemes(reference, settings.rules)
    return choose_scheme(prediction.source, values, how, candidates)


def _usual_schemes(reference: LabelScheme, rules: Rules) -> tuple[HowKnown, Sequence[LabelScheme]]:
    how, usual = default_schemes(rules.labels)
    others = [scheme for scheme in usual if scheme.region_names == reference.region_names]
    if not others:
        return "reference", [reference]
    if [scheme.name for scheme in others] == [reference.name]:
        return how, others
    return "values", [reference, *(scheme for scheme in others if scheme.name != reference.name)]
