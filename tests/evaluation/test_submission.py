"""A folder on its way to a challenge."""

import gzip
import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import find_description, find_scheme
from tunetseg.datasets.phantom import make_for, write_cohort
from tunetseg.errors import InputError
from tunetseg.evaluation.submission import check_submission, write_zip

CASE = "BraTS20_Training_{:03d}"


@pytest.fixture(scope="module")
def patients(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("patients")
    write_cohort(folder, cases=2, dataset="brats2020", shape=(24, 24, 16), spacing=10.0)
    return folder


@pytest.fixture
def folder(tmp_path: Path, patients: Path) -> Path:
    """The truth, with certain maps, as one would submit it."""
    out = tmp_path / "out"
    out.mkdir()
    for number in range(2):
        name = CASE.format(number)
        truth = nib.load(next(patients.rglob(f"{name}_seg.nii.gz")))
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


def test_a_good_folder_is_zipped_without_folders(folder: Path, patients: Path, tmp_path: Path) -> None:
    calls = []
    check = check_submission(folder, cohort=patients, uncertainty=True, progress=lambda *call: calls.append(call))
    assert check.faults == ()
    assert check.labels == "brats2017"
    assert calls == [("checking", 1, 2), ("checking", 2, 2)]
    assert check.left_out == tuple(f"{CASE.format(number)}.json" for number in range(2))
    with zipfile.ZipFile(write_zip(check, tmp_path / "all.zip")) as archive:
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
def test_faults_are_found(folder: Path, patients: Path, tmp_path: Path, name: str, change, fault: str) -> None:
    rewrite(folder / f"{name}.nii.gz", change)
    check = check_submission(folder, cohort=patients, uncertainty=True)
    (sentence,) = check.faults
    assert name in sentence
    with pytest.raises(InputError, match=fault):
        write_zip(check, tmp_path / "all.zip")
    assert not (tmp_path / "all.zip").exists()


def test_missing_cases_maps_and_strangers(folder: Path, patients: Path) -> None:
    (folder / f"{CASE.format(0)}.nii.gz").rename(folder / "stranger.nii.gz")
    (folder / f"{CASE.format(1)}_unc_enhance.nii.gz").unlink()
    faults = check_submission(folder, cohort=patients, uncertainty=True).faults
    assert len(faults) == 3
    assert "000.nii.gz: there is no such file" in faults[0]
    assert "001_unc_enhance.nii.gz: there is no such file" in faults[1]
    assert "stranger.nii.gz: is not one of the cases that are wanted" in faults[2]


def test_a_case_whose_name_ends_like_a_map(folder: Path) -> None:
    (folder / f"{CASE.format(0)}.nii.gz").rename(folder / "q_unc_01.nii.gz")
    assert check_submission(folder).cases == (CASE.format(1), "q_unc_01")


def test_a_list_of_cases_and_the_shape_of_brats(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{CASE.format(0)}\n{CASE.format(5)}\n")
    faults = check_submission(folder, cases=tmp_path / "list.txt").faults
    assert any("BraTS 2020 has (240, 240, 155)" in fault for fault in faults)
    assert any("005.nii.gz: there is no such file" in fault for fault in faults)
    with pytest.raises(InputError, match="no such folder"):
        check_submission(tmp_path / "nowhere")
    with pytest.raises(InputError, match="there is no such file; a text file of case names"):
        check_submission(folder, cases=tmp_path / "nowhere.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no case is wanted or found"):
        check_submission(tmp_path / "empty")


def test_a_listed_case_must_be_in_the_cohort(folder: Path, patients: Path, tmp_path: Path) -> None:
    (tmp_path / "cases.txt").write_text("\ufeffBraTS20_Training_000\nstranger", encoding="utf-8")
    with pytest.raises(InputError, match="case stranger is wanted but not in the cohort"):
        check_submission(folder, cohort=patients, cases=tmp_path / "cases.txt")


def test_a_case_without_images(folder: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "patients", cases=2, dataset="brats2020", shape=(24, 24, 16), spacing=10.0)
    for path in (tmp_path / "patients").rglob(f"{CASE.format(0)}_*.nii.gz"):
        if "_seg" not in path.name:
            path.unlink()
    (fault,) = check_submission(folder, cohort=tmp_path / "patients").faults
    assert fault == f"{CASE.format(0)}: the cohort has no image of it, so its grid is unknown"


def test_unknown_datasets(folder: Path) -> None:
    with pytest.raises(InputError, match="unknown label values '2077'"):
        check_submission(folder, labels="2077")
    with pytest.raises(InputError, match="unknown dataset 'moon'"):
        check_submission(folder, dataset="moon")


def test_axes_must_be_stored_as_the_patients_are(folder: Path, patients: Path) -> None:
    """The lattice may be the same; a challenge compares the arrays as they are stored."""
    path = folder / f"{CASE.format(0)}.nii.gz"
    nib.save(nib.as_closest_canonical(nib.load(path)), path)
    (fault,) = check_submission(folder, cohort=patients).faults
    assert "its axes are stored as RAS, but those of" in fault


# B15: cases without a known year were written as 2023's and checked as 2020's.


def loose(folder: Path, **manifests: str | None) -> Path:
    """Label maps of cases that no dataset names, in values that 2017 and 2023 give other meanings."""
    folder.mkdir()
    labels = np.zeros((240, 240, 155), np.uint8)
    labels[:9, :9, :9] = 3
    for case, scheme in manifests.items():
        nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / f"{case}.nii.gz")
        (folder / f"{case}.json").write_text(json.dumps({} if scheme is None else {"labels": scheme}))
    return folder


def test_label_values_are_those_of_the_manifests(tmp_path: Path) -> None:
    folder = loose(tmp_path / "out", mine="brats2023", yours="brats2023")
    check = check_submission(folder)
    assert (check.faults, check.labels) == ((), "brats2023")
    faults = check_submission(folder, labels="2020").faults
    assert len(faults) == 2
    assert "[3] do not exist in brats2017" in faults[0]


def test_a_mix_of_label_values_is_refused(tmp_path: Path, folder: Path, patients: Path) -> None:
    with pytest.raises(
        InputError, match=r"mixes label values, those of brats2023 \(mine\) and those of brats2017 \(yours\)"
    ):
        check_submission(loose(tmp_path / "mixed", mine="brats2023", yours="brats2017"))
    for number in range(2):
        (folder / f"{CASE.format(number)}.json").write_text('{"labels": "brats2023"}')
    with pytest.raises(InputError, match=r"mixes label values, those of brats2023 .* and those of brats2017"):
        check_submission(folder, cohort=patients)
    assert check_submission(folder, cohort=patients, labels="2020").faults == ()


def test_without_manifests_values_must_fit_together(tmp_path: Path) -> None:
    folder = loose(tmp_path / "out", mine=None, yours=None)
    check = check_submission(folder)
    assert (check.faults, check.labels) == ((), None)
    rewrite(folder / "yours.nii.gz", lambda array: np.where(array == 3, 4, array).astype(np.uint8))
    (fault,) = check_submission(folder).faults
    assert fault.startswith(f"{folder}: label values [3, 4] fit none")


# B1: names in the headers of the input were copied to the output and into the zip.


def with_text(image: nib.Nifti1Image, where: str) -> nib.Nifti1Image:
    if where == "extension":
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JOHN"))
    else:
        image.header[where] = b"DOE^JOHN"
    return image


@pytest.mark.parametrize("where", ["extension", "db_name", "aux_file", "descrip", "intent_name"])
@pytest.mark.parametrize("suffix", ["", "_unc_core"])
def test_headers_hold_no_text(folder: Path, patients: Path, where: str, suffix: str) -> None:
    path = folder / f"{CASE.format(0)}{suffix}.nii.gz"
    nib.save(with_text(nib.load(path), where), path)
    (fault,) = check_submission(folder, cohort=patients, uncertainty=True).faults
    assert str(path) in fault
    assert "may identify the patient" in fault
    assert ("header extension" if where == "extension" else f"{where} (DOE^JOHN)") in fault


def test_names_of_programs_and_of_the_file_itself_are_no_text(folder: Path, patients: Path) -> None:
    path = folder / f"{CASE.format(0)}.nii.gz"
    image = nib.load(path)
    image.header["descrip"] = b"6.0.5:9e026117"
    content = image.to_bytes()
    for name, faults in ((path.name.removesuffix(".gz"), 0), ("DOE_JOHN.nii", 1)):
        with path.open("wb") as raw, gzip.GzipFile(name, "wb", fileobj=raw) as file:
            file.write(content)
        assert len(found := check_submission(folder, cohort=patients).faults) == faults
    assert "the name of another file (DOE_JOHN.nii), which may identify the patient" in found[0]


# Other datasets than BraTS.


def test_kits_names_and_values(tmp_path: Path) -> None:
    write_cohort(tmp_path / "patients", cases=2, dataset="kits19")
    out = tmp_path / "out"
    out.mkdir()
    for path in sorted((tmp_path / "patients").rglob("segmentation.nii.gz")):
        case = path.parent.name
        # One is named as the challenge wants it, the other as its case is.
        name = case.replace("case", "prediction") if case.endswith("0") else case
        nib.save(nib.load(path), out / f"{name}.nii.gz")
    check = check_submission(out, cohort=tmp_path / "patients")
    assert (check.faults, check.labels) == ((), "kits19")
    assert list(check.files) == ["prediction_00000.nii.gz", "prediction_00001.nii.gz"]
    with zipfile.ZipFile(write_zip(check, tmp_path / "all.zip")) as archive:
        assert archive.namelist() == ["prediction_00000.nii.gz", "prediction_00001.nii.gz"]
    assert check_submission(out, dataset="kits19").faults == ()
    rewrite(out / "prediction_00000.nii.gz", filled(4))
    (fault,) = check_submission(out).faults
    assert "[4] do not exist in kits19" in fault


def test_a_users_own_dataset(tmp_path: Path, nested_description) -> None:
    out = tmp_path / "out"
    out.mkdir()
    patient = make_for(nested_description, 0)
    labels = nested_description.scheme.label_map(patient.scheme.nesting(patient.label_map))
    for case in ("case_1", "case_2"):
        nib.save(nib.Nifti1Image(labels, patient.affine), out / f"{case}.nii.gz")
        for word in ("peel", "skin", "flesh", "core"):
            nib.save(nib.Nifti1Image(np.zeros_like(labels), patient.affine), out / f"{case}_unc_{word}.nii.gz")
        (out / f"{case}.json").write_text('{"labels": "onions"}')
    check = check_submission(out, dataset=nested_description, uncertainty=True)
    assert (check.faults, len(check.files), check.labels) == ((), 10, "onions")
    rewrite(out / "case_1.nii.gz", filled(9))
    assert "[9] do not exist in onions" in check_submission(out, dataset=nested_description).faults[0]
    with pytest.raises(InputError, match="manifest names the label values of 'onions', an unknown dataset"):
        check_submission(out)


def test_labels_by_scheme_or_description(folder: Path, patients: Path) -> None:
    for labels in (find_scheme("2020"), "2021"):
        assert check_submission(folder, cohort=patients, labels=labels).labels == "brats2017"
    assert check_submission(folder, cohort=patients, dataset=find_description("2020")).labels == "brats2017"


@pytest.mark.parametrize("year", ["2024", "2025", "2026"])
def test_names_are_those_that_the_challenge_of_a_year_takes(folder: Path, tmp_path: Path, year: str) -> None:
    place = tmp_path / "gli"
    place.mkdir()
    for name in ("BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-SSA-00001-000"):
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), place / f"{name}.nii.gz")
    both = check_submission(place, challenge=year).faults
    assert [fault for fault in both if "scan" in fault] == [
        f"{place}/BraTS-SSA-00001-000.nii.gz: is scan 00001-000 like {place}/BraTS-GLI-00001-000.nii.gz; "
        "a scan may be there only once"
    ]
    older = check_submission(folder, challenge=year).faults
    assert len([fault for fault in older if "takes only names that end like 00001-000.nii.gz" in fault]) == 2


def test_unknown_challenges(folder: Path) -> None:
    with pytest.raises(InputError, match="unknown challenge '2019'; choose from 2024, 2025, 2026"):
        check_submission(folder, challenge="2019")
