"""`tunet evaluate` as a person calls it."""

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import tyro

from tunetseg.cli.evaluate import evaluate
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


def test_rules_offered_are_those_there_are():
    assert evaluate.__doc__ is not None
    for name in RULES:
        assert name in evaluate.__doc__ or name.replace("brats2023", "") in evaluate.__doc__


def test_table_is_written_and_summary_printed(side, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    call(side, side, "--rules", "brats2019", "--out", out)
    assert len(out.read_text().splitlines()) == 7
    assert (tmp_path / "scores.json").is_file()
    text = capsys.readouterr().out
    assert "2 cases, rules brats2019" in text
    assert "scores.json" in text


def test_without_out_nothing_is_written(side, tmp_path, capsys):
    call(side, side)
    assert [path.name for path in tmp_path.iterdir()] == ["side"]
    assert "rules brats2020" in capsys.readouterr().out


def test_missing_predictions_are_said(side, tmp_path, capsys):
    call(side / "a.nii.gz", side)
    text = " ".join(capsys.readouterr().out.split())
    assert "1 of 2 references have no prediction" in text
    assert "0.500 ± 0.707" in text
    (tmp_path / "cases.txt").write_text("a")
    call(side / "a.nii.gz", side, "--cases", tmp_path / "cases.txt")
    assert "1 case, rules brats2020" in capsys.readouterr().out


@pytest.mark.parametrize("args", [(), ("one",), ("one", "two", "--tolerance", "much")])
def test_usage_errors_leave_with_two(args, capsys):
    with pytest.raises(SystemExit) as left:
        call(*args)
    assert left.value.code == 2


def test_bad_input_is_said(side, tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        call(tmp_path / "nowhere", side)


def test_help_needs_nothing_heavy():
    code = (
        "import sys, tunetseg.cli.evaluate; "
        "print([name for name in ('torch', 'scipy', 'nibabel', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
