"""``tunet inspect``."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.checks import inspect_place
from tunetseg.cli.main import main
from tunetseg.datasets import find_cases, find_description
from tunetseg.errors import InputError


@pytest.fixture
def cohort(mri_cohort: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mri_cohort, tmp_path / "cohort"))


def test_what_was_recognised_and_why(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = find_cases(cohort)[0]
    assert main(["inspect", str(case.images["t1"].parent)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{case.id} (brats2019)\n")
    assert f"  t1ce   {case.images['t1ce']} (named like brats2019)\n" in said
    assert "  warning: voxels of 10 x 10 x 10 mm: " in said
    assert said.rstrip().endswith("[thick-slices]") or "[thick-slices]" in said


def test_json(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = find_cases(cohort)
    assert main(["inspect", str(cohort), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [case["id"] for case in said["cases"]] == [case.id for case in cases]
    first = said["cases"][0]
    assert set(first["channels"]) == {"t1", "t1ce", "t2", "flair"}
    assert {"code", "level", "message"} == set(first["findings"][0])


def test_exit_codes(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = find_cases(cohort)[0]
    folder = str(case.images["t1"].parent)
    assert main(["inspect", folder, "--strict"]) == 3
    case.images["t2"].write_bytes(b"damaged")
    capsys.readouterr()
    assert main(["inspect", folder]) == 2
    assert "refuse: " in (said := capsys.readouterr().out)
    assert "not a NIfTI image" in said
    assert main(["inspect", str(cohort / "nothing")]) == 2


def test_a_missing_sequence_is_warned_of(cohort: Path) -> None:
    case = find_cases(cohort)[0]
    case.images["flair"].unlink()
    (found,) = inspect_place(case.images["t1"].parent, find_description("glioma"))
    assert (found.findings[0].code, found.findings[0].level) == ("missing-channel", "warning")
    assert found.findings[0].message.startswith("no flair image: replaced by zeros")
    assert "thick-slices" in [finding.code for finding in found.findings], "the others are checked"


def test_another_background_is_said(cohort: Path) -> None:
    case = find_cases(cohort)[0]
    image = nib.load(case.images["t1"])
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) - 50.0, image.affine), case.images["t1"])
    (found,) = inspect_place(case.images["t1"].parent, find_description("glioma"))
    (finding,) = [finding for finding in found.findings if finding.code.startswith("background")]
    assert finding.message == "the background of t1 is not 0 but constant, and was set to 0"


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="no case found"):
        inspect_place(tmp_path, find_description("glioma"))
