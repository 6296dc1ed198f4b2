"""`tunet submission` as a person calls it."""

import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.cli.main import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cases of KiTS, as predicted."""
    out = tmp_path / "out"
    out.mkdir()
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[1:5, 1:5, 1:5] = 1
    labels[2:4, 2:4, 2:4] = 2
    for number in (210, 211):
        nib.save(nib.Nifti1Image(labels, np.eye(4)), out / f"prediction_{number:05d}.nii.gz")
    (out / "notes.txt").write_text("")
    return out


def submission(*words: object) -> int:
    return main(["submission", *map(str, words)])


def test_a_good_folder_is_zipped(folder, tmp_path, capsys) -> None:
    assert submission(folder, "--dataset", "kits19", "--out", tmp_path / "all.zip") == 0
    text = capsys.readouterr().out
    assert "2 cases, 2 files, no faults, label values of kits19." in text
    assert "Not part of it: notes.txt." in text
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == ["prediction_00210.nii.gz", "prediction_00211.nii.gz"]


def test_faults_are_listed_and_nothing_is_zipped(folder, tmp_path, capsys) -> None:
    (folder / "prediction_00210.nii.gz").write_bytes(b"no image")
    (tmp_path / "cases.txt").write_text("case_00210\ncase_00211\ncase_00212")
    words = (folder, "--cases", tmp_path / "cases.txt", "--dataset", "kits19", "--out", tmp_path / "all.zip")
    assert submission(*words) == 2
    printed = capsys.readouterr()
    faults = [line for line in printed.out.splitlines() if line.startswith("fault: ")]
    assert len(faults) == 2
    assert "prediction_00212.nii.gz: there is no such file" in faults[1]
    assert "2 fault(s) in the files of 3 case(s); nothing was zipped" in printed.err
    assert not (tmp_path / "all.zip").exists()


def test_the_target_is_checked_first(folder, tmp_path, capsys) -> None:
    assert submission(folder, "--out", tmp_path / "all.tar") == 2
    printed = capsys.readouterr()
    assert ".zip" in printed.err
    assert printed.out == ""


def test_label_values_by_option(folder, capsys) -> None:
    assert submission(folder, "--labels", "2023") == 0
    assert "label values of brats2023" in capsys.readouterr().out
