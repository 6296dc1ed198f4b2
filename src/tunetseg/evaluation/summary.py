"""Summary of an evaluation: rules, label schemes, cases and statistics, ready for JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tunetseg import __version__
from tunetseg.evaluation.case import CaseResult, Settings
from tunetseg.evaluation.labels import describe_findings
from tunetseg.metrics import QU_BRATS_THRESHOLDS, count_empty, summarise_regions

__all__ = ["summarise_cases"]

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
        not scored, with reasons) and ``regions`` (region -> score -> `Summary`, and how often it was empty).
    """
    rows = [row for result in results for row in result.rows]
    empty, statistics = count_empty(rows), summarise_regions(rows)
    return {
        "software": f"tunetseg {__version__}",
        "note": _NOTE,
        "rules": _rules(settings),
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
            "invalid_maps": {r.case: r.fault for r in results if r.status == "scored" and r.fault is not None},
            "predictions_without_reference": list(without_reference),
        },
        "regions": {name: {"empty": empty[name], **statistics[name]} for name in statistics},
    }


def _rules(settings: Settings) -> dict[str, Any]:
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
