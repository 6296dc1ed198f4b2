"""Scores from files: pairing, label schemes, misses, tables."""

import csv
import json
import math
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

from tunetseg.cli.main import main
from tunetseg.errors import InputError
from tunetseg.evaluation.evaluate import Scores, evaluate
from tunetseg.evaluation.pairing import list_label_files
from tunetseg.evaluation.tables import columns, print_summary, summary_lines

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
    assert scores.summary["cases"]["references"] == 2


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
    assert row(scores, "BraTS19_X_1", "whole")["dice"] == 1
    assert row(scores, "BraTS19_Y_1", "whole")["status"] == "missing"


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


def test_a_missing_prediction_is_a_miss(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour())
    full = evaluate(predictions, references)
    missed = row(full, "b", "whole")
    assert (missed["dice"], missed["hd95"], missed["status"]) == (0, 373.12866, "missing")
    assert full.summary["regions"]["whole"]["dice"]["mean"] == 0.5
    assert full.summary["cases"]["missing"] == ["b"]
    assert any(line.startswith("WARNING: 1 of 2 references have no prediction") for line in summary_lines(full.summary))


def test_a_list_of_cases_says_what_to_score(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour(), b=tumour(), z=tumour())
    listed = tmp_path / "validation.txt"
    listed.write_text("a\n")
    scores = evaluate(predictions, references, cases=listed)
    assert {row["case"] for row in scores.rows} == {"a"}
    assert scores.summary["cases"]["missing"] == scores.summary["cases"]["predictions_without_reference"] == []
    for text, fault in (("a q", "q is not among the references"), ("", "no case")):
        listed.write_text(text)
        with pytest.raises(InputError, match=fault):
            evaluate(predictions, references, cases=listed)
    with pytest.raises(InputError, match="cannot be read"):
        evaluate(predictions, references, cases=tmp_path / "nowhere.txt")


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
    assert list(scores.summary["cases"]["unreadable"]) == ["b"]
    assert scores.summary["labels"]["predictions"]["schemes"] == {"brats2017": 1}
    assert any("cannot be read and count as empty: b (" in line for line in summary_lines(scores.summary))


def test_nothing_readable_is_no_result(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour())
    (predictions / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of the 1 predictions can be scored.*a\.nii\.gz"):
        evaluate(predictions, references)


def test_unreadable_reference_stops(tmp_path, references):
    (references / "b.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"b\.nii\.gz"):
        evaluate(flat(tmp_path / "predictions", a=tumour(), b=tumour()), references)


@pytest.mark.parametrize(
    ("labels", "affine", "fault"),
    [(tumour()[:-1], np.eye(4), "shape"), (tumour(), np.diag([1, 1, 1.01, 1]), "affine")],
)
def test_another_grid_is_a_miss(tmp_path, references, labels, affine, fault):
    save(tmp_path / "predictions/a.nii.gz", labels, affine=affine)
    save(tmp_path / "predictions/b.nii.gz", tumour())
    scores = evaluate(tmp_path / "predictions", references)
    assert row(scores, "a", "whole")["dice"] == 0
    assert row(scores, "a", "whole")["status"] == "misaligned"
    assert fault in scores.summary["cases"]["misaligned"]["a"]
    assert any("lie on another grid" in line for line in summary_lines(scores.summary))


def test_kits_names_are_paired(tmp_path):
    kidney = np.minimum(tumour(), 2)
    for number in (0, 1):
        save(tmp_path / f"data/case_0000{number}/segmentation.nii.gz", kidney, dtype=np.float64)
        save(tmp_path / f"predictions/prediction_0000{number}.nii.gz", kidney)
    scores = evaluate(tmp_path / "predictions", tmp_path / "data", rules="kits19")
    assert [(row["case"], row["region"], row["dice"]) for row in scores.rows] == [
        (f"case_0000{number}", region, 1.0) for number in (0, 1) for region in ("kidney", "tumour")
    ]
    labels = scores.summary["labels"]
    assert labels["predictions"]["schemes"] == labels["references"]["schemes"] == {"kits19": 2}
    assert "as the rules say" in labels["predictions"]["sentence"]


def with_images(folder: Path, labels: np.ndarray) -> Path:
    """A case of 2019 whose brain is all but the rim of the grid."""
    brain = np.zeros(SHAPE)
    brain[1:-1, 1:-1, 1:-1] = 100
    cohort(folder, BraTS19_X_1=labels)
    for suffix in ("t1", "t1ce", "t2", "flair"):
        save(folder / f"BraTS19_X_1/BraTS19_X_1_{suffix}.nii.gz", brain, dtype=np.int16)
    return folder


@pytest.mark.parametrize("rules", ["qu-brats", "brats2019"])
def test_uncertainty_maps_are_scored(tmp_path, rules):
    references = with_images(tmp_path / "cohort", tumour())
    predictions = flat(tmp_path / "predictions", BraTS19_X_1=tumour(shift=1))
    wrong = (tumour() > 0) != (tumour(shift=1) > 0)
    # Uncertain exactly where wrong: Dice rises to 1 as soon as those voxels are filtered, and nothing right is lost.
    for word in ("whole", "core", "enhance"):
        save(predictions / f"BraTS19_X_1_unc_{word}.nii.gz", 100 * wrong)
    save(predictions / "BraTS19_X_1_prob_whole.nii.gz", tumour(shift=1) > 0, dtype=np.float32)
    scores = evaluate(predictions, references, rules=rules, uncertainty=True, out=tmp_path / "scores.csv")
    whole = row(scores, "BraTS19_X_1", "whole")
    dice = 7 / 8
    assert whole["dauc"] == pytest.approx((39 + (1 + dice) / 2) / 40)
    assert (whole["rftp"], whole["rftn"]) == pytest.approx((0, 0), abs=1e-9)
    assert whole["qu_score"] == pytest.approx((whole["dauc"] + 2) / 3)
    inside = np.zeros(SHAPE, bool)
    inside[1:-1, 1:-1, 1:-1] = True
    assert whole["ece"] == pytest.approx(wrong[inside].mean())
    assert math.isnan(row(scores, "BraTS19_X_1", "core")["ece"])
    assert "dauc" in (tmp_path / "scores.csv").read_text().splitlines()[0]
    few = evaluate(predictions, references, rules=rules, thresholds=(0, 50, 75))
    assert few.summary["rules"]["uncertainty_thresholds"] == (0, 50, 75)
    assert row(few, "BraTS19_X_1", "whole")["dauc"] == 1, "what is wrong is filtered at all of these"
    with pytest.raises(InputError, match="rise within"):
        evaluate(predictions, references, rules=rules, thresholds=(0, 50, 25))


def test_a_missing_or_bad_uncertainty_map_is_the_worst_there_is(tmp_path):
    references = with_images(tmp_path / "cohort", tumour())
    predictions = flat(tmp_path / "predictions", BraTS19_X_1=tumour())
    save(predictions / "BraTS19_X_1_unc_whole.nii.gz", np.zeros(SHAPE))
    save(predictions / "BraTS19_X_1_unc_enhance.nii.gz", np.full(SHAPE, 101))
    scores = evaluate(predictions, references, rules="qu-brats")
    assert row(scores, "BraTS19_X_1", "whole")["qu_score"] == 1
    for region in ("core", "enhancing"):
        found = row(scores, "BraTS19_X_1", region)
        assert (found["dauc"], found["rftp"], found["rftn"], found["qu_score"]) == (0, 1, 1, 0)
        assert found["dice"] == 1
    assert "unc_core" in scores.summary["cases"]["maps_at_fault"]["BraTS19_X_1"]
    assert any("count as the worst" in line for line in summary_lines(scores.summary))


def test_uncertainty_needs_the_brain(tmp_path, references):
    with pytest.raises(InputError, match="the brain is unknown"):
        evaluate(references, references, rules="qu-brats")


def test_lesions_are_counted_under_the_rules_of_2023(tmp_path):
    truth = np.zeros((30, 12, 12), np.uint8)
    truth[1:6, 1:6, 1:6] = truth[20:25, 1:6, 1:6] = 3
    found = truth.copy()
    found[20:25] = 0
    scores = evaluate(flat(tmp_path / "p", a=found), flat(tmp_path / "r", a=truth), rules="brats2023")
    enhancing = row(scores, "a", "enhancing")
    assert (enhancing["lesion_tp"], enhancing["lesion_fp"], enhancing["lesion_fn"]) == (1, 0, 1)
    assert (enhancing["lesion_dice"], enhancing["lesion_hd95"]) == (0.5, 187)
    assert scores.summary["rules"]["lesions"]["penalty_mm"] == 374


def test_surface_dice_is_scored_at_a_tolerance(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour(shift=1), b=tumour())
    scores = evaluate(predictions, references, tolerance=1.0)
    assert [row(scores, case, "whole")["surface_dice"] for case in "ab"] == [1, 1]
    strict = evaluate(predictions, references, tolerance=0.5)
    assert 0 < row(strict, "a", "whole")["surface_dice"] < 1
    with pytest.raises(InputError, match="tolerance"):
        evaluate(predictions, references, tolerance=-1)


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
    assert lines[0].split(",") == list(columns(scores.rows[0]))
    assert lines[0].startswith("case,region,dice,hd95,sensitivity,specificity,")
    assert lines[1] == "a,whole,1.0,0.0,1.0,1.0,1.0,1.0,0.0,0.0,0.0,0.192,0.192,none,scored"
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


def test_tables_in_the_papers_layout(tmp_path, references):
    predictions = flat(tmp_path / "predictions", a=tumour(shift=1), b=tumour())
    scores = evaluate(predictions, references, rules="brats2023", out=tmp_path / "mine.csv", tables=True)
    first, second = (tmp_path / "mine.md").read_text().split("\n\n")
    dice = scores.summary["regions"]["whole"]["dice"]
    assert first.splitlines()[2].split(" | ")[:2] == ["| mine", f"{100 * dice['mean']:.2f} ({100 * dice['sd']:.2f})"]
    assert second.startswith("| Model | lesion-wise DSC whole |")
    assert (tmp_path / "mine.tex").read_text().count(r"\begin{tabular}") == 2
    with pytest.raises(InputError, match="--out"):
        evaluate(predictions, references, tables=True)


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


def test_labels_that_no_scheme_has_are_a_miss(tmp_path, references):
    strange = tumour()
    strange[0, 0, 0] = 7
    scores = evaluate(flat(tmp_path / "predictions", a=tumour(), b=strange), references)
    missed = row(scores, "b", "whole")
    assert (missed["dice"], missed["status"]) == (0, "unreadable")
    assert "7" in scores.summary["cases"]["unreadable"]["b"]
    assert row(scores, "a", "whole")["dice"] == 1


def test_a_kidneys_rules_do_not_score_gliomas(tmp_path):
    references = cohort(tmp_path / "cohort", BraTS19_X_1=tumour())
    predictions = flat(tmp_path / "predictions", BraTS19_X_1=tumour())
    with pytest.raises(InputError, match="rules kits19 are for kidney, tumour"):
        evaluate(predictions, references, rules="kits19")


def test_a_cohort_segmented_into_itself_is_ambiguous(tmp_path):
    both = cohort(tmp_path / "both", BraTS20_Training_001=tumour())
    flat(both, BraTS20_Training_001=tumour(shift=1))
    with pytest.raises(InputError, match="in two folders"):
        evaluate(both, both)
    shutil.copytree(both / "BraTS20_Training_001", both / "backup/BraTS20_Training_001")
    shutil.copytree(both / "BraTS20_Training_001", tmp_path / "alone/BraTS20_Training_001")
    assert row(evaluate(both, tmp_path / "alone"), "BraTS20_Training_001", "whole")["dice"] < 1


def test_references_that_a_model_wrote_among_the_experts_are_refused(tmp_path):
    both = cohort(tmp_path / "both", BraTS20_Training_001=tumour())
    flat(both, BraTS20_Training_001=tumour(shift=1))
    others = flat(tmp_path / "others", BraTS20_Training_001=tumour())
    with pytest.raises(InputError, match="in two folders"):
        evaluate(others, both)


def test_a_reference_given_twice_is_refused(tmp_path):
    references = cohort(tmp_path / "references", BraTS20_Training_001=tumour())
    save(references / "BraTS20_Training_001/BraTS20_Training_001_seg.nii", tumour(shift=1))
    with pytest.raises(InputError, match="seg is given twice"):
        evaluate(flat(tmp_path / "p", BraTS20_Training_001=tumour()), references)
    kidneys = [tmp_path / f"kits{year}/case_00000/segmentation.nii.gz" for year in (19, 23)]
    for path in kidneys:
        save(path, np.minimum(tumour(), 2))
    with pytest.raises(InputError, match=r"case_00000 is in .*kits19/case_00000 too"):
        list_label_files(tmp_path)


def test_cases_whose_names_end_like_images_and_maps(tmp_path):
    names = ("p_t1", "p_t2", "p_t3", "q_unc_01")
    references = flat(tmp_path / "references", **dict.fromkeys(names, tumour()))
    assert list(list_label_files(references)) == list(names)
    for suffix in ("t1", "t1ce", "t2", "flair"):
        save(references / f"z_{suffix}.nii.gz", np.full(SHAPE, 50))
    assert list(list_label_files(references)) == list(names)


def test_maps_are_found_whatever_the_ending(tmp_path):
    references = with_images(tmp_path / "cohort", tumour())
    predictions = tmp_path / "predictions"
    save(predictions / "BraTS19_X_1_seg.nii.gz", tumour())
    save(predictions / "more.nii.gz", tumour())
    for word, ending in (("whole", ".nii"), ("core", ".nii.gz"), ("enhance", ".nii")):
        save(predictions / f"BraTS19_X_1_unc_{word}{ending}", np.zeros(SHAPE))
    scores = evaluate(predictions, references, rules="qu-brats")
    assert [row["qu_score"] for row in scores.rows] == [1, 1, 1]


def test_the_lost_cases_own_folder(tmp_path):
    path = save(tmp_path / "BraTS20_Training_355/W39_1998.09.19_Segm.nii", tumour())
    assert list(list_label_files(path.parent)) == ["BraTS20_Training_355"]


def test_single_files_of_two_cases_are_refused(tmp_path):
    one = save(tmp_path / "BraTS2021_00002.nii.gz", tumour())
    other = save(tmp_path / "BraTS-GLI-00000-000-seg.nii.gz", tumour())
    with pytest.raises(InputError, match="two cases"):
        evaluate(one, other)


@pytest.mark.parametrize("text", ['{"case": "one", "labels": "brats2017"}', '{"stages": []}', "not JSON"])
def test_only_a_summary_is_written_over(tmp_path, references, text):
    flat(tmp_path / "p", one=tumour())
    beside = tmp_path / "p/one.json"
    beside.write_text(text)
    with pytest.raises(InputError, match="is no summary of scores"):
        evaluate(tmp_path / "p", references, out=tmp_path / "p/one.csv")
    assert beside.read_text() == text
    assert not (tmp_path / "p/one.csv").exists()


def test_a_summary_is_written_over(tmp_path, references):
    evaluate(references, references, out=tmp_path / "s.csv")
    before = (tmp_path / "s.json").read_text()
    evaluate(references, references, out=tmp_path / "s.csv", rules="brats2019")
    assert (tmp_path / "s.json").read_text() != before


def test_a_list_of_cases_is_not_for_two_files(tmp_path, references):
    one = next(references.rglob("*.nii.gz"))
    with pytest.raises(InputError, match="two files are one case"):
        evaluate(one, one, cases=tmp_path / "nowhere.txt")


def test_a_pipe_is_as_wide_as_the_tables(tmp_path, capsys):
    references = with_images(tmp_path / "r", tumour())
    for path in list((references / "BraTS19_X_1").iterdir()):
        (references / "BraTS19_Y_1").mkdir(exist_ok=True)
        shutil.copy(path, references / "BraTS19_Y_1" / path.name.replace("_X_", "_Y_"))
    predictions = flat(tmp_path / "p", BraTS19_X_1=tumour(), BraTS19_Y_1=tumour(shift=1))
    for word in ("whole", "core", "enhance"):
        for case in ("X", "Y"):
            save(predictions / f"BraTS19_{case}_1_unc_{word}.nii.gz", np.zeros(SHAPE))
    assert main(["evaluate", str(predictions), str(references), "--rules", "qu-brats"]) == 0
    table = capsys.readouterr().out
    heading = next(line for line in table.splitlines() if "DAUC" in line)
    assert heading.split() == ["region", "DAUC", "RFTP", "RFTN", "score", "ECE"]
    assert "…" not in table
    assert max(map(len, table.splitlines())) > 80
