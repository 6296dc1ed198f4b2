"""Counts and ratios, by hand and by their properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from tunetseg.metrics import RULES, Counts, centre_distance, count_voxels, score_case

MASKS = arrays(bool, (3, 4, 2))


def test_counts_by_hand():
    prediction = np.array([1, 1, 1, 0, 0, 0], bool)
    reference = np.array([1, 1, 0, 1, 0, 0], bool)
    counts = count_voxels(prediction, reference)
    assert counts == Counts(tp=2, fp=1, fn=1, tn=2)
    assert counts.dice == pytest.approx(4 / 6)
    assert counts.sensitivity == pytest.approx(2 / 3)
    assert counts.specificity == pytest.approx(2 / 3)
    assert counts.precision == pytest.approx(2 / 3)


def test_cropped_voxels_are_true_negatives():
    mask = np.ones(2, bool)
    assert count_voxels(mask, mask, outside=8) == Counts(tp=2, fp=0, fn=0, tn=8)


def test_undefined_ratios_are_nan():
    nothing = Counts(tp=0, fp=0, fn=0, tn=5)
    assert math.isnan(nothing.dice)
    assert math.isnan(nothing.sensitivity)
    assert math.isnan(nothing.precision)
    assert math.isnan(Counts(tp=5, fp=0, fn=0, tn=0).specificity)


def test_shapes_and_types_are_checked():
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        count_voxels(np.ones(2, bool), np.ones(3, bool))
    with pytest.raises(ValueError, match="boolean, not uint8"):
        count_voxels(np.ones(2, np.uint8), np.ones(2, bool))


@given(MASKS, MASKS)
def test_dice_is_symmetric_and_bounded(first, second):
    there, back = count_voxels(first, second), count_voxels(second, first)
    assert there.tp + there.fp + there.fn + there.tn == first.size
    assert (there.sensitivity, there.precision) == pytest.approx((back.precision, back.sensitivity), nan_ok=True)
    assert there.dice == pytest.approx(back.dice, nan_ok=True)
    if first.any() or second.any():
        assert 0 <= there.dice <= 1


@given(MASKS)
def test_a_mask_agrees_with_itself(mask):
    counts = count_voxels(mask, mask)
    assert counts.fp == counts.fn == 0
    assert math.isnan(counts.dice) if not mask.any() else counts.dice == 1


def test_centre_distance_by_hand_and_in_mm():
    first, second = np.zeros((2, 6, 6, 6), bool)
    first[0:2, 2, 2] = True
    second[3, 2, 2:5] = True
    assert centre_distance(first, second, (2.0, 1.0, 3.0)) == pytest.approx(math.hypot(2.5 * 2, 1 * 3))
    assert centre_distance(first, first, (2.0, 1.0, 3.0)) == 0
    assert math.isnan(centre_distance(first, np.zeros_like(first), (1, 1, 1)))


def test_centre_distance_is_in_rows_with_the_penalty_of_the_rules():
    masks = np.zeros((2, 1, 6, 6, 6), bool)
    masks[:, 0, 2:4, 2, 2] = True
    for prediction, wanted in ((masks[0], 0.0), (np.zeros_like(masks[0]), 373.12866)):
        (row,) = score_case(prediction, masks[1], regions=["r"], spacing=(1, 1, 1), rules=RULES["brats2020"])
        assert row["centre_distance"] == wanted
