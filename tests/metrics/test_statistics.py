"""Means, spreads and who was left out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.metrics import summarise, summarise_regions
from tunetseg.metrics.statistics import count_empty


def test_by_hand():
    found = summarise([2.0, 4.0, 9.0, math.nan])
    assert (found["mean"], found["median"], found["n"], found["left_out"]) == (5.0, 4.0, 3, 1)
    assert found["sd"] == pytest.approx(math.sqrt((9 + 1 + 16) / 2))


def test_too_few_cases_have_no_spread():
    one = summarise([3.0])
    assert one["mean"] == 3.0
    assert math.isnan(one["sd"])
    assert math.isnan(one["ci95"][0])
    none = summarise([math.nan])
    assert math.isnan(none["mean"])
    assert (none["n"], none["left_out"]) == (0, 1)


def test_interval_of_two_values():
    # Each resample's mean is 0, 0.5 or 1 with chance 1/4, 1/2, 1/4.
    assert summarise([0.0, 1.0])["ci95"] == (0.0, 1.0)


def test_interval_is_near_the_normal_one():
    values = [math.sin(i) for i in range(200)]
    found = summarise(values)
    half = 1.96 * found["sd"] / math.sqrt(200)
    assert found["ci95"] == pytest.approx((found["mean"] - half, found["mean"] + half), abs=0.02)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_interval_is_inside_the_values_and_always_the_same(values):
    found = summarise(values)
    slack = 1e-9 * max(abs(value) for value in values)
    assert min(values) - slack <= found["ci95"][0] <= found["ci95"][1] <= max(values) + slack
    assert summarise(values) == found


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
    found = summarise_regions(rows)
    assert list(found) == ["whole", "enhancing"]
    assert found["whole"]["hd95"]["mean"] == 2.0
    assert found["whole"]["hd95"]["set_by_rule"] == 0
    assert found["enhancing"]["hd95"]["mean"] == pytest.approx(375.12866 / 3)
    assert found["enhancing"]["hd95"]["set_by_rule"] == 2
    assert found["enhancing"]["specificity"]["set_by_rule"] == 0
    assert count_empty(rows)["enhancing"] == {"both": 1, "reference": 0, "prediction": 1}
    skipped = summarise_regions([row("enhancing", math.nan, "both")])
    assert skipped["enhancing"]["hd95"]["left_out"] == 1
    assert skipped["enhancing"]["hd95"]["set_by_rule"] == 0
    assert skipped["enhancing"]["dice"]["set_by_rule"] == 1
