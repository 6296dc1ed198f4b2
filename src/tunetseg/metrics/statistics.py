"""Statistics of scores over the cases of a cohort."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from tunetseg.metrics.scores import SCORES

__all__ = ["Summary", "count_empty", "summarise", "summarise_regions"]

_RESAMPLES = 2000
_SEED = 2019


class Summary(TypedDict):
    """Location and spread of one score over cases; NaN where there are too few cases."""

    mean: float
    sd: float
    median: float
    ci95: tuple[float, float]
    n: int
    left_out: int
    set_by_rule: int


def summarise(values: Sequence[float], *, set_by_rule: int = 0) -> Summary:
    """Return mean, spread and confidence interval of one score.

    Args:
        values: One value per case; NaN where the rules leave the case out.
        set_by_rule: How many of the values were given by the rule for empty regions; passed through.

    Returns:
        ``mean``; ``sd``, the sample's standard deviation (n - 1 in the denominator), NaN below two cases;
        ``median``; ``ci95``, the 95 % interval of the mean by the bias-corrected and accelerated bootstrap
        (Efron, J. Am. Stat. Assoc. 82, 1987; 2,000 resamples of the cases with a fixed seed), NaN below two cases;
        ``n``, the cases counted; ``left_out``, the cases not counted; and ``set_by_rule``.

    Examples:
        >>> summary = summarise([1.0, 2.0, 3.0, float("nan")])
        >>> summary["mean"], summary["sd"], summary["n"], summary["left_out"]
        (2.0, 1.0, 3, 1)
    """
    all_values = np.asarray(values, dtype=np.float64)
    kept = all_values[~np.isnan(all_values)]
    few = kept.size < 2
    return {
        "mean": float(kept.mean()) if kept.size else math.nan,
        "sd": math.nan if few else float(kept.std(ddof=1)),
        "median": float(np.median(kept)) if kept.size else math.nan,
        "ci95": (math.nan, math.nan) if few else _interval(kept),
        "n": int(kept.size),
        "left_out": int(all_values.size - kept.size),
        "set_by_rule": set_by_rule,
    }


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of two or more values; a point where all are equal."""
    from scipy import stats

    least, most = float(values.min()), float(values.max())
    if least == most:
        return least, most
    # On a scale of 0 to 1, where no sum of powers vanishes however close together the values lie.
    interval = stats.bootstrap(
        ((values - least) / (most - least),),
        np.mean,
        n_resamples=_RESAMPLES,
        method="BCa",
        vectorized=True,
        random_state=np.random.default_rng(_SEED),
    ).confidence_interval
    low, high = (least + float(end) * (most - least) for end in interval)
    return max(least, low), min(most, high)


def summarise_regions(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Summary]]:
    """Return the summary of every score of every region.

    Args:
        rows: Rows of `score_case`, of all cases.

    Returns:
        Region -> score -> `Summary`, regions in the order of their first row.
    """
    summaries: dict[str, dict[str, Summary]] = {}
    for region in dict.fromkeys(row["region"] for row in rows):
        region_rows = [row for row in rows if row["region"] == region]
        summaries[region] = {}
        for score in (score for score in SCORES.values() if score.name in region_rows[0]):
            values = [float(row[score.name]) for row in region_rows]
            by_rule = 0
            if score.when_empty is not None:
                by_rule = sum(
                    row["empty"] != "none" and not math.isnan(value)
                    for row, value in zip(region_rows, values, strict=True)
                )
            summaries[region][score.name] = summarise(values, set_by_rule=by_rule)
    return summaries


def count_empty(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Count how often a region was empty.

    Args:
        rows: Rows of `score_case`, of all cases.

    Returns:
        Region -> number of cases in which ``both`` masks were empty, only the ``reference``, or only the
        ``prediction``.
    """
    return {
        region: {
            which: sum(row["region"] == region and row["empty"] == which for row in rows)
            for which in ("both", "reference", "prediction")
        }
        for region in dict.fromkeys(row["region"] for row in rows)
    }
