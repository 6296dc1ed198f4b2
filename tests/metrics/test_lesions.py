"""Lesions: what is one, what is a hit, what a miss costs; by hand and by property."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tunetseg.metrics import LesionRules, match_lesions

UNIT = (1.0, 1.0, 1.0)
RULES = LesionRules(dilation=1, min_volume_mm3=0, penalty_mm=100)
MASKS = arrays(bool, (7, 6, 5), elements=st.sampled_from([False, False, False, True]))


def cubes(*corners: tuple[int, int, int], side: int = 3, shape: tuple[int, int, int] = (40, 20, 20)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for x, y, z in corners:
        mask[x : x + side, y : y + side, z : z + side] = True
    return mask


def test_a_hit_a_miss_and_a_false_positive():
    match = match_lesions(cubes((2, 2, 2), (30, 14, 14)), cubes((2, 2, 2), (15, 2, 2)), UNIT, RULES)
    assert (match.true_positives, match.false_negatives, match.false_positives) == (1, 1, 1)
    assert match.dice == pytest.approx(1 / 3)
    assert match.hd95 == pytest.approx(200 / 3)


@pytest.mark.parametrize(("gap", "lesions"), [(1, 1), (2, 1), (3, 2)])
def test_what_the_dilation_joins_is_one_lesion(gap, lesions):
    reference = cubes((2, 2, 2), (5 + gap, 2, 2))
    match = match_lesions(reference, reference, UNIT, RULES)
    assert len(match.lesions) == lesions
    assert (match.dice, match.hd95) == (1, 0)


@pytest.mark.parametrize(("offset", "hit"), [(3, True), (4, False)])
def test_touching_the_dilation_is_a_hit_even_without_overlap(offset, hit):
    match = match_lesions(cubes((2 + offset, 2, 2)), cubes((2, 2, 2)), UNIT, RULES)
    assert match.true_positives == hit
    assert match.false_positives == (not hit)
    assert match.dice == 0


def test_one_component_over_two_lesions_counts_in_full_for_both():
    reference = cubes((2, 2, 2), (12, 2, 2))
    bridge = np.zeros_like(reference)
    bridge[2:15, 2:5, 2:5] = True
    match = match_lesions(bridge, reference, UNIT, RULES)
    assert [lesion.dice for lesion in match.lesions] == [2 * 27 / (27 + 117)] * 2
    assert match.false_positives == 0


def test_small_lesions_do_not_count_but_what_hits_them_is_not_false():
    rules = LesionRules(dilation=1, min_volume_mm3=27, penalty_mm=100)
    match = match_lesions(cubes((2, 2, 2)), cubes((2, 2, 2)), UNIT, rules)
    assert (len(match.lesions), len(match.counted), match.false_positives) == (1, 0, 0)
    assert (match.dice, match.hd95) == (1, 0)
    assert match_lesions(cubes((2, 2, 2)), cubes((2, 2, 2)), (1, 1, 1.1), rules).true_positives == 1


def test_nothing_anywhere_is_perfect():
    nothing = np.zeros((5, 5, 5), bool)
    match = match_lesions(nothing, nothing, UNIT, RULES)
    assert (match.dice, match.hd95, match.lesions, match.false_positives) == (1, 0, (), 0)


@given(prediction=MASKS, reference=MASKS, dilation=st.integers(0, 3))
def test_laws(prediction, reference, dilation):
    rules = LesionRules(dilation=dilation, min_volume_mm3=0, penalty_mm=100)
    match = match_lesions(prediction, reference, UNIT, rules)
    assert 0 <= match.dice <= 1
    assert 0 <= match.hd95 <= 100
    assert sum(lesion.volume_mm3 for lesion in match.lesions) == reference.sum()
    # A larger grid around changes nothing: what happens, happens inside the box of both masks.
    wide = match_lesions(np.pad(prediction, 5), np.pad(reference, 5), UNIT, rules)
    assert wide == match or (np.isnan([lesion.hd95 for lesion in match.lesions]).any() and wide.hd95 == match.hd95)
    assert match_lesions(reference, reference, UNIT, rules).dice == 1
