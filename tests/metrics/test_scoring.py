"""Scores of whole cases."""

import numpy as np
import pytest

from tunetseg.metrics import RULES, SCORES, score_case, score_region

UNIT = (1.0, 1.0, 1.0)


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


def test_rows_hold_only_scores_of_the_table_and_counts():
    mask = np.zeros((6, 6, 6), bool)
    mask[1:4, 1:4, 1:4] = True
    for predicted in (mask, ~mask, np.zeros_like(mask)):
        row = score_region(predicted, mask, region="r", spacing=UNIT, rules=RULES["brats2023-gli"], tolerance=1.0)
        counts = {"region", "reference_ml", "predicted_ml", "empty", "lesion_tp", "lesion_fp", "lesion_fn"}
        uncertain = {name for name, score in SCORES.items() if score.table == "uncertainty"}
        uncertain |= {"ece_border", "brier_border"}
        official = {name for name in SCORES if name.endswith(("nsd_05", "nsd_10"))} | {
            "lesion_nsd",
            "f1",
            "sq",
            "pq",
            "cc_dice",
            "cc_hd95",
        }
        assert set(row) - counts == set(SCORES) - uncertain - official


@pytest.mark.parametrize("empty", ["both", "reference", "prediction"])
def test_scores_of_empty_regions_come_from_the_rule_that_the_table_names(empty):
    full = np.ones((2, 2, 2), bool)
    predicted, present = full & (empty == "reference"), full & (empty == "prediction")
    rules = RULES["kits19"]
    row = score_region(predicted, present, region="tumour", spacing=UNIT, rules=rules, tolerance=1.0)
    for score in SCORES.values():
        if score.when_empty is not None and score.name in row:
            wanted = getattr(rules.empty, score.when_empty).value(empty)
            assert row[score.name] == pytest.approx(wanted, nan_ok=True), score.name
    assert {"dice", "hd95", "sensitivity", "precision", "nsd", "surface_dice"} < set(row)
    assert row["empty"] == empty
