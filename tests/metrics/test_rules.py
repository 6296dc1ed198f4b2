"""What the rules say where a region is empty."""

import math

import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.metrics import RULES, EmptyRegions, Rules, WhenEmpty, find_rules, score_region

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
