"""Scores from files: pairing, label schemes, misses, tables."""

import csv
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

from tunetseg.errors import InputError
from tunetseg.report.scores import Scores, evaluate
from tunetseg.report.scores_files import list_label_files
from tunetseg.report.scores_tables import COLUMNS, print_summary, summary_lines

COHORT = Path(__file__).parents[2].parent / "shared/cohort"
SHAPE = (12, 10, 8)


def tumour(*, enhancing: int = 4, shift: int = 0) -> np.ndarray:
    """Nested boxes: 192 voxels whole, 48 of them core, 8 of these enhancing."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1 + shift : 9 + shift, 2:8, 2:6] = 2
    labels[3 + shift : 7 + shift, 3:7, 2:5] = 1
    if enhancing:
        labels[4 + shift : 6 + shift, 4:6, 3:5] = enhancing
    return labels


def save(path: Path, labels: np.ndarray, *, dtype: type = np.uint8, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels.astype(dtype), np.eye(4) if affine is None else affine), path)
    return path


def flat(folder: Path, **cases: np.ndarray) -> Path:
    for name, labels in cases.items():
        save(folder / f"{name}.nii.gz", labels)
    return folder


def cohort(folder: Path, **cases: np.ndarray) -> Path:
    """Cases in the layout of their year, which their name tells."""
    for given, labels in cases.items():
        name = given.replace("__", "-")
        separator = "-" if name.startswith("BraTS-GLI") else "_"
        save(folder / name / f"{name}{separator}seg.nii.gz", labels)
    return folder


def row(scores: Scores, case: str, region: str) -> dict:
    (found,) = [row for row in scores.rows if (row["case"], row["region"]) == (case, region)]
    return found


@pytest.fixture
def references(tmp_path):
    return flat(tmp_path / "references", a=tumour(), b=tumour())


def test_flat_folders_by_hand(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour(), b=tumour(shift=1))
    scores = evaluate(predictions, references)
    assert [(row["case"], row["region"]) for row in scores.rows] == [
        (case, region) for case in "ab" for region in ("whole", "core", "enhancing")
    ]
    assert row(scores, "a", "enhancing")["dice"] == 1
    moved = row(scores, "b", "enhancing")
    assert (moved["dice"], moved["hd95"], moved["sensitivity"]) == (0.5, 1.0, 0.5)
    assert moved["specificity"] == pytest.approx(1 - 4 / (960 - 8))
    assert moved["reference_ml"] == pytest.approx(0.008)
    whole = scores.summary["regions"]["whole"]
    assert whole["dice"]["mean"] == pytest.approx((1 + 7 / 8) / 2)
    assert whole["dice"]["n"] == 2
    assert scores.summary["cases"]["scored"] == 2


def test_voxel_sizes_count(tmp_path):
    affine = np.diag([3.0, 1.0, 2.0, 1.0])
    prediction = save(tmp_path / "p.nii.gz", tumour(shift=1), affine=affine)
    reference = save(tmp_path / "r.nii.gz", tumour(), affine=affine)
    found = row(evaluate(prediction, reference), "r", "enhancing")
    assert (found["hd95"], found["reference_ml"]) == (3.0, pytest.approx(0.048))


def test_single_files_pair_whatever_their_names(tmp_path):
    prediction = save(tmp_path / "mine.nii.gz", tumour())
    reference = save(tmp_path / "BraTS19_X_1_seg.nii", tumour())
    assert [row["case"] for row in evaluate(prediction, reference).rows] == ["BraTS19_X_1"] * 3


def test_one_file_finds_its_case_in_a_cohort(tmp_path):
    references = cohort(tmp_path / "cohort", BraTS19_X_1=tumour(), BraTS19_Y_1=tumour())
    prediction = save(tmp_path / "BraTS19_X_1.nii.gz", tumour())
    scores = evaluate(prediction, references)
    assert {row["case"] for row in scores.rows} == {"BraTS19_X_1"}


def test_cohort_of_several_years_and_label_schemes(tmp_path):
    references = cohort(tmp_path / "cohort", BraTS19_X_1=tumour(), **{"BraTS__GLI__00001__000": tumour(enhancing=3)})
    predictions = flat(
        tmp_path / "predictions", **{"BraTS19_X_1": tumour(), "BraTS-GLI-00001-000": tumour(enhancing=4)}
    )
    scores = evaluate(predictions, references)
    assert all(row["dice"] == 1 for row in scores.rows)
    labels = scores.summary["labels"]
    assert labels["references"]["schemes"] == {"brats2017": 1, "brats2023": 1}
    assert "dataset's year" in labels["references"]["sentence"]
    assert labels["predictions"]["schemes"] == {"brats2017": 2}
    assert "a 4 and no 3" in labels["predictions"]["sentence"]


def test_a_three_without_a_four_means_2023(tmp_path):
    references = flat(tmp_path / "references", a=tumour(enhancing=3), b=tumour(enhancing=0))
    predictions = flat(tmp_path / "predictions", a=tumour(enhancing=4), b=tumour(enhancing=0))
    scores = evaluate(predictions, references)
    assert row(scores, "a", "enhancing")["dice"] == 1
    assert scores.summary["labels"]["references"]["schemes"] == {"brats2023": 2}
    assert "a 3 and no 4" in scores.summary["labels"]["references"]["sentence"]


def test_mixed_flat_folder_is_told_case_by_case(tmp_path):
    mixed = {"a": tumour(enhancing=3), "b": tumour(enhancing=4), "c": tumour(enhancing=0)}
    scores = evaluate(flat(tmp_path / "p", **mixed), flat(tmp_path / "r", **mixed))
    found = scores.summary["labels"]["predictions"]
    assert found["schemes"] == {"brats2017": 1, "brats2017 or brats2023": 1, "brats2023": 1}
    assert "case by case" in found["sentence"]
    assert row(scores, "a", "enhancing")["dice"] == 1


def test_three_and_four_in_one_file_need_a_word(tmp_path):
    labels = tumour()
    labels[2, 2, 2] = 3
    side = flat(tmp_path / "side", a=labels)
    with pytest.raises(InputError, match=r"a\.nii\.gz.*--labels"):
        evaluate(side, side)
    scores = evaluate(side, side, labels="2013")
    assert row(scores, "a", "core")["reference_ml"] == pytest.approx(0.049)
    assert "as the option says" in scores.summary["labels"]["predictions"]["sentence"]


def test_labels_of_one_side_alone(tmp_path):
    # nnU-Net's conversion swaps oedema and necrosis, which no value tells.
    swapped = np.array([0, 2, 1, 3, 3], np.uint8)[tumour()]
    references, predictions = flat(tmp_path / "r", a=tumour()), flat(tmp_path / "p", a=swapped)
    assert row(evaluate(predictions, references), "a", "core")["dice"] < 0.5
    scores = evaluate(predictions, references, prediction_labels="nnunet")
    assert [row["dice"] for row in scores.rows] == [1, 1, 1]


def test_manifest_beside_a_prediction_tells(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=np.array([0, 2, 1, 3, 3], np.uint8)[tumour()])
    (predictions / "a.json").write_text(json.dumps({"labels": "nnunet"}))
    scores = evaluate(predictions, references)
    assert row(scores, "a", "core")["dice"] == 1
    assert "manifest" in scores.summary["labels"]["predictions"]["sentence"]


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": {"whole": 1}}', '{"other": 1}'])
def test_other_json_beside_a_prediction_is_passed_over(tmp_path, references, text):
    predictions = flat(tmp_path / "predictions", a=tumour())
    (predictions / "a.json").write_text(text)
    assert row(evaluate(predictions, references), "a", "core")["dice"] == 1


def test_values_that_contradict_the_year_are_an_error(tmp_path):
    references = cohort(tmp_path / "cohort", BraTS19_X_1=tumour(enhancing=3))
    predictions = flat(tmp_path / "predictions", BraTS19_X_1=tumour())
    with pytest.raises(InputError, match=r"BraTS19_X_1_seg\.nii\.gz.*\[3\].*brats2017.*--labels"):
        evaluate(predictions, references)
    scores = evaluate(predictions, references, labels="2023", prediction_labels="2019")
    assert row(scores, "BraTS19_X_1", "enhancing")["dice"] == 1


def test_schemes_of_other_organs_do_not_mix(tmp_path, references):
    kidney = flat(tmp_path / "predictions", a=tumour(enhancing=0))
    with pytest.raises(InputError, match=r"kidney, tumour \(kits19\).*whole, core, enhancing"):
        evaluate(kidney, references, prediction_labels="kits19")
    scores = evaluate(kidney, kidney, labels="kits19")
    assert [row["region"] for row in scores.rows] == ["kidney", "tumour"]


def test_maps_beside_predictions_are_not_predictions(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour())
    for ending in ("unc_whole", "unc_core", "unc_enhance", "prob_enhancing"):
        save(predictions / f"a_{ending}.nii.gz", np.full(SHAPE, 50))
    save(predictions / "a_t1.nii.gz", np.full(SHAPE, 50))
    (predictions / "notes.txt").write_text("")
    assert list(list_label_files(predictions)) == ["a"]
    assert evaluate(predictions, references).summary["cases"]["predictions_without_reference"] == []


def test_references_without_prediction_are_listed_or_missed(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour())
    partial = evaluate(predictions, references)
    cases = partial.summary["cases"]
    assert (cases["scored"], cases["references"], cases["counted_as"]) == (1, 2, "left out")
    assert cases["references_without_prediction"] == ["b"]
    assert any(line.startswith("WARNING: 1 of 2 references without") for line in summary_lines(partial.summary))

    full = evaluate(predictions, references, all_references=True)
    missed = row(full, "b", "whole")
    assert (missed["dice"], missed["hd95"], missed["status"]) == (0, 373.12866, "missing")
    assert full.summary["regions"]["whole"]["dice"]["mean"] == 0.5
    assert full.summary["cases"]["counted_as"] == "an empty prediction"
    assert full.summary["cases"]["references"] == 2
    assert any("counted as empty predictions" in line for line in summary_lines(full.summary))


def test_predictions_without_reference_are_listed(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour(), b=tumour(), z=tumour())
    scores = evaluate(predictions, references)
    assert scores.summary["cases"]["predictions_without_reference"] == ["z"]
    assert any("passed over: z" in line for line in summary_lines(scores.summary))


def test_unreadable_prediction_is_a_miss(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour(), b=tumour())
    cut = predictions / "b.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-40])
    scores = evaluate(predictions, references)
    assert row(scores, "b", "core")["dice"] == 0
    assert row(scores, "b", "core")["status"] == "unreadable"
    assert list(scores.summary["cases"]["unreadable_predictions"]) == ["b"]
    assert scores.summary["labels"]["predictions"]["schemes"] == {"brats2017": 1}
    assert any(
        "1 prediction cannot be read and counted as empty: b (" in line for line in summary_lines(scores.summary)
    )


def test_nothing_readable_is_no_result(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour())
    (predictions / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of the 1 predictions can be read.*a\.nii\.gz"):
        evaluate(predictions, references)


def test_unreadable_reference_stops(tmp_path, references):
    (references / "b.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"b\.nii\.gz"):
        evaluate(flat(tmp_path / "predictions", a=tumour(), b=tumour()), references)


@pytest.mark.parametrize(
    ("labels", "affine", "fault"),
    [(tumour()[:-1], np.eye(4), "shape"), (tumour(), np.diag([1, 1, 1.01, 1]), "affine")],
)
def test_another_grid_stops(tmp_path, references, labels, affine, fault):
    save(tmp_path / "predictions/a.nii.gz", labels, affine=affine)
    with pytest.raises(InputError, match=rf"predictions/a\.nii\.gz.*{fault}"):
        evaluate(tmp_path / "predictions", references)


def test_sides_that_cannot_be_used(tmp_path, references):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    for side, message in (
        ("nowhere", "no such file or folder"),
        ("empty", "no label map found"),
        ("notes.txt", r"ends in \.nii or \.nii\.gz"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(tmp_path / side, references)
    with pytest.raises(InputError, match="no case in common"):
        evaluate(flat(tmp_path / "strangers", q=tumour()), references)
    with pytest.raises(InputError, match="brats2019, brats2020"):
        evaluate(references, references, rules="mine")
    with pytest.raises(InputError, match="no such dataset"):
        evaluate(references, references, labels="1999")
    with pytest.raises(InputError, match="at least one"):
        evaluate(references, references, workers=0)
    save(references / "a_seg.nii.gz", tumour())
    with pytest.raises(InputError, match=r"case a is there as"):
        evaluate(references, references)


def test_two_case_less_sides_of_one_cohort(tmp_path):
    """A folder of nothing but ``<case>_seg`` files is a cohort's, so that names tell the year."""
    save(tmp_path / "BraTS19_X_1_seg.nii.gz", tumour())
    assert list_label_files(tmp_path)["BraTS19_X_1"].told == "brats2017"


def test_the_lost_case_of_2020(tmp_path):
    save(tmp_path / "BraTS20_Training_355/W39_1998.09.19_Segm.nii", tumour())
    assert list(list_label_files(tmp_path)) == ["BraTS20_Training_355"]


@pytest.mark.parametrize(("rules", "mean", "n"), [("brats2019", 0.0, 1), ("brats2020", 373.12866 / 3, 3)])
def test_rules_for_empty_regions(tmp_path, rules, mean, n):
    references = flat(tmp_path / "r", a=tumour(), b=tumour(enhancing=0), c=tumour(enhancing=0))
    predictions = flat(tmp_path / "p", a=tumour(), b=tumour(), c=tumour(enhancing=0))
    out = tmp_path / "scores.csv"
    scores = evaluate(predictions, references, rules=rules, out=out)
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


def test_files_on_disk(tmp_path, references):
    out = tmp_path / "scores.csv"
    scores = evaluate(references, references, out=out, rules="brats2019")
    lines = out.read_text().splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert lines[1] == "a,whole,1.0,0.0,1.0,1.0,1.0,0.192,0.192,none,scored"
    assert len(lines) == 1 + 2 * 3
    said = json.loads((tmp_path / "scores.json").read_text())
    assert said["rules"]["name"] == "brats2019"
    assert said["rules"]["hd95"] == "directed"
    assert said["rules"]["penalty_mm"] is None
    assert "research use" in said["note"]
    assert said["software"].startswith("tunetseg ")
    assert said["regions"]["core"]["dice"] == {
        **scores.summary["regions"]["core"]["dice"],
        "ci95": [1.0, 1.0],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["references", "scores.csv", "scores.json"]


def test_unknown_spread_is_null_in_json(tmp_path):
    side = flat(tmp_path / "side", a=tumour())
    evaluate(side, side, out=tmp_path / "scores.csv")
    assert json.loads((tmp_path / "scores.json").read_text())["regions"]["whole"]["dice"]["sd"] is None


def test_a_table_with_nowhere_to_go_is_said_before_work(tmp_path, references):
    for out, message in (
        (tmp_path / "scores.txt", ".csv"),
        (tmp_path / "nowhere/scores.csv", "nowhere does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(tmp_path / "not even looked at", references, out=out)


def test_failed_run_leaves_the_old_table(tmp_path, references):
    out = tmp_path / "scores.csv"
    out.write_text("old")
    (references / "b.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError):
        evaluate(references, references, out=out)
    assert out.read_text() == "old"


def test_printed_summary_names_rules_and_definition(tmp_path, references):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_summary(evaluate(references, references).summary, console)
    text = console.export_text()
    assert "2 cases, rules brats2020" in text
    assert "1.000 ± 0.000" in text
    assert "larger of the two directed 95th percentiles" in " ".join(text.split())
    assert all(region in text for region in ("whole", "core", "enhancing"))
    assert "…" not in text


def test_workers_change_nothing(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour(shift=1), b=tumour(shift=2))
    assert evaluate(predictions, references, workers=1).rows == evaluate(predictions, references, workers=3).rows


@pytest.mark.skipif(not COHORT.is_dir(), reason=f"no real cases in {COHORT}")
def test_real_cases_of_two_schemes_agree_with_themselves(tmp_path):
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
    assert row(scores, names[0], "enhancing")["reference_ml"] == pytest.approx(32.731)
