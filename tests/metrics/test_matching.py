"""One-to-one matching: by hand, against every possible matching, and the size rule of metastases."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tunetseg.metrics import RULES, MatchingRules, match_one_to_one, score_region

UNIT = (1.0, 1.0, 1.0)


def line(*voxels: int, length: int = 60) -> np.ndarray:
    mask = np.zeros((length, 1, 1), bool)
    mask[list(voxels)] = True
    return mask


def parts(mask):
    numbers, count = ndimage.label(mask, np.ones((3, 3, 3)))
    return [numbers == n for n in range(1, count + 1)]


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_other_matching_has_a_greater_sum_of_dice(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, 12, 2, 1)) < 0.35
    found, lesions = parts(first), parts(second)
    match = match_one_to_one(first, second, UNIT, MatchingRules())
    small, large = sorted((found, lesions), key=len)
    sums = [
        sum(dice(a, large[n]) for a, n in zip(small, order, strict=True))
        for order in itertools.permutations(range(len(large)), len(small))
    ]
    assert sum(lesion.dice for lesion in match.lesions) == pytest.approx(max(sums))
    assert match.true_positives + match.false_negatives == len(lesions)
    assert match.true_positives + match.false_positives == len(found)
    assert all(lesion.components == (lesion.dice > 0) for lesion in match.lesions)


def test_means_are_of_matched_pairs_only_and_of_all_by_the_strict_version():
    reference, prediction = line(0, 1, 10, 20, 21), line(0, 1, 20, 30, 40)
    row = score_region(prediction, reference, region="r", spacing=UNIT, rules=RULES["brats2026-men"])
    pair = (1 + 2 / 3) / 2
    assert row["lesion_dice"] == pytest.approx(pair)
    assert (row["lesion_tp"], row["lesion_fp"], row["lesion_fn"]) == (2, 2, 1)
    assert row["f1"] == pytest.approx(4 / 7)
    strict = score_region(prediction, reference, region="r", spacing=UNIT, rules=RULES["brats2026-men"].strict())
    assert strict["lesion_dice"] == pytest.approx(2 * pair / 5)
    assert strict["lesion_hd95"] == pytest.approx((2 * row["lesion_hd95"] + 3 * 373) / 5)
    match = match_one_to_one(prediction, reference, UNIT, MatchingRules())
    assert match.panoptic_quality == pytest.approx(pair * 4 / 7)


@pytest.mark.parametrize(
    ("prediction", "reference", "official", "strict"),
    [
        ((), (), (math.nan, math.nan, math.nan), (1, 0, 1)),
        ((3,), (), (0, 373, 0), (0, 373, 0)),
        ((), (3,), (0, 373, 0), (0, 373, 0)),
        ((9,), (3,), (0, 373, 0), (0, 373, 0)),
    ],
)
def test_nothing_matched(prediction, reference, official, strict):
    """Values are Dice, HD95 and NSD, the same for the region and its lesions."""
    rules = RULES["brats2026-goat"]
    for chosen, wanted in ((rules, official), (rules.strict(), strict)):
        row = score_region(line(*prediction), line(*reference), region="r", spacing=UNIT, rules=chosen)
        for prefix in ("", "lesion_"):
            values = [row[f"{prefix}{name}"] for name in ("dice", "hd95", "nsd")]
            assert values == pytest.approx(list(wanted), nan_ok=True), prefix
        assert row["f1"] == pytest.approx(wanted[0], nan_ok=True)


def slow_metastases(prediction, reference):
    """The size rule, from pairs that the test above has checked: Dice, F1, counts."""
    match = match_one_to_one(prediction, reference, UNIT, MatchingRules())
    large = [lesion for lesion in match.lesions if lesion.volume_mm3 >= 27]
    small = [lesion for lesion in match.lesions if lesion.volume_mm3 < 27]
    matched = [lesion.dice for lesion in large if lesion.components]
    tp = sum(lesion.dice >= 0.2 for lesion in small)
    fp, fn = match.false_positives, len(small) - tp
    mean = sum(matched) / (len(large) + fp) if large else math.nan
    return mean, 2 * tp / (2 * tp + fp + fn) if small else math.nan, tp, fp, fn


@given(seed=st.integers(0, 2**32 - 1))
def test_size_rule_of_metastases(seed):
    rng = np.random.default_rng(seed)
    sides = np.zeros((2, 30, 9, 9), bool)
    for side in sides:
        for _ in range(rng.integers(0, 5)):
            x, y, z, n = *rng.integers(0, (26, 6, 6)), rng.integers(1, 5)
            side[x : x + n, y : y + n, z : z + n] = True
    row = score_region(*sides, region="enhancing", spacing=UNIT, rules=RULES["brats2026-met"])
    names = ("lesion_dice", "f1", "lesion_tp", "lesion_fp", "lesion_fn")
    assert [row[name] for name in names] == pytest.approx(list(slow_metastases(*sides)), nan_ok=True)


def test_size_rule_at_its_borders():
    reference = np.zeros((40, 6, 6), bool)
    reference[:3, :3, :3] = True  # 27: large
    reference[10:13, :3, :3] = True
    reference[10, 0, 0] = False  # 26: small
    prediction = np.zeros_like(reference)
    prediction[10:13, 0, 0] = True  # Dice 2 * 2 / (3 + 26), below 0.2
    row = score_region(prediction, reference, region="enhancing", spacing=UNIT, rules=RULES["brats2026-met"])
    assert (row["lesion_dice"], row["lesion_hd95"]) == (0, 373)
    assert (row["lesion_tp"], row["lesion_fp"], row["lesion_fn"], row["f1"]) == (0, 0, 1, 0)


def test_spacing_of_the_official_code_is_reversed_and_that_of_the_strict_version_is_not():
    reference, prediction = line(*range(4)), line(*range(1, 6))
    spacing = (2.0, 1.0, 5.0)
    rules = RULES["brats2026-men"]
    row = score_region(prediction, reference, region="r", spacing=spacing, rules=rules)
    strict = score_region(prediction, reference, region="r", spacing=spacing, rules=rules.strict())
    assert row["lesion_hd95"] == pytest.approx(2.5 * strict["lesion_hd95"])
    assert row["hd95"] == pytest.approx(strict["hd95"] / 2)


def test_matching_by_iou_has_a_threshold_before_it_matches():
    # IoU of the pairs: 2/4 and 1/3; the second is below the threshold.
    reference, prediction = line(0, 1, 2, 10, 11), line(1, 2, 3, 11, 12)
    half = match_one_to_one(prediction, reference, UNIT, MatchingRules(measure="iou", threshold=0.5))
    assert (half.true_positives, half.false_positives, half.false_negatives) == (1, 1, 1)
    assert half.panoptic_quality == pytest.approx(2 * 0.5 / 4)
    both = match_one_to_one(prediction, reference, UNIT, MatchingRules(measure="iou", threshold=0.3))
    assert both.true_positives == 2
    assert both.panoptic_quality == pytest.approx((1 / 2 + 1 / 3) / 2)
    # A component that a lesion below the threshold overlaps most is free for another.
    reference, prediction = line(*range(10, 30)), line(*range(8, 12), *range(14, 30))
    assert match_one_to_one(prediction, reference, UNIT, MatchingRules(measure="iou", threshold=0.5)).f1 == 2 / 3
    assert match_one_to_one(line(1), line(5), UNIT, MatchingRules(threshold=0)).true_positives == 0


def test_segmentation_quality_is_the_factor_of_panoptic_quality():
    rng = np.random.default_rng(3)
    reference = np.kron(rng.random((5, 4, 3)) < 0.2, np.ones((3, 3, 3))) > 0
    prediction = reference & (rng.random(reference.shape) < 0.8)
    for measure in ("dice", "iou"):
        match = match_one_to_one(prediction, reference, UNIT, MatchingRules(measure=measure, threshold=0.3))
        assert 0.3 <= match.segmentation_quality < 1
        assert match.panoptic_quality == pytest.approx(match.f1 * match.segmentation_quality)
    nothing = np.zeros_like(reference)
    assert match_one_to_one(nothing, reference, UNIT, MatchingRules()).segmentation_quality == 0
    assert math.isnan(match_one_to_one(nothing, nothing, UNIT, MatchingRules()).segmentation_quality)
    assert match_one_to_one(nothing, nothing, UNIT, MatchingRules(empty_is_perfect=True)).segmentation_quality == 1
