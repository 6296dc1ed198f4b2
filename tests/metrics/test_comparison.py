"""Paired tests and ranks, by hand and against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.metrics.comparison import holm, mean_ranks, paired_tests


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    corrected = holm([0.02, math.nan, 0.03])
    assert corrected[0] == pytest.approx(0.04)
    assert math.isnan(corrected[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_and_bonferronis(p_values):
    for raw, corrected in zip(p_values, holm(p_values), strict=True):
        assert raw <= corrected <= min(1, raw * len(p_values)) + 1e-12


def test_wilcoxon_by_hand():
    # Six differences of one sign: p is 2 / 2**6.
    (test,) = paired_tests({"a": [2, 3, 4, 5, 6, 7.5], "b": [1] * 6})
    assert (test.first, test.second, test.n) == ("a", "b", 6)
    assert test.p == pytest.approx(2 / 64)
    assert test.median_difference == 3.5
    assert test.mean_difference == pytest.approx(3.583, abs=1e-3)
    assert 2 < test.ci95[0] < test.mean_difference < test.ci95[1] < 5.5


def test_cases_without_a_value_and_equal_cases():
    first, second = paired_tests({"a": [1, math.nan, 3], "b": [1, 2, 3], "c": [math.nan] * 3})[:2]
    assert (first.n, first.p) == (2, 1.0)
    assert second.n == 0
    assert math.isnan(second.p)
    with pytest.raises(ValueError, match="same cases"):
        paired_tests({"a": [1], "b": [1, 2]})


def test_ranks_by_hand():
    dice = np.array([[0.9, 0.5], [0.8, 0.5], [0.7, 0.9]])
    hd95 = np.array([[1.0, math.nan], [2.0, 3.0], [2.0, math.nan]])
    # Dice: 1 2 3 and 2.5 2.5 1. HD95: 1 2.5 2.5 and 2.5 1 2.5.
    assert mean_ranks([dice, hd95], [True, False]) == pytest.approx(
        [(1 + 2.5 + 1 + 2.5) / 4, (2 + 2.5 + 2.5 + 1) / 4, (3 + 1 + 2.5 + 2.5) / 4]
    )


@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 99))
def test_ranks_always_average_to_the_middle(methods, cases, seed):
    table = np.random.default_rng(seed).integers(0, 4, (methods, cases)).astype(float)
    assert mean_ranks([table], [True]).mean() == pytest.approx((methods + 1) / 2)
