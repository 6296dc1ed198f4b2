"""Means, spreads and who was left out."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunetseg.metrics import summarise, summarise_regions
from tunetseg.metrics.statistics import count_empty


def test_by_hand():
    summary = summarise([2.0, 4.0, 9.0, math.nan])
    assert (summary["mean"], summary["median"], summary["n"], summary["left_out"]) == (5.0, 4.0, 3, 1)
    assert summary["sd"] == pytest.approx(math.sqrt((9 + 1 + 16) / 2))


def test_too_few_cases_have_no_spread():
    single = summarise([3.0])
    assert single["mean"] == 3.0
    assert math.isnan(single["sd"])
    assert math.isnan(single["ci95"][0])
    empty = summarise([math.nan])
    assert math.isnan(empty["mean"])
    assert (empty["n"], empty["left_out"]) == (0, 1)


def test_interval_of_two_values():
    # Each resample's mean is 0, 0.5 or 1 with chance 1/4, 1/2, 1/4.
    assert summarise([0.0, 1.0])["ci95"] == (0.0, 1.0)


def test_interval_is_near_the_normal_one():
    values = [math.sin(i) for i in range(200)]
    summary = summarise(values)
    half = 1.96 * summary["sd"] / math.sqrt(200)
    assert summary["ci95"] == pytest.approx((summary["mean"] - half, summary["mean"] + half), abs=0.02)


VALUES = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, 373.12866, 1e-300])), min_size=2, max_size=20
)


@given(VALUES)
@example([1.0, 1.0, 1.0])
@example([1e-300, 0.0, 0.0])
@example([1.0] * 19 + [math.nextafter(1.0, 2.0)])
@example([0.0] * 99 + [1.0])
def test_interval_is_inside_the_values_and_always_the_same(values):
    """Also of values that are all equal or nearly so, without a warning (all warnings are errors here)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = summarise(values)
    assert min(values) <= summary["ci95"][0] <= summary["ci95"][1] <= max(values)
    assert summarise(values) == summary


def test_interval_of_skewed_values_reaches_to_the_long_side():
    """The percentile interval is too short there; the corrected one of Dice of which one case failed reaches lower."""
    values = [0.9] * 10 + [0.0]
    low, high = summarise(values)["ci95"]
    mean = sum(values) / 11
    assert mean - low > high - mean
    draws = np.random.default_rng(0).choice(values, (4000, 11)).mean(axis=1)
    assert low < np.percentile(draws, 2.5)


def test_equal_values_have_a_point_for_an_interval():
    assert summarise([0.5, 0.5, 0.5])["ci95"] == (0.5, 0.5)


def row(region, hd95, empty, dice=0.5):
    return {
        "region": region,
        "dice": dice,
        "hd95": hd95,
        "sensitivity": 0.5,
        "specificity": 1.0,
        "precision": 0.5,
        "empty": empty,
    }


def test_regions_and_what_the_rules_set():
    rows = [
        row("whole", 1.0, "none"),
        row("enhancing", 2.0, "none"),
        row("whole", 3.0, "none"),
        row("enhancing", 373.12866, "prediction", dice=0.0),
        row("enhancing", 0.0, "both", dice=1.0),
    ]
    summary = summarise_regions(rows)
    assert list(summary) == ["whole", "enhancing"]
    assert summary["whole"]["hd95"]["mean"] == 2.0
    assert summary["whole"]["hd95"]["set_by_rule"] == 0
    assert summary["enhancing"]["hd95"]["mean"] == pytest.approx(375.12866 / 3)
    assert summary["enhancing"]["hd95"]["set_by_rule"] == 2
    assert summary["enhancing"]["specificity"]["set_by_rule"] == 0
    assert count_empty(rows)["enhancing"] == {"both": 1, "reference": 0, "prediction": 1}
    skipped = summarise_regions([row("enhancing", math.nan, "both")])
    assert skipped["enhancing"]["hd95"]["left_out"] == 1
    assert skipped["enhancing"]["hd95"]["set_by_rule"] == 0
    assert skipped["enhancing"]["dice"]["set_by_rule"] == 1
