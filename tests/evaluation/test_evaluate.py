"""Scores of label maps: arrays, images, files, cohorts; misses; axes in any order."""

import csv
import itertools
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, inv_ornt_aff

from tunetseg.datasets.phantom import make_patient, write_cohort
from tunetseg.errors import InputError
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.text import summary_lines
from tunetseg.metrics import RULES

SHARED = Path(__file__).parents[2].parent / "shared"
COHORT = SHARED / "cohort"
ALL_ORACLES = SHARED / "oracles"
ORACLES = ALL_ORACLES if ALL_ORACLES.is_dir() else Path(__file__).parents[1] / "metrics/oracles"
SCORES = ("dice", "hd95", "hd100", "assd", "sensitivity", "specificity", "reference_ml", "predicted_ml")


def test_flat_folders_by_hand(tmp_path, references, tumour, flat, row_of):
    predictions = flat(tmp_path / "predictions", a=tumour(), b=tumour(shift=1))
    scores = evaluate(predictions, references)
    assert [(row["case"], row["region"]) for row in scores.rows] == [
        (case, region) for case in "ab" for region in ("whole", "core", "enhancing")
    ]
    assert row_of(scores, "a", "enhancing")["dice"] == 1
    moved = row_of(scores, "b", "enhancing")
    assert (moved["dice"], moved["hd95"], moved["sensitivity"]) == (0.5, 1.0, 0.5)
    assert moved["specificity"] == pytest.approx(1 - 4 / (960 - 8))
    assert moved["reference_ml"] == pytest.approx(0.008)
    whole = scores.summary["regions"]["whole"]
    assert whole["dice"]["mean"] == pytest.approx((1 + 7 / 8) / 2)
    assert whole["dice"]["n"] == 2
    assert scores.summary["cases"]["references"] == 2


def test_voxel_sizes_count(tmp_path, tumour, save, row_of):
    affine = np.diag([3.0, 1.0, 2.0, 1.0])
    prediction = save(tmp_path / "p.nii.gz", tumour(shift=1), affine=affine)
    reference = save(tmp_path / "r.nii.gz", tumour(), affine=affine)
    found = row_of(evaluate(prediction, reference), "r", "enhancing")
    assert (found["hd95"], found["reference_ml"]) == (3.0, pytest.approx(0.048))


def test_a_missing_prediction_is_a_miss(tmp_path, references, tumour, flat, row_of):
    predictions = flat(tmp_path / "predictions", a=tumour())
    full = evaluate(predictions, references)
    missed = row_of(full, "b", "whole")
    assert (missed["dice"], missed["hd95"], missed["status"]) == (0, 373.12866, "missing")
    assert full.summary["regions"]["whole"]["dice"]["mean"] == 0.5
    assert full.summary["cases"]["missing"] == ["b"]
    assert any(line.startswith("WARNING: 1 of 2 references have no prediction") for line in summary_lines(full.summary))


def test_unreadable_prediction_is_a_miss(tmp_path, references, tumour, flat, row_of):
    predictions = flat(tmp_path / "predictions", a=tumour(), b=tumour())
    cut = predictions / "b.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-40])
    scores = evaluate(predictions, references)
    assert row_of(scores, "b", "core")["dice"] == 0
    assert row_of(scores, "b", "core")["status"] == "unreadable"
    assert list(scores.summary["cases"]["unreadable"]) == ["b"]
    assert scores.summary["labels"]["predictions"]["schemes"] == {"brats2017": 1}
    assert any("cannot be read and count as empty: b (" in line for line in summary_lines(scores.summary))


def test_nothing_readable_is_no_result(tmp_path, references, tumour, flat):
    predictions = flat(tmp_path / "predictions", a=tumour())
    (predictions / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of the 1 predictions can be scored.*a\.nii\.gz"):
        evaluate(predictions, references)


def test_unreadable_reference_stops(tmp_path, references, tumour, flat):
    (references / "b.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"b\.nii\.gz"):
        evaluate(flat(tmp_path / "predictions", a=tumour(), b=tumour()), references)


@pytest.mark.parametrize(
    ("labels", "affine", "fault"),
    [(slice(0, -1), np.eye(4), "shape"), (slice(None), np.diag([1, 1, 1.01, 1]), "lies up to 0.07 mm away")],
)
def test_another_grid_is_a_miss(tmp_path, references, labels, affine, fault, tumour, save, row_of):
    save(tmp_path / "predictions/a.nii.gz", tumour()[labels], affine=affine)
    save(tmp_path / "predictions/b.nii.gz", tumour())
    scores = evaluate(tmp_path / "predictions", references)
    assert row_of(scores, "a", "whole")["dice"] == 0
    assert row_of(scores, "a", "whole")["status"] == "misaligned"
    assert fault in scores.summary["cases"]["misaligned"]["a"]
    assert any("lie on another grid" in line for line in summary_lines(scores.summary))


def test_lesions_are_counted_under_the_rules_of_2023(tmp_path, flat, row_of):
    truth = np.zeros((30, 12, 12), np.uint8)
    truth[1:6, 1:6, 1:6] = truth[20:25, 1:6, 1:6] = 3
    predicted = truth.copy()
    predicted[20:25] = 0
    scores = evaluate(flat(tmp_path / "p", a=predicted), flat(tmp_path / "r", a=truth), rules="brats2023")
    enhancing = row_of(scores, "a", "enhancing")
    assert (enhancing["lesion_tp"], enhancing["lesion_fp"], enhancing["lesion_fn"]) == (1, 0, 1)
    assert (enhancing["lesion_dice"], enhancing["lesion_hd95"]) == (0.5, 187)
    assert scores.summary["rules"]["lesions"]["penalty_mm"] == 374


def test_surface_dice_is_scored_at_a_tolerance(tmp_path, references, tumour, flat, row_of):
    predictions = flat(tmp_path / "predictions", a=tumour(shift=1), b=tumour())
    scores = evaluate(predictions, references, tolerance=1.0)
    assert [row_of(scores, case, "whole")["surface_dice"] for case in "ab"] == [1, 1]
    strict = evaluate(predictions, references, tolerance=0.5)
    assert 0 < row_of(strict, "a", "whole")["surface_dice"] < 1
    with pytest.raises(InputError, match="tolerance"):
        evaluate(predictions, references, tolerance=-1)


@pytest.mark.parametrize(("rules", "mean", "n"), [("brats2019", 0.0, 1), ("brats2020", 373.12866 / 3, 3)])
def test_rules_for_empty_regions(tmp_path, rules, mean, n, tumour, flat):
    references = flat(tmp_path / "r", a=tumour(), b=tumour(enhancing=0), c=tumour(enhancing=0))
    predictions = flat(tmp_path / "p", a=tumour(), b=tumour(), c=tumour(enhancing=0))
    out = tmp_path / "scores.csv"
    scores = evaluate(predictions, references, rules=rules)
    scores.save(out)
    enhancing = scores.summary["regions"]["enhancing"]
    assert enhancing["hd95"]["mean"] == pytest.approx(mean)
    assert (enhancing["hd95"]["n"], enhancing["hd95"]["left_out"]) == (n, 3 - n)
    assert enhancing["empty"] == {"both": 1, "reference": 1, "prediction": 0}
    with out.open(newline="") as file:
        table = {(line["case"], line["region"]): line for line in csv.DictReader(file)}
    assert table["b", "enhancing"]["hd95"] == ("" if rules == "brats2019" else "373.12866")
    assert table["b", "enhancing"]["empty"] == "reference"
    text = " ".join(summary_lines(scores.summary))
    assert ("HD95 left out of 2" if rules == "brats2019" else "penalised with 373.12866 mm in 1") in text


def test_workers_change_nothing(tmp_path, references, tumour, flat):
    predictions = flat(tmp_path / "predictions", a=tumour(shift=1), b=tumour(shift=2))
    assert evaluate(predictions, references, workers=1).rows == evaluate(predictions, references, workers=3).rows


@pytest.mark.skipif(not COHORT.is_dir(), reason=f"no real cases in {COHORT}")
def test_real_cases_of_two_schemes_agree_with_themselves(tmp_path, row_of):
    names = ("BraTS-GLI-00000-000", "BraTS19_2013_10_1")
    for name in names:
        (found,) = COHORT.rglob(f"{name}?seg.nii.gz")
        target = tmp_path / name / found.name
        target.parent.mkdir()
        target.symlink_to(found)
    scores = evaluate(tmp_path, tmp_path, rules="brats2019")
    assert all(row["dice"] == 1 and (row["hd95"] == 0 or math.isnan(row["hd95"])) for row in scores.rows)
    assert scores.summary["labels"]["references"]["schemes"] == {"brats2017": 1, "brats2023": 1}
    # 32,731 voxels of 1 mm in the release's own count.
    assert row_of(scores, names[0], "enhancing")["reference_ml"] == pytest.approx(32.731)


@pytest.mark.parametrize("setting", [{"workers": 0}, {"tolerance": -1}, {"tolerance": math.nan}])
def test_invalid_settings(references, setting):
    with pytest.raises(InputError, match=f"invalid .*{next(iter(setting))}"):
        evaluate(references, references, **setting)
    with pytest.raises(InputError, match=r"unknown rules 'mine'; choose from brats2019, brats2020"):
        evaluate(references, references, rules="mine")
    with pytest.raises(InputError, match="unknown label values '1999'"):
        evaluate(references, references, labels="1999")


def test_progress_counts_the_cases_and_may_cancel(tmp_path, references, tumour, flat):
    calls = []
    evaluate(flat(tmp_path / "p", a=tumour(), b=tumour()), references, progress=lambda *call: calls.append(call))
    assert calls == [("scoring", 1, 2), ("scoring", 2, 2)]

    def cancel(task: str, completed: float, total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(references, references, progress=cancel)


def test_nothing_is_printed(references, capfd):
    evaluate(references, references)
    assert capfd.readouterr() == ("", "")


AXES = [
    np.stack([order, flips], axis=1)
    for order in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]
"""The 48 orders and directions of three axes."""


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """Affine of an oblique scan with voxels of different sides."""
    affine = np.diag([-0.9, -1.1, 2.5, 1.0])
    for (first, second), angle in zip(((0, 1), (0, 2), (1, 2)), angles, strict=True):
        turn = np.eye(4)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        affine = turn @ affine
    affine[:3, 3] = (11, -7, 3)
    return affine


@example(AXES[0], AXES[8], (math.pi / 4, 0.0, 0.0))
@example(AXES[0], AXES[40], (math.pi / 4, math.pi / 4, 0.0))
@example(AXES[3], AXES[20], (math.pi / 4, math.pi / 4, math.pi / 4))
@given(st.sampled_from(AXES), st.sampled_from(AXES), st.tuples(*[st.floats(-math.pi, math.pi)] * 3))
def test_axes_in_any_order_give_the_same_scores(tumour, first, second, angles):
    """B3: a prediction that another program stored in another order of axes was misaligned, which counts as a miss."""
    affine = rotation(angles)
    truth, predicted = tumour(), tumour(shift=1)
    expected = evaluate(nib.Nifti1Image(predicted, affine), nib.Nifti1Image(truth, affine), rules="brats2023")

    def stored(labels: np.ndarray, axes: np.ndarray) -> nib.Nifti1Image:
        return nib.Nifti1Image(apply_orientation(labels, axes), affine @ inv_ornt_aff(axes, labels.shape))

    scores = evaluate(stored(predicted, first), stored(truth, second), rules="brats2023")
    for row, other in zip(scores.rows, expected.rows, strict=True):
        assert [row[name] for name in SCORES] == pytest.approx([other[name] for name in SCORES], rel=1e-9, abs=1e-9)


def test_a_ras_copy_in_a_cohort_is_scored(tmp_path, tumour, save, row_of):
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    for case in "ab":
        save(tmp_path / f"references/{case}.nii.gz", tumour(), affine=affine)
        save(tmp_path / f"predictions/{case}.nii.gz", tumour(), affine=affine)
    copy = nib.as_closest_canonical(nib.load(tmp_path / "predictions/b.nii.gz"))
    assert nib.aff2axcodes(copy.affine) == ("R", "A", "S")
    nib.save(copy, tmp_path / "predictions/b.nii.gz")
    scores = evaluate(tmp_path / "predictions", tmp_path / "references")
    assert [(row["status"], row["dice"], row["hd95"]) for row in scores.rows] == [("scored", 1, 0)] * 6


def test_the_same_patient_by_paths_images_and_arrays(tmp_path, tumour, save):
    affine = rotation((0.2, -0.1, 0.3))
    paths = [
        save(tmp_path / f"{name}.nii.gz", labels, affine=affine)
        for name, labels in (("p", tumour(shift=1)), ("r", tumour()))
    ]
    images = [nib.Nifti1Image(labels, affine) for labels in (tumour(shift=1), tumour())]
    expected = evaluate(*paths).rows
    for pair, options in (
        (images, {}),
        ((paths[0], images[1]), {}),
        ((tumour(shift=1), tumour()), {"affine": affine}),
        ((tumour(shift=1), paths[1]), {"affine": affine}),
        ((images[0], tumour()), {"affine": affine}),
        ((tumour(shift=1).astype(np.float32), tumour().astype(np.int64)), {"affine": affine}),
    ):
        for row, other in zip(evaluate(*pair, **options).rows, expected, strict=True):
            # A file holds its affine in single precision.
            assert [row[name] for name in SCORES] == pytest.approx([other[name] for name in SCORES], rel=1e-6)


def test_files_have_a_spacing_of_their_own(references):
    with pytest.raises(InputError, match="files have their own"):
        evaluate(references, references, spacing=1)


def test_a_dataset_brings_its_rules_and_regions():
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[1:5, 1:5, 1:5] = 1
    scores = evaluate(labels, labels, spacing=1, dataset="kits19")
    assert scores.summary["rules"]["name"] == "kits19"
    assert [row["region"] for row in scores.rows] == ["kidney", "tumour"]
    assert evaluate(labels, labels, spacing=1).summary["rules"]["name"] == "brats2020"
    assert evaluate(labels, labels, spacing=1, dataset="2019", rules=RULES["brats2020"]).summary["rules"]["name"] == (
        "brats2020"
    )


def test_four_regions_of_a_users_own_dataset_end_to_end(tmp_path, nested_description):
    """From the description alone: cohort, predictions, scores."""
    write_cohort(tmp_path / "cohort", cases=2, dataset=nested_description)
    (tmp_path / "predictions").mkdir()
    for path in sorted((tmp_path / "cohort").rglob("*_labels.nii.gz")):
        case = path.name.removesuffix("_labels.nii.gz")
        image = nib.load(path)
        labels = np.asarray(image.dataobj)
        if case == "case_00001":
            labels = np.where(labels == 3, 5, labels).astype(np.uint8)  # the innermost region is missed
        nib.save(nib.Nifti1Image(labels, image.affine), tmp_path / f"predictions/{case}.nii.gz")
        (tmp_path / f"predictions/{case}.json").write_text(json.dumps({"labels": "onions"}))
    scores = evaluate(tmp_path / "predictions", tmp_path / "cohort", dataset=nested_description)
    dice = {(row["case"], row["region"]): row["dice"] for row in scores.rows}
    assert len(dice) == 8
    assert {key for key, value in dice.items() if value != 1} == {("case_00001", "core")}
    assert dice["case_00001", "core"] == 0
    labels = scores.summary["labels"]
    assert labels["references"]["sentence"] == "onions (2), as the dataset says"
    assert labels["predictions"]["sentence"] == "onions (2), as the manifest next to each prediction says"


def test_a_folder_of_nnunet_describes_itself(tmp_path, tumour, save):
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "rim": [3]}
    described = {"channel_names": {"0": "T1"}, "labels": regions, "file_ending": ".nii.gz", "numTraining": 1}
    for folder in ("raw", "predictions"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dataset.json").write_text(json.dumps(described))
    labels = np.array([0, 2, 1, 0, 3], np.uint8)[tumour()]
    save(tmp_path / "raw/labelsTr/p_001.nii.gz", labels)
    save(tmp_path / "raw/imagesTr/p_001_0000.nii.gz", labels)
    save(tmp_path / "predictions/p_001.nii.gz", labels)
    scores = evaluate(tmp_path / "predictions", tmp_path / "raw")
    assert [(row["region"], row["dice"]) for row in scores.rows] == [("whole", 1), ("core", 1), ("rim", 1)]


def test_synthetic_patient_scores_perfectly_against_itself():
    patient = make_patient(0, shape=(48, 48, 32), spacing=5)
    scores = evaluate(patient.label_map, patient.label_map, affine=patient.affine, labels=patient.scheme)
    assert {row["region"]: row["dice"] for row in scores.rows} == {"whole": 1, "core": 1, "enhancing": 1}


KITS = sorted(path.parent.name for path in ORACLES.glob("kits*/expected.json"))


@pytest.mark.parametrize("name", KITS)
def test_kits_files_agree_with_the_official_code(name):
    expected = json.loads((ORACLES / name / "expected.json").read_text())["kits19"]
    files = [ORACLES / name / f"{side}.nii.gz" for side in ("prediction", "reference")]
    kidney, tumour = evaluate(*files, dataset="kits19").rows
    assert kidney["dice"] == pytest.approx(float(expected["kidney_and_tumour_dice"]), rel=1e-6, nan_ok=True)
    assert tumour["dice"] == pytest.approx(float(expected["tumour_dice"]), rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("given", ["arrays", "images", "files"])
def test_labels_that_are_not_whole_are_rounded_as_kits_does_and_refused_elsewhere(tmp_path, save, given):
    truth = np.zeros((6, 6, 6))
    truth[1:5, 1:5, 1:5] = 1
    sides = [truth * 0.6, truth + 0.4]
    if given != "arrays":
        sides = [nib.Nifti1Image(side, np.eye(4)) for side in sides]
    if given == "files":
        sides = [save(tmp_path / f"{n}.nii.gz", side.get_fdata(), dtype=np.float32) for n, side in enumerate(sides)]
    options = {"spacing": 1} if given == "arrays" else {}
    assert evaluate(*sides, rules="kits19", **options).rows[0]["dice"] == 1
    with pytest.raises(InputError, match=r"0\.4, which is not a label|0\.6, which is not a label"):
        evaluate(*sides, labels="kits19", **options)


def test_options_change_the_rules_of_the_dataset_and_not_which_they_are(ct_cohort: Path) -> None:
    plain, matched, other = (
        evaluate(ct_cohort, ct_cohort, **options).summary
        for options in ({}, {"match_iou": 0.5}, {"match_iou": 0.5, "rules": "brats2020"})
    )
    assert plain["rules"]["name"] == "kits19"
    assert matched["rules"]["name"].startswith("kits19-")
    assert other["rules"]["name"].startswith("brats2020-")
