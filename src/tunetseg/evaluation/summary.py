"""Summary of an evaluation: rules, label schemes, cases and statistics, ready for JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tunetseg import __version__
from tunetseg.datasets import packaged_descriptions
from tunetseg.evaluation.case import CaseResult, Settings
from tunetseg.evaluation.labels import describe_findings
from tunetseg.metrics import (
    QU_BRATS_THRESHOLDS,
    SCORES,
    Rules,
    count_empty,
    find_rules,
    pool_reliability,
    recall_by_size,
    summarise_regions,
)

__all__ = ["strict_summary", "summarise_cases"]

_NOTE = "For research use; not a medical device."


def summarise_cases(
    results: Sequence[CaseResult], settings: Settings, without_reference: Sequence[str] = ()
) -> dict[str, Any]:
    """Return everything but the rows, in the order of reading.

    Args:
        results: One per reference.
        settings: What the cases were scored by.
        without_reference: Cases that only the predictions have.

    Returns:
        ``software``, ``note``, ``rules``, ``labels`` (per side: schemes and a sentence), ``cases`` (those that were
        not scored, with reasons), ``regions`` (region -> score -> `Summary`, and how often it was empty) and, where
        requested, ``strict`` (``rules`` and ``regions`` of the strict version, ``differing``: region -> number of cases
        that the two score differently), ``lesion_recall`` (region -> `recall_by_size`) and ``reliability`` (region ->
        ``brier`` and ``bins`` of probability near the border, over the voxels of all cases).
    """
    rows = [row for result in results for row in result.rows]
    strict = [row for result in results for row in result.strict_rows]
    return {
        "software": f"tunetseg {__version__}",
        "note": _NOTE,
        "rules": _rules(settings.rules, settings),
        "labels": {
            "predictions": describe_findings(r.prediction for r in results if r.prediction is not None),
            "references": describe_findings(result.reference for result in results),
            "usual_rules": _usual_rules(results, settings),
        },
        "cases": {
            "references": len(results),
            "missing": [result.case for result in results if result.status == "missing"],
            **{
                status: {result.case: result.fault for result in results if result.status == status}
                for status in ("unreadable", "misaligned")
            },
            "counted_as": "an empty prediction",
            "left_out": settings.rules.skip_failed,
            "missing_is_worst": settings.rules.missing_is_worst,
            "older_labels": _look_older(results, settings.rules),
            "invalid_maps": {r.case: r.fault for r in results if r.status == "scored" and r.fault is not None},
            "predictions_without_reference": list(without_reference),
        },
        "regions": _regions(rows, settings.rules),
        **({"strict": _strict(rows, strict, settings)} if strict else {}),
        **({"lesion_recall": _recall(rows, results)} if settings.lesions else {}),
        **({"reliability": _reliability(results)} if any(result.reliability for result in results) else {}),
    }


def _usual_rules(results: Sequence[CaseResult], settings: Settings) -> list[str]:
    """Return the rules of the packaged datasets with the references' label values, where none were named.

    Empty too where the rules that were used are among them, or the references are of several schemes.
    """
    schemes = {result.reference.scheme.name for result in results}
    if not settings.by_default or len(schemes) != 1:
        return []
    datasets = [found for found in packaged_descriptions().values() if not found.label_candidates]
    usual = {find_rules(found.rules).name for found in datasets if found.scheme.name in schemes}
    return [] if settings.rules.name in usual else sorted(usual)


def _look_older(results: Sequence[CaseResult], rules: Rules) -> bool:
    """Return whether label maps taken to be of 2024 on look older: with a 4, the enhancing tumour then, but no 3."""
    by_rules = [result.reference for result in results if result.reference.how == "rules"]
    values = frozenset[int]().union(*(finding.values for finding in by_rules))
    return rules.labels == "brats2024" and 4 in values and 3 not in values


def strict_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary of the strict version alone, with what the two have in common.

    Args:
        summary: Of an evaluation that has a strict version.
    """
    strict = summary["strict"]
    common = {name: value for name, value in summary.items() if name != "strict"}
    cases = {**summary["cases"], "left_out": False}
    return {**common, "cases": cases, "rules": strict["rules"], "regions": strict["regions"]}


def _regions(rows: Sequence[Mapping[str, Any]], rules: Rules) -> dict[str, Any]:
    # What is missing has the worst scores under some rules, whatever is empty.
    judged = [row for row in rows if row["status"] != "missing" or not rules.missing_is_worst]
    empty, statistics = count_empty(judged), summarise_regions(rows)
    return {name: {"empty": empty[name], **statistics[name]} for name in statistics}


def _strict(
    rows: Sequence[Mapping[str, Any]], strict: Sequence[Mapping[str, Any]], settings: Settings
) -> dict[str, Any]:
    differing = dict.fromkeys((row["region"] for row in rows), 0)
    for row, other in zip(rows, strict, strict=True):
        differing[row["region"]] += any(not _same(row[name], other[name]) for name in SCORES if name in other)
    rules = settings.rules.strict()
    return {"rules": _rules(rules, settings), "regions": _regions(strict, rules), "differing": differing}


def _recall(rows: Sequence[Mapping[str, Any]], results: Sequence[CaseResult]) -> dict[str, Any]:
    lesions = [lesion for result in results for lesion in result.lesions]
    regions = dict.fromkeys(row["region"] for row in rows)
    return {name: recall_by_size([lesion for lesion in lesions if lesion["region"] == name]) for name in regions}


def _reliability(results: Sequence[CaseResult]) -> dict[str, Any]:
    """Return the reliability of each region over all cases that have a probability map of it."""
    regions = dict.fromkeys(region for result in results for region in result.reliability)
    pooled = {
        region: pool_reliability([result.reliability[region] for result in results if region in result.reliability])
        for region in regions
    }
    return {
        region: {
            "brier": found.brier,
            "bins": [
                {"from": low, "to": high, "voxels": voxels, "confidence": confidence, "frequency": frequency}
                for low, high, voxels, confidence, frequency in zip(
                    found.edges[:-1].tolist(),
                    found.edges[1:].tolist(),
                    found.voxels.tolist(),
                    found.confidence.tolist(),
                    found.frequency.tolist(),
                    strict=True,
                )
            ],
        }
        for region, found in pooled.items()
    }


def _same(first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=1e-9) or (math.isnan(first) and math.isnan(second))


def _rules(rules: Rules, settings: Settings) -> dict[str, Any]:
    return {
        "name": rules.name,
        "version": rules.version,
        "description": rules.description,
        "hd95": rules.hausdorff,
        "hd95_description": rules.hd95_description,
        "penalty_mm": rules.penalty_mm,
        "penalty": rules.penalty,
        "lesions": None if rules.lesions is None else asdict(rules.lesions),
        "matching": None if rules.matching is None else asdict(rules.matching),
        "regions": {region.name: asdict(region) for region in rules.regions} or None,
        "nsd_tolerances": dict(rules.nsd),
        "uncertainty_thresholds": (rules.uncertainty or QU_BRATS_THRESHOLDS) if settings.uncertainty else None,
        "surface_dice_tolerance_mm": settings.tolerance,
    }
