"""Scores of a cohort's label maps, from files to a table and its summary."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from tunetseg import __version__
from tunetseg.datasets import GLIOMA_REGIONS, scheme_named
from tunetseg.errors import InputError
from tunetseg.evaluation.labels import Finding, describe_findings, find_scheme
from tunetseg.evaluation.maps import score_maps
from tunetseg.evaluation.pairing import Pair, Pairing, pair_files
from tunetseg.evaluation.paper_tables import PAPER_GROUPS, write_tables
from tunetseg.evaluation.tables import write_scores
from tunetseg.io.files import check_target, spare_other
from tunetseg.io.volume import LabelMap, check_same_grid, read_label_map
from tunetseg.metrics import (
    QU_BRATS_THRESHOLDS,
    Rules,
    check_thresholds,
    count_empty,
    joint_box,
    rules_named,
    score_case,
    summarise_regions,
)

__all__ = ["Scores", "evaluate"]

_NOTE = "For research use; not a medical device."

Status = Literal["scored", "missing", "unreadable", "misaligned"]


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Args:
        rows: One dictionary a case and region: ``case``, what `score_region` gives, with ``uncertainty`` what
            `score_maps` gives, and ``status``: ``scored``, or ``missing``, ``unreadable`` or ``misaligned`` for a
            prediction counted as empty. NaN where the rules leave a score out.
        summary: Rules, label schemes, cases and every region's statistics, ready for JSON.
    """

    rows: tuple[dict[str, Any], ...]
    summary: dict[str, Any]


@dataclass(frozen=True)
class _Settings:
    """What every case is scored by."""

    rules: Rules
    labels: str | None
    prediction_labels: str | None
    uncertainty: bool
    tolerance: float | None


@dataclass(frozen=True)
class _CaseResult:
    """One case scored; ``fault`` says what was wrong with its prediction or its maps."""

    case: str
    rows: list[dict[str, Any]]
    reference: Finding
    prediction: Finding | None
    status: Status
    fault: str | None


def _values(labels: NDArray[np.uint8]) -> list[int]:
    return np.flatnonzero(np.bincount(labels.ravel(), minlength=1)).tolist()


def _read_prediction(pair: Pair, reference: LabelMap) -> tuple[LabelMap | None, Status, str | None]:
    """A prediction, or why it counts as a miss."""
    if pair.prediction is None:
        return None, "missing", None
    try:
        predicted = read_label_map(pair.prediction.path)
    except InputError as error:
        return None, "unreadable", str(error)
    try:
        check_same_grid(pair.prediction.path, predicted.grid, pair.reference.path, reference.grid)
    except InputError as error:
        return None, "misaligned", str(error)
    return predicted, "scored", None


def _score_pair(pair: Pair, settings: _Settings) -> _CaseResult:
    """Read and score one case; a prediction that is missing, unreadable or misaligned counts as an empty one."""
    reference = read_label_map(pair.reference.path)
    predicted, status, fault = _read_prediction(pair, reference)
    array = predicted.array if predicted is not None else np.zeros_like(reference.array)
    box = joint_box(array, reference.array)
    inside, truth = array[box], reference.array[box]
    rules = settings.rules
    truth_found = find_scheme(pair.reference, _values(truth), settings.labels, rules.labels)
    _check_regions(pair, truth_found, rules)
    found = None
    if predicted is not None and pair.prediction is not None:
        try:
            found = find_scheme(pair.prediction, _values(inside), settings.prediction_labels, rules.labels)
        except InputError as error:
            status, fault, inside = "unreadable", str(error), np.zeros_like(inside)
    scheme = truth_found.scheme if found is None else found.scheme
    regions = truth_found.scheme.region_names
    if scheme.region_names != regions:
        raise InputError(
            f"{pair.case}: the prediction has the regions {', '.join(scheme.region_names)} ({scheme.name}) "
            f"but the reference {', '.join(regions)} ({truth_found.scheme.name})"
        )
    masks, present = scheme.masks(inside), truth_found.scheme.masks(truth)
    rows = score_case(
        masks,
        present,
        regions=regions,
        spacing=reference.grid.spacing,
        rules=rules,
        tolerance=settings.tolerance,
        outside=array.size - inside.size,
    )
    if settings.uncertainty:
        mapped, fault_of_maps = score_maps(pair, reference.grid, regions, masks, present, box, rules)
        rows = [{**row, **extra} for row, extra in zip(rows, mapped, strict=True)]
        fault = fault or fault_of_maps
    rows = [{"case": pair.case, **row, "status": status} for row in rows]
    return _CaseResult(pair.case, rows, truth_found, found, status, fault)


def _check_regions(pair: Pair, found: Finding, rules: Rules) -> None:
    """Rules of another organ must not score gliomas; those for gliomas are general enough for others."""
    wanted = scheme_named(rules.labels).region_names
    if wanted not in (GLIOMA_REGIONS, found.scheme.region_names):
        raise InputError(
            f"{pair.reference.path}: has the regions {', '.join(found.scheme.region_names)}, but the rules "
            f"{rules.name} are for {', '.join(wanted)}; choose others with --rules"
        )


def _score_all(
    score: Callable[[Pair], _CaseResult], pairs: Sequence[Pair], workers: int | None, progress: bool
) -> list[_CaseResult]:
    """Score pairs side by side, in order; a side of which nothing can be scored is no result."""
    console = Console(stderr=True)
    hidden = not (progress and console.is_terminal)
    # Decompression, numpy and the k-d tree all release the interpreter's lock, so threads do.
    pool = ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1))
    try:
        running = pool.map(score, pairs)
        results = list(track(running, "Scoring", total=len(pairs), console=console, transient=True, disable=hidden))
    finally:
        pool.shutdown(cancel_futures=True)
    if not any(result.prediction for result in results):
        faults = [result.fault for result in results if result.fault is not None]
        raise InputError(f"none of the {len(faults)} predictions can be scored; the first: {faults[0]}")
    return results


def _rules_for_file(settings: _Settings) -> dict[str, Any]:
    rules = settings.rules
    return {
        "name": rules.name,
        "version": rules.version,
        "description": rules.description,
        "hd95": rules.hausdorff,
        "hd95_description": rules.hd95_description,
        "penalty_mm": rules.penalty_mm,
        "lesions": None if rules.lesions is None else asdict(rules.lesions),
        "uncertainty_thresholds": (rules.uncertainty or QU_BRATS_THRESHOLDS) if settings.uncertainty else None,
        "surface_dice_tolerance_mm": settings.tolerance,
    }


def _summary(results: list[_CaseResult], pairing: Pairing, settings: _Settings) -> dict[str, Any]:
    """Everything but the rows, in the order in which a reader wants it."""
    rows = [row for result in results for row in result.rows]
    empty, statistics = count_empty(rows), summarise_regions(rows)
    return {
        "software": f"tunetseg {__version__}",
        "note": _NOTE,
        "rules": _rules_for_file(settings),
        "labels": {
            "predictions": describe_findings(r.prediction for r in results if r.prediction is not None),
            "references": describe_findings(result.reference for result in results),
        },
        "cases": {
            "references": len(results),
            "missing": [result.case for result in results if result.status == "missing"],
            **{
                status: {result.case: result.fault for result in results if result.status == status}
                for status in ("unreadable", "misaligned")
            },
            "counted_as": "an empty prediction",
            "maps_at_fault": {r.case: r.fault for r in results if r.status == "scored" and r.fault is not None},
            "predictions_without_reference": list(pairing.without_reference),
        },
        "regions": {name: {"empty": empty[name], **statistics[name]} for name in statistics},
    }


def _choose_rules(name: str, thresholds: Sequence[float] | None) -> Rules:
    try:
        rules = rules_named(name)
        if thresholds is None:
            return rules
        return replace(rules, uncertainty=tuple(check_thresholds(thresholds).tolist()))
    except ValueError as error:
        raise InputError(str(error)) from None


def evaluate(
    predictions: str | Path,
    references: str | Path,
    *,
    rules: str = "brats2020",
    cases: str | Path | None = None,
    labels: str | None = None,
    prediction_labels: str | None = None,
    uncertainty: bool = False,
    thresholds: Sequence[float] | None = None,
    tolerance: float | None = None,
    out: str | Path | None = None,
    tables: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> Scores:
    """Score predicted label maps against the experts'.

    Args:
        predictions: A flat folder of ``<case>.nii.gz``, a cohort folder, or one file.
        references: The same.
        rules: Name of a set of conventions, see `RULES`.
        cases: Text file of case names, such as a fold's ``validation.txt``; only these are scored.
        labels: BraTS year or scheme of the label values on both sides; otherwise each side's manifest,
            dataset or values tell.
        prediction_labels: The same for the predictions alone.
        uncertainty: Score the uncertainty maps beside the predictions too, and probability maps where there are any;
            the references must be a cohort, whose images tell where the brain is. Always with ``qu-brats``.
        thresholds: Of uncertainty, instead of the rules' own: two or more, rising, within 0..100.
        tolerance: Millimetres; if given, surface Dice is scored too.
        out: A ``.csv`` file for the rows; the summary goes beside it as ``.json``.
        tables: Write the means as Markdown and LaTeX tables too, in the layout of the paper's Tables 1 and 4.
        workers: Cases scored at the same time; None takes one a processor, four at most.
        progress: Show a bar on a terminal.

    Returns:
        Rows and summary. A reference whose prediction is missing, unreadable, on another grid or of label values that
        no scheme has counts as one for which nothing was found, and is listed; none is ever left out.

    Raises:
        InputError: A side is missing, has no label map or no case in common with the other; a reference
            cannot be read; its label values fit no scheme, or its regions not the rules.

    Examples:
        >>> scores = evaluate("predictions", "cohort", rules="brats2019")  # doctest: +SKIP
        >>> scores.summary["regions"]["enhancing"]["dice"]["mean"]  # doctest: +SKIP
        0.78
    """
    chosen = _choose_rules(rules, thresholds)
    if workers is not None and workers < 1:
        raise InputError(f"workers {workers}: at least one is needed")
    if tolerance is not None and not tolerance >= 0:
        raise InputError(f"tolerance {tolerance}: must be millimetres from 0 up")
    if tables and out is None:
        raise InputError("tables are written beside the table of scores; name it with --out")
    for given in (labels, prediction_labels):
        if given is not None:
            scheme_named(given)
    target = None if out is None else check_target(out, ".csv")
    if target is not None:
        spare_other(target.with_suffix(".json"), "summary of scores", {"rules", "regions"})
    pairing = pair_files(Path(predictions), Path(references), None if cases is None else Path(cases))
    asked = uncertainty or chosen.uncertainty is not None
    settings = _Settings(chosen, labels, prediction_labels or labels, asked, tolerance)
    results = _score_all(partial(_score_pair, settings=settings), pairing.pairs, workers, progress)
    rows = tuple(row for result in results for row in result.rows)
    scores = Scores(rows, _summary(results, pairing, settings))
    if target is not None:
        write_scores(scores.rows, scores.summary, target)
        if tables:
            write_tables({target.stem: scores.summary["regions"]}, PAPER_GROUPS, target)
    return scores
