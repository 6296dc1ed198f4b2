"""One row per lesion, and recall by size."""

import csv

import numpy as np
import pytest

from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.text import summary_tables


@pytest.fixture
def lesions():
    """Three enhancing lesions of 8, 27 and 125 voxels."""
    labels = np.zeros((40, 12, 12), np.uint8)
    for start, side in ((2, 2), (12, 3), (25, 5)):
        labels[start : start + side, 2 : 2 + side, 2 : 2 + side] = 3
    return labels


@pytest.mark.parametrize(
    ("rules", "counted"),
    [("brats2020", "111"), ("brats2023-gli", "001"), ("brats2024-met", "111"), ("brats2026-met", "011")],
)
def test_one_row_per_lesion(tmp_path, flat, lesions, rules, counted):
    predicted = lesions.copy()
    predicted[:10] = 0
    predicted[14] = 0
    predictions, references = flat(tmp_path / "p", a=predicted), flat(tmp_path / "r", a=lesions)
    scores = evaluate(predictions, references, rules=rules, labels="2023", lesions=True)
    rows = [row for row in scores.lesions if row["region"] == "enhancing"]
    assert [row["volume_ml"] for row in rows] == [0.008, 0.027, 0.125]
    assert "".join(str(int(row["counted"])) for row in rows) == counted
    assert [row["matched"] for row in rows] == [False, True, True]
    assert [row["dice"] for row in rows] == pytest.approx([0, 2 * 18 / (18 + 27), 1])
    assert [row["nsd"] for row in rows] == [0, 1, 1]
    written = scores.save_lesions(tmp_path / "lesions.csv")
    with written.open() as table:
        (first, *_) = csv.DictReader(table)
    assert (first["case"], first["region"], first["matched"], first["hd95"]) == ("a", "whole", "0", "")
    recall = scores.summary["lesion_recall"]["enhancing"]
    assert [(found["lesions"], found["found"]) for found in recall] == [(2, 1), (1, 1), (0, 0), (0, 0)]
    table = summary_tables(scores.summary)[-1]
    assert table.rows[2] == ("enhancing", "1 of 2", "1 of 1", "0 of 0", "0 of 0")


def test_scores_within_cells_are_columns(tmp_path, flat, lesions):
    predicted = lesions.copy()
    predicted[:10] = 0
    predictions, references = flat(tmp_path / "p", a=predicted), flat(tmp_path / "r", a=lesions)
    (*_, row) = evaluate(predictions, references, rules="brats2020", labels="2023", cells=True).rows
    assert (row["cc_dice"], row["cc_hd95"]) == pytest.approx((2 / 3, 373.12866 / 3))
    assert row["dice"] > 0.9


def test_a_tolerance_is_that_of_the_lesions_too(tmp_path, flat, lesions):
    predictions = flat(tmp_path / "p", a=np.roll(lesions, 2, axis=2))
    references = flat(tmp_path / "r", a=lesions)
    found = [evaluate(predictions, references, lesions=True, tolerance=mm, labels="2023").lesions for mm in (1, 2)]
    assert found[0][2]["nsd"] < found[1][2]["nsd"] == 1


def test_lesions_of_a_missing_prediction_are_missed_and_those_of_a_skipped_one_left_out(tmp_path, flat, save, lesions):
    references = flat(tmp_path / "r", a=lesions, b=lesions, c=lesions)
    predictions = flat(tmp_path / "p", a=lesions)
    save(tmp_path / "p/b.nii.gz", lesions[:-1])
    for rules, cases in (("brats2026", {"a", "c"}), ("brats2023-gli", {"a", "b", "c"})):
        scores = evaluate(predictions, references, rules=rules, labels="2023", lesions=True)
        assert {row["case"] for row in scores.lesions} == cases
        assert not any(row["matched"] for row in scores.lesions if row["case"] != "a")
