"""What a cohort's scores come to."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from tunetseg.metrics.score import SCORES

__all__ = ["Summary", "count_empty", "summarise", "summarise_regions"]

_RULED = {"dice", "jaccard", "surface_dice", "hd95", "hd100", "assd", "sensitivity", "precision"}
"""Scores that a rule gives where a region is empty; the others are defined however empty it is."""

_RESAMPLES = 2000
_SEED = 2019


class Summary(TypedDict):
    """Location and spread of one score over cases; NaN where there are too few cases to tell."""

    mean: float
    sd: float
    median: float
    ci95: tuple[float, float]
    n: int
    left_out: int
    set_by_rule: int


def summarise(values: Sequence[float], *, set_by_rule: int = 0) -> Summary:
    """Mean, spread and confidence of one score.

    Args:
        values: One value a case; NaN where the rules leave the case out.
        set_by_rule: How many of the values an empty region's rule gave, for the record.

    Returns:
        ``mean``; ``sd`` of the sample (n - 1 in the denominator), NaN below two cases; ``median``; ``ci95``,
        the percentile bootstrap's 95 % interval of the mean (2,000 resamples of the cases with a fixed seed;
        Efron and Tibshirani 1993), NaN below two cases; ``n`` cases counted, ``left_out`` cases not counted,
        and ``set_by_rule``.

    Examples:
        >>> found = summarise([1.0, 2.0, 3.0, float("nan")])
        >>> found["mean"], found["sd"], found["n"], found["left_out"]
        (2.0, 1.0, 3, 1)
    """
    given = np.asarray(values, dtype=np.float64)
    kept = given[~np.isnan(given)]
    few = kept.size < 2
    return {
        "mean": float(kept.mean()) if kept.size else math.nan,
        "sd": math.nan if few else float(kept.std(ddof=1)),
        "median": float(np.median(kept)) if kept.size else math.nan,
        "ci95": (math.nan, math.nan) if few else _bootstrap(kept),
        "n": int(kept.size),
        "left_out": int(given.size - kept.size),
        "set_by_rule": set_by_rule,
    }


def _bootstrap(kept: np.ndarray) -> tuple[float, float]:
    draws = np.random.default_rng(_SEED).integers(kept.size, size=(_RESAMPLES, kept.size))
    low, high = np.percentile(kept[draws].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def summarise_regions(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Summary]]:
    """Summary of every score of every region.

    Args:
        rows: What `score_case` gives, for all cases.

    Returns:
        Region -> score -> `Summary`, regions in the order in which they first occur.
    """
    found: dict[str, dict[str, Summary]] = {}
    for region in dict.fromkeys(row["region"] for row in rows):
        mine = [row for row in rows if row["region"] == region]
        found[region] = {}
        for score in (score for score in SCORES if score in mine[0]):
            values = [float(row[score]) for row in mine]
            ruled = sum(
                row["empty"] != "none" and not math.isnan(value) for row, value in zip(mine, values, strict=True)
            )
            found[region][score] = summarise(values, set_by_rule=ruled if score in _RULED else 0)
    return found


def count_empty(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """How often a region was empty.

    Args:
        rows: What `score_case` gives, for all cases.

    Returns:
        Region -> how many cases had ``both`` masks empty, only the ``reference``, or only the ``prediction``.
    """
    return {
        region: {
            which: sum(row["region"] == region and row["empty"] == which for row in rows)
            for which in ("both", "reference", "prediction")
        }
        for region in dict.fromkeys(row["region"] for row in rows)
    }
