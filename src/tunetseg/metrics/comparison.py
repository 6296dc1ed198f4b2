"""Comparing methods on the same cases: paired tests and the challenge's ranks."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["HIGHER_IS_BETTER", "PairedTest", "holm", "mean_ranks", "paired_tests"]

HIGHER_IS_BETTER = {
    **dict.fromkeys(
        (
            "dice",
            "jaccard",
            "sensitivity",
            "specificity",
            "precision",
            "surface_dice",
            "lesion_dice",
            "dauc",
            "qu_score",
        ),
        True,
    ),
    **dict.fromkeys(("hd95", "hd100", "assd", "lesion_hd95", "rftp", "rftn", "ece"), False),
}
"""Scores that methods can be ranked by, and which way is better."""


class PairedTest(NamedTuple):
    """Two methods on the same cases.

    Args:
        first: Name of a method.
        second: Name of the other.
        n: Cases that both have a value for.
        median_difference: Median of first minus second.
        p: Of the two-sided Wilcoxon signed-rank test; NaN below two cases; 1 where all cases are equal.
    """

    first: str
    second: str
    n: int
    median_difference: float
    p: float


def paired_tests(values: Mapping[str, Sequence[float]]) -> list[PairedTest]:
    """Wilcoxon's signed-rank test (Biometrics Bulletin 1, 1945) of every pair of methods.

    Args:
        values: Method -> its score of each case, the same cases in the same order; NaN where it has none.

    Raises:
        ValueError: The methods have different numbers of cases.
    """
    if len({len(column) for column in values.values()}) > 1:
        raise ValueError("methods must be scored on the same cases")
    tests = []
    for (first, one), (second, other) in itertools.combinations(values.items(), 2):
        difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
        difference = difference[~np.isnan(difference)]
        if difference.size < 2:
            p = float("nan")
        elif not difference.any():
            p = 1.0
        else:
            p = float(stats.wilcoxon(difference).pvalue)
        median = float(np.median(difference)) if difference.size else float("nan")
        tests.append(PairedTest(first, second, int(difference.size), median, p))
    return tests


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm, Scand. J. Statist. 6, 1979); NaN stays NaN and does not count.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, np.float64)
    corrected = np.full(given.shape, np.nan)
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known])]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(1, np.maximum.accumulate(given[order] * factors))
    return [float(value) for value in corrected]


def mean_ranks(tables: Sequence[NDArray[np.float64]], higher_is_better: Sequence[bool]) -> NDArray[np.float64]:
    """The challenge's aggregation: rank the methods case by case and score by score, then average all ranks.

    A case's methods of equal score share the mean of their ranks. A case without a value (NaN) ranks behind all that
    have one, for the rule that leaves it out speaks of the region, not of a method's merit; where no method has one,
    all share a rank. Bakas et al., arXiv 1811.02629 (2018), 2.3.

    Args:
        tables: One a score and region, shape (method, case).
        higher_is_better: One a table.

    Returns:
        Mean rank of each method, shape (method,); 1 is best.
    """
    ranks = []
    for table, higher in zip(tables, higher_is_better, strict=True):
        worse_first = np.where(np.isnan(table), -np.inf, table if higher else -table)
        ranks.append(stats.rankdata(-worse_first, axis=0))
    return np.concatenate(ranks, axis=1).mean(axis=1)
