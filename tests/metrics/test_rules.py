"""What the rules say where a region is empty."""

import math

import numpy as np
import pytest

from tunetseg.metrics import RULES, EmptyRegions, Rules, WhenEmpty, rules_named, score_case, score_region

FULL = np.zeros((4, 4, 4), bool)
FULL[1:3, 1:3, 1:3] = True
EMPTY = np.zeros_like(FULL)
UNIT = (1.0, 1.0, 1.0)


def score(prediction, reference, rules):
    return score_region(prediction, reference, region="enhancing", spacing=UNIT, rules=RULES[rules])


@pytest.mark.parametrize(
    ("rules", "masks", "told", "empty"),
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
def test_empty_regions(rules, masks, told, empty):
    """Masks are prediction and reference; told are Dice, HD95, sensitivity and precision."""
    row = score(*masks, rules)
    found = [row["dice"], row["hd95"], row["sensitivity"], row["precision"]]
    assert found == pytest.approx(list(told), nan_ok=True)
    assert row["empty"] == empty


def test_specificity_needs_no_rule():
    assert score(FULL, EMPTY, "brats2020")["specificity"] == pytest.approx(56 / 64)
    assert score(~EMPTY, ~EMPTY, "brats2020")["specificity"] == 1


def test_penalty_is_the_diagonal_of_a_brats_volume():
    assert RULES["brats2020"].penalty_mm == pytest.approx(math.hypot(240, 240, 155), abs=1e-5)
    assert RULES["brats2019"].penalty_mm is None


def test_unknown_names_say_what_there_is():
    with pytest.raises(ValueError, match="brats2019, brats2020"):
        rules_named("brats1999")
    with pytest.raises(ValueError, match="no definition of the Hausdorff distance"):
        Rules("mine", "mine", EmptyRegions(distance=WhenEmpty(None, None, None)), hausdorff="guessed")


def test_kits_leaves_out_what_its_code_calls_nan():
    assert math.isnan(score(EMPTY, EMPTY, "kits19")["dice"])
    assert score(EMPTY, FULL, "kits19")["dice"] == score(FULL, EMPTY, "kits19")["dice"] == 0


def test_short_names():
    assert rules_named("brats2023") is RULES["brats2023-gli"]
    assert rules_named("brats2021") is RULES["brats2020"]


def test_a_case_is_scored_region_by_region_in_millilitres():
    prediction = np.zeros((2, 6, 6, 6), bool)
    reference = np.zeros_like(prediction)
    reference[0, 1:5, 1:5, 1:5] = True
    prediction[0, 1:5, 1:5, 1:4] = True
    prediction[1, 2, 2, 2] = True
    rows = score_case(
        prediction,
        reference,
        regions=["whole", "core"],
        spacing=(1, 1, 2),
        rules=RULES["brats2020"],
        outside=84,
    )
    whole, core = rows
    assert whole["region"] == "whole"
    assert whole["dice"] == pytest.approx(2 * 48 / (48 + 64))
    assert whole["sensitivity"] == 0.75
    assert whole["specificity"] == 1
    assert whole["hd95"] == 2
    assert (whole["reference_ml"], whole["predicted_ml"]) == pytest.approx((0.128, 0.096))
    assert core["empty"] == "reference"
    assert core["specificity"] == pytest.approx(299 / 300)


def test_regions_and_shapes_must_fit():
    masks = np.zeros((3, 2, 2, 2), bool)
    with pytest.raises(ValueError, match="2 regions whole, core"):
        score_case(masks, masks, regions=["whole", "core"], spacing=UNIT, rules=RULES["brats2020"])


def test_cropping_to_the_tumour_changes_no_score():
    rng = np.random.default_rng(0)
    prediction, reference = (np.zeros((1, 20, 18, 16), bool) for _ in range(2))
    prediction[0, 6:12, 5:11, 4:10] = rng.random((6, 6, 6)) < 0.5
    reference[0, 7:13, 5:11, 4:10] = rng.random((6, 6, 6)) < 0.5
    whole = score_region(prediction[0], reference[0], region="r", spacing=UNIT, rules=RULES["brats2020"])
    assert score_case(prediction, reference, regions=["r"], spacing=UNIT, rules=RULES["brats2020"]) == [whole]
