"""`tunet evaluate` as a person calls it."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import tyro

from tunetseg.cli.evaluate import evaluate
from tunetseg.cli.main import main
from tunetseg.datasets.phantom import write_cohort
from tunetseg.errors import InputError
from tunetseg.metrics import RULES


@pytest.fixture
def side(tmp_path):
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[1:5, 1:5, 1:5] = 2
    labels[2:4, 2:4, 2:4] = 4
    folder = tmp_path / "side"
    folder.mkdir()
    for name in ("a", "b"):
        nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / f"{name}.nii.gz")
    return folder


def call(*args: object) -> None:
    tyro.cli(evaluate, args=[str(arg) for arg in args])


def test_rules_in_the_help_are_those_that_exist():
    assert evaluate.__doc__ is not None
    for name in RULES:
        year, dash, challenge = name.partition("-")
        assert name in evaluate.__doc__ or (year in evaluate.__doc__ and f"{dash}{challenge}" in evaluate.__doc__), name


def test_table_is_written_and_summary_printed(side, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    call(side, side, "--rules", "brats2019", "--out", out, "--tables")
    assert len(out.read_text().splitlines()) == 7
    assert sorted(path.suffix for path in tmp_path.glob("scores.*")) == [".csv", ".json", ".md", ".tex"]
    printed = capsys.readouterr()
    assert "2 cases, rules brats2019" in printed.out
    assert "HD95: larger of the two directed 95th percentiles" in printed.out
    assert "scores.json" in printed.out
    assert printed.err == ""


def test_without_out_nothing_is_written(side, tmp_path, capsys):
    call(side, side)
    assert [path.name for path in tmp_path.iterdir()] == ["side"]
    assert "rules brats2020" in capsys.readouterr().out


def test_targets_are_checked_before_the_work(side, tmp_path):
    for out, fault in (("scores.txt", ".csv"), ("nowhere/scores.csv", "nowhere does not exist")):
        with pytest.raises(InputError, match=fault):
            call(tmp_path / "not even looked at", side, "--out", tmp_path / out)
    with pytest.raises(InputError, match="--out"):
        call(side, side, "--tables")


def test_a_failed_run_leaves_the_old_table(side, tmp_path):
    out = tmp_path / "scores.csv"
    out.write_text("old")
    (side / "b.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError):
        call(side, side, "--out", out)
    assert out.read_text() == "old"


def test_missing_predictions_are_reported(side, tmp_path, capsys):
    call(side / "a.nii.gz", side)
    text = " ".join(capsys.readouterr().out.split())
    assert "1 of 2 references have no prediction" in text
    assert "0.500 ± 0.707" in text
    (tmp_path / "cases.txt").write_text("a")
    call(side / "a.nii.gz", side, "--cases", tmp_path / "cases.txt")
    assert "1 case, rules brats2020" in capsys.readouterr().out


def test_a_dataset_of_ones_own(tmp_path, capsys):
    """Names, regions and rules come from the file alone."""
    description = tmp_path / "mine.toml"
    description.write_text(
        """
        name = "mine"
        rules = "brats2019"
        channels = [{name = "first"}, {name = "second"}]
        [[regions]]
        name = "organ"
        labels = [1, 2, 3, 4]
        [[regions]]
        name = "tissue"
        labels = [2, 3, 4]
        [[regions]]
        name = "lesion"
        labels = [3, 4]
        [[regions]]
        name = "centre"
        labels = [4]
        [files]
        case = 'case_\\d+'
        reference = "{case}_truth"
        channels = {first = "{case}_1", second = "{case}_2"}
        """
    )
    write_cohort(tmp_path / "cohort", cases=2, dataset=description)
    (tmp_path / "predictions").mkdir()
    for path in (tmp_path / "cohort").rglob("*_truth.nii.gz"):
        path.rename(tmp_path / "predictions" / path.name.replace("_truth", ""))
    write_cohort(tmp_path / "cohort", cases=2, dataset=description)
    assert (
        main(["evaluate", *(str(tmp_path / side) for side in ("predictions", "cohort")), "--dataset", str(description)])
        == 0
    )
    text = capsys.readouterr().out
    assert "2 cases, rules brats2019" in text
    assert all(f"{region}  " in text for region in ("organ", "tissue", "lesion", "centre"))
    assert "mine (2), as the dataset says" in text


def test_a_pipe_is_as_wide_as_the_tables(side, tmp_path, capsys):
    brain = nib.Nifti1Image(np.ones((6, 6, 6), np.int16), np.eye(4))
    label_map = nib.load(side / "a.nii.gz")
    for number in range(2):
        case = f"BraTS2021_{number:05d}"
        for folder in (tmp_path / "predictions", tmp_path / "cohort" / case):
            folder.mkdir(parents=True, exist_ok=True)
        nib.save(label_map, tmp_path / f"predictions/{case}.nii.gz")
        nib.save(label_map, tmp_path / f"cohort/{case}/{case}_seg.nii.gz")
        nib.save(brain, tmp_path / f"cohort/{case}/{case}_t1.nii.gz")
        for word in ("whole", "core", "enhance"):
            nib.save(
                nib.Nifti1Image(np.zeros((6, 6, 6)), np.eye(4)), tmp_path / f"predictions/{case}_unc_{word}.nii.gz"
            )
    call(tmp_path / "predictions", tmp_path / "cohort", "--rules", "qu-brats")
    text = capsys.readouterr().out
    heading = next(line for line in text.splitlines() if "DAUC" in line)
    assert heading.split() == ["region", "DAUC", "RFTP", "RFTN", "score", "ECE"]
    assert "…" not in text
    assert max(map(len, text.splitlines())) > 80


@pytest.mark.parametrize("args", [(), ("one",), ("one", "two", "--tolerance", "much")])
def test_usage_errors_leave_with_two(args, capsys):
    with pytest.raises(SystemExit) as exit_info:
        call(*args)
    assert exit_info.value.code == 2


def test_bad_input_is_explained(side, tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        call(tmp_path / "nowhere", side)


def test_help_needs_nothing_heavy():
    code = (
        "import sys, tunetseg.cli.evaluate; "
        "print([name for name in ('torch', 'scipy', 'nibabel', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_lesions_and_the_strict_version_are_written(side, tmp_path, capsys):
    out, lesions = tmp_path / "scores.csv", tmp_path / "lesions.csv"
    call(side, side, "--rules", "brats2026-gli", "--labels", "2021", "--strict", "--out", out, "--lesions", lesions)
    assert lesions.read_text().startswith("case,region,lesion,volume_ml,counted,matched,components,dice,hd95,nsd\n")
    assert (tmp_path / "scores-strict.csv").exists()
    printed = capsys.readouterr().out
    assert "strict version of brats2026-gli" in printed
    assert "lesions found, by volume" in printed
    with pytest.raises(InputError, match=r"\.csv"):
        call(side, side, "--lesions", tmp_path / "lesions.txt")


def test_lesions_are_matched_by_iou_with_any_rules(side, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    call(side, side, "--rules", "brats2023-gli", "--match-iou", "0.5", "--out", out)
    heading, first = out.read_text().splitlines()[:2]
    row = dict(zip(heading.split(","), first.split(","), strict=True))
    assert [row[name] for name in ("f1", "sq", "pq", "lesion_tp")] == ["1.0", "1.0", "1.0", "1"]
    text = " ".join(capsys.readouterr().out.split())
    assert "rules brats2023-gli-iou" in text
    assert "matched one to one from an IoU of 0.5 on" in text
    with pytest.raises(InputError, match="invalid IoU"):
        call(side, side, "--match-iou", "0")


def test_a_page_is_written_with_and_without_a_table(side, tmp_path, capsys):
    page = tmp_path / "scores.html"
    call(side, side, "--report", page)
    assert f"Wrote {page}." in capsys.readouterr().out
    call(side, side, "--report", page, "--out", tmp_path / "scores.csv")
    assert f"scores.json, {page}." in capsys.readouterr().out.replace("\n", "")
    other = tmp_path / "other.html"
    other.write_text("of another program")
    for target, fault in (
        (other, "was not written by tunetseg"),
        (tmp_path / "scores.pdf", ".html"),
        ("no/x.html", "no"),
    ):
        with pytest.raises(InputError, match=fault):
            call(tmp_path / "not even looked at", side, "--report", target)
