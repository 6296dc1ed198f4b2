"""Comparison of methods on the same cases: paired tests, and ranks as the BraTS challenge computes them."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tunetseg.metrics.statistics import summarise

__all__ = ["PairedTest", "holm", "mean_ranks", "paired_tests"]


class PairedTest(NamedTuple):
    """Test of two methods on the same cases.

    Args:
        first: Name of one method.
        second: Name of the other method.
        n: Number of cases that both have a value for.
        median_difference: Median over cases of first minus second.
        mean_difference: Mean over cases of first minus second.
        ci95: Its 95 % interval, as `summarise` computes it.
        p: p value of the two-sided Wilcoxon signed-rank test; NaN below two cases; 1 where all cases are equal.
    """

    first: str
    second: str
    n: int
    median_difference: float
    mean_difference: float
    ci95: tuple[float, float]
    p: float


def paired_tests(values: Mapping[str, Sequence[float]]) -> list[PairedTest]:
    """Run Wilcoxon's signed-rank test on every pair of methods (Wilcoxon, Biometrics Bulletin 1, 1945).

    Args:
        values: Method -> its score of each case, the same cases in the same order; NaN where it has none.

    Returns:
        One test per pair, in the order of the methods.

    Raises:
        ValueError: The methods have different numbers of cases.

    Examples:
        >>> (test,) = paired_tests({"a": [2, 3, 4, 5, 6, 7.5], "b": [1] * 6})
        >>> test.n, test.median_difference, test.p
        (6, 3.5, 0.03125)
    """
    if len({len(column) for column in values.values()}) > 1:
        raise ValueError("methods must be scored on the same cases")
    tests = []
    for (first, first_values), (second, second_values) in itertools.combinations(values.items(), 2):
        difference = np.asarray(first_values, np.float64) - np.asarray(second_values, np.float64)
        difference = difference[~np.isnan(difference)]
        if difference.size < 2:
            p = float("nan")
        elif not difference.any():
            p = 1.0
        else:
            p = float(stats.wilcoxon(difference).pvalue)
        median = float(np.median(difference)) if difference.size else float("nan")
        summary = summarise(difference.tolist())
        tests.append(PairedTest(first, second, summary["n"], median, summary["mean"], summary["ci95"], p))
    return tests


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number by Holm's method (Scand. J. Statist. 6, 1979).

    Args:
        p_values: Uncorrected; NaN stays NaN and is not counted.

    Returns:
        Corrected p values in the same order.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    uncorrected = np.asarray(p_values, np.float64)
    corrected = np.full(uncorrected.shape, np.nan)
    known = np.flatnonzero(~np.isnan(uncorrected))
    order = known[np.argsort(uncorrected[known])]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(1, np.maximum.accumulate(uncorrected[order] * factors))
    return [float(value) for value in corrected]


def mean_ranks(tables: Sequence[NDArray[np.float64]], higher_is_better: Sequence[bool]) -> NDArray[np.float64]:
    """Rank methods case by case and score by score, then average all ranks, as the BraTS challenge does.

    Methods with the same score on a case share the mean of their ranks. A case without a value (NaN) ranks behind
    all cases that have one, because the rule that leaves it out describes the region and not the method; where no
    method has a value, all share a rank. Bakas et al., arXiv 1811.02629 (2018), section 2.3.

    Args:
        tables: One table per score and region, shape (method, case).
        higher_is_better: One value per table.

    Returns:
        Mean rank of each method, shape (method,); 1 is best.

    Examples:
        >>> mean_ranks([np.array([[0.9, 0.8], [0.7, 0.8]])], [True]).tolist()
        [1.25, 1.75]
    """
    ranks = []
    for table, higher in zip(tables, higher_is_better, strict=True):
        worst_first = np.where(np.isnan(table), -np.inf, table if higher else -table)
        ranks.append(stats.rankdata(-worst_first, axis=0))
    return np.concatenate(ranks, axis=1).mean(axis=1)
