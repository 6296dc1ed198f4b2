"""Scores of uncertainty and probability maps."""

import json
import math

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets.phantom import make_for, write_patient
from tunetseg.errors import InputError
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.text import summary_lines

SHAPE = (12, 10, 8)


@pytest.mark.parametrize("rules", ["qu-brats", "brats2019"])
def test_uncertainty_maps_are_scored(tmp_path, rules, tumour, save, flat, with_images, row_of):
    references = with_images(tmp_path / "cohort", tumour())
    predictions = flat(tmp_path / "predictions", BraTS19_CBICA_X_1=tumour(shift=1))
    wrong = (tumour() > 0) != (tumour(shift=1) > 0)
    # Uncertain exactly where wrong: Dice rises to 1 as soon as those voxels are filtered, and nothing right is lost.
    for word in ("whole", "core", "enhance"):
        save(predictions / f"BraTS19_CBICA_X_1_unc_{word}.nii.gz", 100 * wrong)
    save(predictions / "BraTS19_CBICA_X_1_prob_whole.nii.gz", tumour(shift=1) > 0, dtype=np.float32)
    scores = evaluate(predictions, references, rules=rules, uncertainty=True)
    scores.save(tmp_path / "scores.csv")
    whole = row_of(scores, "BraTS19_CBICA_X_1", "whole")
    dice = 7 / 8
    assert whole["dauc"] == pytest.approx((39 + (1 + dice) / 2) / 40)
    assert (whole["rftp"], whole["rftn"]) == pytest.approx((0, 0), abs=1e-9)
    assert whole["qu_score"] == pytest.approx((whole["dauc"] + 2) / 3)
    inside = np.zeros(SHAPE, bool)
    inside[1:-1, 1:-1, 1:-1] = True
    assert whole["ece"] == pytest.approx(wrong[inside].mean())
    # Every voxel of these small images is near the border.
    near = (whole["ece_border"], whole["brier_border"])
    assert near == pytest.approx([wrong[inside].mean()] * 2)
    assert math.isnan(row_of(scores, "BraTS19_CBICA_X_1", "core")["brier_border"])
    assert math.isnan(row_of(scores, "BraTS19_CBICA_X_1", "core")["ece"])
    assert list(scores.summary["reliability"]) == ["whole"]
    pooled = scores.summary["reliability"]["whole"]
    assert pooled["brier"] == pytest.approx(wrong[inside].mean())
    assert [found["voxels"] > 0 for found in pooled["bins"]] == [True, *[False] * 8, True]
    said = json.loads((tmp_path / "scores.json").read_text())["reliability"]["whole"]["bins"]
    assert (said[4]["confidence"], said[9]["confidence"]) == (None, 1.0)
    assert "dauc" in (tmp_path / "scores.csv").read_text().splitlines()[0]
    few = evaluate(predictions, references, rules=rules, thresholds=(0, 50, 75))
    assert few.summary["rules"]["uncertainty_thresholds"] == (0, 50, 75)
    assert row_of(few, "BraTS19_CBICA_X_1", "whole")["dauc"] == 1, "what is wrong is filtered at all of these"
    with pytest.raises(InputError, match="rise within"):
        evaluate(predictions, references, rules=rules, thresholds=(0, 50, 25))


def test_a_missing_or_bad_uncertainty_map_is_the_worst_there_is(tmp_path, tumour, save, flat, with_images, row_of):
    references = with_images(tmp_path / "cohort", tumour())
    predictions = flat(tmp_path / "predictions", BraTS19_CBICA_X_1=tumour())
    save(predictions / "BraTS19_CBICA_X_1_unc_whole.nii.gz", np.zeros(SHAPE))
    save(predictions / "BraTS19_CBICA_X_1_unc_enhance.nii.gz", np.full(SHAPE, 101))
    scores = evaluate(predictions, references, rules="qu-brats")
    assert row_of(scores, "BraTS19_CBICA_X_1", "whole")["qu_score"] == 1
    for region in ("core", "enhancing"):
        row = row_of(scores, "BraTS19_CBICA_X_1", region)
        assert (row["dauc"], row["rftp"], row["rftn"], row["qu_score"]) == (0, 1, 1, 0)
        assert row["dice"] == 1
    assert "unc_core" in scores.summary["cases"]["invalid_maps"]["BraTS19_CBICA_X_1"]
    assert any("which get the worst scores possible" in line for line in summary_lines(scores.summary))


def test_uncertainty_needs_the_brain(tmp_path, references):
    with pytest.raises(InputError, match="the brain is unknown"):
        evaluate(references, references, rules="qu-brats")


def test_maps_are_found_whatever_the_ending(tmp_path, tumour, save, with_images):
    references = with_images(tmp_path / "cohort", tumour())
    predictions = tmp_path / "predictions"
    save(predictions / "BraTS19_CBICA_X_1_seg.nii.gz", tumour())
    save(predictions / "more.nii.gz", tumour())
    for word, ending in (("whole", ".nii"), ("core", ".nii.gz"), ("enhance", ".nii")):
        save(predictions / f"BraTS19_CBICA_X_1_unc_{word}{ending}", np.zeros(SHAPE))
    scores = evaluate(predictions, references, rules="qu-brats")
    assert [row["qu_score"] for row in scores.rows] == [1, 1, 1]


def test_a_missing_prediction_has_the_worst_maps(tmp_path, tumour, save, flat, with_images, row_of):
    references = with_images(tmp_path / "cohort", tumour())
    with_images(references, tumour(), "BraTS19_CBICA_Y_1")
    predictions = flat(tmp_path / "predictions", BraTS19_CBICA_X_1=tumour())
    for word in ("whole", "core", "enhance"):
        save(predictions / f"BraTS19_CBICA_X_1_unc_{word}.nii.gz", np.zeros(SHAPE))
    scores = evaluate(predictions, references, rules="qu-brats")
    assert row_of(scores, "BraTS19_CBICA_X_1", "core")["qu_score"] == 1
    assert row_of(scores, "BraTS19_CBICA_Y_1", "core")["qu_score"] == 0
    assert scores.summary["cases"]["invalid_maps"] == {}


def test_maps_in_another_order_of_axes_are_scored(tmp_path, tumour, save, flat, with_images):
    references = with_images(tmp_path / "cohort", tumour())
    predictions = flat(tmp_path / "predictions", BraTS19_CBICA_X_1=tumour(shift=1))
    wrong = (tumour() > 0) != (tumour(shift=1) > 0)
    for word in ("whole", "core", "enhance"):
        save(predictions / f"BraTS19_CBICA_X_1_unc_{word}.nii.gz", 100 * wrong)
    expected = evaluate(predictions, references, rules="qu-brats").rows
    for path in predictions.iterdir():
        image = nib.load(path)
        turned = image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
        nib.save(turned, path)
    for row, other in zip(evaluate(predictions, references, rules="qu-brats").rows, expected, strict=True):
        assert row["dauc"] == pytest.approx(other["dauc"])
        assert row["qu_score"] == pytest.approx(other["qu_score"])


def test_the_body_in_ct_is_denser_than_air(tmp_path, save):
    """Air is -1000 HU: where not zero counted as the body, certain air would hide what is filtered."""
    patient = make_for("kits19", 0)
    write_patient(patient, tmp_path / "cohort", dataset="kits19", number=1)
    reference = nib.load(tmp_path / "cohort/case_00001/segmentation.nii.gz")
    labels = np.asarray(reference.dataobj)
    body = np.asarray(nib.load(tmp_path / "cohort/case_00001/imaging.nii.gz").dataobj) > -500
    assert 0.05 < body.mean() < 0.95
    save(tmp_path / "predictions/prediction_00001.nii.gz", labels, affine=reference.affine)
    for word in ("kidney", "tumour"):
        path = tmp_path / f"predictions/prediction_00001_unc_{word}.nii.gz"
        save(path, 100 * body, affine=reference.affine)
    rows = evaluate(tmp_path / "predictions", tmp_path / "cohort", rules="kits19", uncertainty=True).rows
    # All of the body is uncertain, so that all of it is filtered but at the last threshold.
    assert [row["rftn"] for row in rows] == pytest.approx([39.5 / 40] * 2, abs=1e-4)
