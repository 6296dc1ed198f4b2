"""A folder on its way to a challenge."""

import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.cli.main import main
from tunetseg.datasets.phantom import make_patient, write_patient
from tunetseg.errors import InputError
from tunetseg.evaluation.submission import check_submission, write_zip

CASE = "BraTS20_Training_{:03d}"


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    for number in range(2):
        write_patient(make_patient(number, shape=(24, 24, 16), spacing=10), tmp_path / "cohort", number=number)
    return tmp_path / "cohort"


@pytest.fixture
def folder(tmp_path: Path, cohort: Path) -> Path:
    """The truth, with certain maps, as one would submit it."""
    out = tmp_path / "out"
    out.mkdir()
    for number in range(2):
        name = CASE.format(number)
        truth = nib.load(cohort / name / f"{name}_seg.nii.gz")
        nib.save(truth, out / f"{name}.nii.gz")
        for word in ("whole", "core", "enhance"):
            nib.save(nib.Nifti1Image(np.zeros(truth.shape, np.uint8), truth.affine), out / f"{name}_unc_{word}.nii.gz")
        (out / f"{name}.json").write_text("{}")
    return out


def rewrite(path: Path, change, affine=None) -> None:
    image = nib.load(path)
    array = change(np.asarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(array, image.affine if affine is None else affine), path)


def filled(value: int):
    def change(array: np.ndarray) -> np.ndarray:
        array[0, 0, 0] = value
        return array

    return change


def test_a_good_folder_is_zipped_flat(folder: Path, cohort: Path, tmp_path: Path) -> None:
    words = ["submission", str(folder), "--cohort", str(cohort), "--uncertainty", "--out", str(tmp_path / "all.zip")]
    assert main(words) == 0
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 8
        assert not any("/" in name or name.endswith(".json") for name in archive.namelist())


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        (CASE.format(1), filled(3), r"\[3\] do not exist"),
        (CASE.format(1), lambda array: array[1:], "shape"),
        (CASE.format(0) + "_unc_core", filled(101), "uncertainty runs from 0 to 100"),
        (CASE.format(0) + "_unc_core", lambda array: array[1:], "shape"),
    ],
)
def test_faults_are_found(folder: Path, cohort: Path, tmp_path: Path, name: str, change, fault: str) -> None:
    rewrite(folder / f"{name}.nii.gz", change)
    check = check_submission(folder, cohort=cohort, uncertainty=True)
    (said,) = check.faults
    assert name in said
    with pytest.raises(InputError, match=fault):
        write_zip(check, tmp_path / "all.zip")
    assert not (tmp_path / "all.zip").exists()
    assert main(["submission", str(folder), "--cohort", str(cohort), "--uncertainty"]) == 2


def test_missing_cases_maps_and_strangers(folder: Path, cohort: Path) -> None:
    (folder / f"{CASE.format(0)}.nii.gz").rename(folder / "stranger.nii.gz")
    (folder / f"{CASE.format(1)}_unc_enhance.nii.gz").unlink()
    faults = check_submission(folder, cohort=cohort, uncertainty=True).faults
    assert len(faults) == 3
    assert "000.nii.gz: there is no such file" in faults[0]
    assert "001_unc_enhance.nii.gz: there is no such file" in faults[1]
    assert "stranger.nii.gz: is no case that is wanted" in faults[2]


def test_a_case_whose_name_ends_like_a_maps(folder: Path) -> None:
    (folder / f"{CASE.format(0)}.nii.gz").rename(folder / "q_unc_01.nii.gz")
    assert check_submission(folder).cases == (CASE.format(1), "q_unc_01")


def test_a_list_of_cases_and_the_grid_of_brats(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{CASE.format(0)}\n{CASE.format(5)}\n")
    faults = check_submission(folder, cases=tmp_path / "list.txt").faults
    assert any("BraTS has (240, 240, 155)" in fault for fault in faults)
    assert any("005.nii.gz: there is no such file" in fault for fault in faults)
    with pytest.raises(InputError, match="no such folder"):
        check_submission(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        check_submission(folder, cases=tmp_path / "nowhere.txt")


def test_a_listed_case_must_be_the_cohorts(folder: Path, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "cases.txt").write_text("\ufeffBraTS20_Training_000 stranger", encoding="utf-8")
    with pytest.raises(InputError, match="stranger is not in the cohort"):
        check_submission(folder, cohort=cohort, cases=tmp_path / "cases.txt")


def test_a_case_without_images_and_a_year_that_never_was(folder: Path, cohort: Path) -> None:
    for path in (cohort / CASE.format(0)).glob("*.nii.gz"):
        if "_seg" not in path.name:
            path.unlink()
    faults = check_submission(folder, cohort=cohort).faults
    assert [fault for fault in faults if CASE.format(0) in fault] == list(faults)
    assert "no image" in faults[0]
    with pytest.raises(InputError, match="no such dataset"):
        check_submission(folder, cohort=cohort, year="2077")
