"""Scores of a cohort's label maps, from files to a table and its summary."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from tunetseg import __version__
from tunetseg.data.volume import check_same_grid, read_label_map
from tunetseg.errors import InputError
from tunetseg.metrics import (
    HD95_DESCRIPTIONS,
    Rules,
    count_empty,
    joint_box,
    rules_named,
    score_case,
    summarise_regions,
)
from tunetseg.report.scores_files import Pair, Pairing, pair_files
from tunetseg.report.scores_labels import Finding, describe_findings, find_scheme
from tunetseg.report.scores_tables import check_out, write_scores

__all__ = ["Scores", "evaluate"]

_NOTE = "For research use; not a medical device."


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Args:
        rows: One dictionary a case and region: ``case``, ``region``, ``dice``, ``hd95`` (mm),
            ``sensitivity``, ``specificity``, ``precision``, ``reference_ml``, ``predicted_ml``, ``empty``
            (which mask was) and ``status`` (``scored``, or ``missing`` or ``unreadable`` for a prediction
            counted as empty). NaN where the rules leave a score out.
        summary: Rules, label schemes, cases and every region's statistics, ready for JSON.
    """

    rows: tuple[dict[str, Any], ...]
    summary: dict[str, Any]


@dataclass(frozen=True)
class _CaseResult:
    """One case scored; `unreadable` says why where its prediction could not be read."""

    case: str
    rows: list[dict[str, Any]]
    reference: Finding
    prediction: Finding | None
    unreadable: str | None


def _values(labels: NDArray[np.uint8]) -> list[int]:
    return np.flatnonzero(np.bincount(labels.ravel(), minlength=1)).tolist()


def _score_pair(pair: Pair, *, rules: Rules, labels: str | None, prediction_labels: str | None) -> _CaseResult:
    """Read and score one case; a prediction that is not there or not readable counts as an empty one."""
    reference = read_label_map(pair.reference.path)
    predicted, status, unreadable = None, "missing", None
    if pair.prediction is not None:
        try:
            predicted, status = read_label_map(pair.prediction.path), "scored"
        except InputError as error:
            status, unreadable = "unreadable", str(error)
    if predicted is not None and pair.prediction is not None:
        check_same_grid(pair.prediction.path, predicted.grid, pair.reference.path, reference.grid)
    array = predicted.array if predicted is not None else np.zeros_like(reference.array)
    box = joint_box(array, reference.array)
    inside, truth = array[box], reference.array[box]

    truth_found = find_scheme(pair.reference, _values(truth), labels)
    found = None
    if predicted is not None and pair.prediction is not None:
        found = find_scheme(pair.prediction, _values(inside), prediction_labels)
    scheme = truth_found.scheme if found is None else found.scheme
    regions = truth_found.scheme.region_names
    if scheme.region_names != regions:
        raise InputError(
            f"{pair.case}: the prediction has the regions {', '.join(scheme.region_names)} ({scheme.name}) "
            f"but the reference {', '.join(regions)} ({truth_found.scheme.name})"
        )
    scored = score_case(
        scheme.masks(inside),
        truth_found.scheme.masks(truth),
        regions=regions,
        spacing=reference.grid.spacing,
        rules=rules,
        outside=array.size - inside.size,
    )
    rows = [{"case": pair.case, **row, "status": status} for row in scored]
    return _CaseResult(pair.case, rows, truth_found, found, unreadable)


def _score_all(
    score: Callable[[Pair], _CaseResult], pairs: Sequence[Pair], workers: int | None, progress: bool
) -> list[_CaseResult]:
    """Score pairs side by side, in order; a side of which nothing can be read is no result."""
    console = Console(stderr=True)
    hidden = not (progress and console.is_terminal)
    # Decompression, numpy and the k-d tree all release the interpreter's lock, so threads do.
    pool = ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1))
    try:
        running = pool.map(score, pairs)
        results = list(track(running, "Scoring", total=len(pairs), console=console, transient=True, disable=hidden))
    finally:
        pool.shutdown(cancel_futures=True)
    reasons = [result.unreadable for result in results if result.unreadable is not None]
    if reasons and not any(result.prediction for result in results):
        raise InputError(f"none of the {len(reasons)} predictions can be read; the first: {reasons[0]}")
    return results


def _rules_for_file(rules: Rules) -> dict[str, Any]:
    return {
        "name": rules.name,
        "description": rules.description,
        "hd95": rules.hd95,
        "hd95_description": HD95_DESCRIPTIONS[rules.hd95],
        "penalty_mm": rules.penalty_mm,
    }


def _summary(results: list[_CaseResult], pairing: Pairing, rules: Rules, all_references: bool) -> dict[str, Any]:
    """Everything but the rows, in the order in which a reader wants it."""
    rows = [row for result in results for row in result.rows]
    empty, statistics = count_empty(rows), summarise_regions(rows, rules)
    return {
        "software": f"tunetseg {__version__}",
        "note": _NOTE,
        "rules": _rules_for_file(rules),
        "labels": {
            "predictions": describe_findings(r.prediction for r in results if r.prediction is not None),
            "references": describe_findings(result.reference for result in results),
        },
        "cases": {
            "scored": len(results),
            "references": len(results) + (0 if all_references else len(pairing.without_prediction)),
            "references_without_prediction": list(pairing.without_prediction),
            "counted_as": "an empty prediction" if all_references else "left out",
            "unreadable_predictions": {r.case: r.unreadable for r in results if r.unreadable is not None},
            "unreadable_counted_as": "an empty prediction",
            "predictions_without_reference": list(pairing.without_reference),
        },
        "regions": {name: {"empty": empty[name], **statistics[name]} for name in statistics},
    }


def evaluate(
    predictions: str | Path,
    references: str | Path,
    *,
    rules: str = "brats2020",
    labels: str | None = None,
    prediction_labels: str | None = None,
    all_references: bool = False,
    out: str | Path | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Scores:
    """Score predicted label maps against the experts'.

    Args:
        predictions: A flat folder of ``<case>.nii.gz``, a cohort folder, or one file.
        references: The same.
        rules: Name of a set of conventions, ``brats2019`` or ``brats2020``.
        labels: BraTS year or scheme of the label values on both sides; otherwise each side's manifest,
            dataset or values tell.
        prediction_labels: The same for the predictions alone.
        all_references: Count a reference without a prediction as an empty prediction. Otherwise such cases
            are listed and left out, since one fold's predictions rightly cover a part of the cohort only.
        out: A ``.csv`` file for the rows; the summary goes beside it as ``.json``.
        workers: Cases scored at the same time; None takes one a processor, four at most.
        progress: Show a bar on a terminal.

    Returns:
        Rows and summary. A prediction that cannot be read counts as an empty one and is listed.

    Raises:
        InputError: A side is missing, has no label map or no case in common with the other; a reference
            cannot be read; label values fit no scheme; or a pair is not on one grid.

    Examples:
        >>> scores = evaluate("predictions", "cohort", rules="brats2019")  # doctest: +SKIP
        >>> scores.summary["regions"]["enhancing"]["dice"]["mean"]  # doctest: +SKIP
        0.78
    """
    try:
        chosen = rules_named(rules)
    except ValueError as error:
        raise InputError(str(error)) from None
    if workers is not None and workers < 1:
        raise InputError(f"workers {workers}: at least one is needed")
    target = None if out is None else check_out(Path(out))
    pairing = pair_files(Path(predictions), Path(references), all_references=all_references)
    score = partial(_score_pair, rules=chosen, labels=labels, prediction_labels=prediction_labels or labels)
    results = _score_all(score, pairing.pairs, workers, progress)
    rows = tuple(row for result in results for row in result.rows)
    scores = Scores(rows, _summary(results, pairing, chosen, all_references))
    if target is not None:
        write_scores(scores.rows, scores.summary, target)
    return scores
