"""What the rules say where a region is empty."""

import math

import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.metrics import RULES, EmptyRegions, Rules, WhenEmpty, find_rules, score_case, score_region

FULL = np.zeros((4, 4, 4), bool)
FULL[1:3, 1:3, 1:3] = True
EMPTY = np.zeros_like(FULL)
UNIT = (1.0, 1.0, 1.0)


def score(prediction, reference, rules):
    return score_region(prediction, reference, region="enhancing", spacing=UNIT, rules=RULES[rules])


@pytest.mark.parametrize(
    ("rules", "masks", "expected", "empty"),
    [
        ("brats2019", (EMPTY, EMPTY), (1, math.nan, 1, 1), "both"),
        ("brats2019", (FULL, EMPTY), (0, math.nan, 0, 0), "reference"),
        ("brats2019", (EMPTY, FULL), (0, math.nan, 0, 0), "prediction"),
        ("brats2020", (EMPTY, EMPTY), (1, 0, 1, 1), "both"),
        ("brats2020", (FULL, EMPTY), (0, 373.12866, 0, 0), "reference"),
        ("brats2020", (EMPTY, FULL), (0, 373.12866, 0, 0), "prediction"),
        ("brats2019", (FULL, FULL), (1, 0, 1, 1), "none"),
        ("brats2020", (FULL, FULL), (1, 0, 1, 1), "none"),
    ],
)
def test_empty_regions(rules, masks, expected, empty):
    """Masks are prediction and reference; expected are Dice, HD95, sensitivity and precision."""
    row = score(*masks, rules)
    values = [row["dice"], row["hd95"], row["sensitivity"], row["precision"]]
    assert values == pytest.approx(list(expected), nan_ok=True)
    assert row["empty"] == empty


def test_specificity_needs_no_rule():
    assert score(FULL, EMPTY, "brats2020")["specificity"] == pytest.approx(56 / 64)
    assert score(~EMPTY, ~EMPTY, "brats2020")["specificity"] == 1


def test_penalty_is_the_diagonal_of_a_brats_volume():
    assert RULES["brats2020"].penalty_mm == pytest.approx(math.hypot(240, 240, 155), abs=1e-5)
    assert RULES["brats2019"].penalty_mm is None


def test_unknown_names_say_what_there_is():
    with pytest.raises(InputError, match=r"unknown rules 'brats1999'; choose from brats2019, brats2020, .*kits19"):
        find_rules("brats1999")
    with pytest.raises(ValueError, match="unknown definition of the Hausdorff distance 'guessed'; choose from"):
        Rules("mine", "mine", EmptyRegions(distance=WhenEmpty(None, None, None)), hausdorff="guessed")


def test_kits_leaves_out_what_its_code_calls_nan():
    assert math.isnan(score(EMPTY, EMPTY, "kits19")["dice"])
    assert score(EMPTY, FULL, "kits19")["dice"] == score(FULL, EMPTY, "kits19")["dice"] == 0


def test_short_names():
    assert find_rules("brats2023") is RULES["brats2023-gli"]
    assert find_rules("brats2021") is RULES["brats2020"]


@pytest.mark.parametrize("name", ["brats2019", "brats2023-gli", "brats2024-met", "brats2026-met"])
def test_any_rules_can_match_by_iou(name):
    """Whole regions keep their scores; lesions have those of one-to-one matching, with the penalty of the rules."""
    reference = np.zeros((1, 12, 8, 8), bool)
    reference[0, 1:4, 1:4, 1:4] = reference[0, 8:11, 1:4, 1:4] = True
    prediction = np.zeros_like(reference)
    prediction[0, 2:4, 1:4, 1:4] = True
    region = "whole"
    given = {"regions": [region], "spacing": (1, 1, 1)}
    before, rules = RULES[name], RULES[name].matched_by_iou(0.5)
    (row,), (usual,) = (score_case(prediction, reference, **given, rules=found) for found in (rules, before))
    assert [row[key] for key in ("dice", "hd95")] == [usual[key] for key in ("dice", "hd95")]
    assert [row[key] for key in ("lesion_tp", "lesion_fp", "lesion_fn")] == [1, 0, 1]
    assert (row["f1"], row["sq"], row["pq"]) == pytest.approx((2 / 3, 2 / 3, 4 / 9))
    (higher,) = score_case(prediction, reference, **given, rules=before.matched_by_iou(0.7))
    assert (higher["lesion_tp"], higher["sq"]) == (0, 0)
    penalty = {
        "brats2019": 373.0,
        "brats2023-gli": 374.0,
        "brats2024-met": math.hypot(12, 8, 8),
        "brats2026-met": 373.0,
    }
    assert higher["lesion_hd95"] == pytest.approx(penalty[name])
    (strict,) = score_case(prediction, reference, **given, rules=rules.strict())
    assert strict["lesion_dice"] == pytest.approx(row["lesion_dice"] / 2)


def test_a_threshold_of_iou_is_checked():
    for threshold in (0, 1.1):
        with pytest.raises(ValueError, match="above 0"):
            RULES["brats2020"].matched_by_iou(threshold)
