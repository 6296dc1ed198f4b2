"""From DICOM to a segmentation, and to DICOM SEG objects of the series."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import tunetseg
from tunetseg.cli.main import main
from tunetseg.datasets import find_description, find_patients
from tunetseg.datasets.phantom import make_for
from tunetseg.errors import InputError

from .conftest import SEQUENCES

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

GLIOMA = find_description("glioma")
Write = Callable[..., list[Path]]


def write_head(folder: Path, write_series: Write, seed: int = 1, coarse: str = "", **tags: str) -> Path:
    """A synthetic patient of 8 mm as four series, one of which may have only every second slice."""
    patient = make_for("glioma", seed, shape=(30, 30, 20), spacing=8.0)
    for number, (channel, own) in enumerate(SEQUENCES.items(), start=1):
        array = np.rint(np.asarray(patient.images[channel])).astype(np.int16).transpose(2, 1, 0)
        step = 16.0 if channel == coarse else 8.0
        array = array[::2] if channel == coarse else array
        time = f"10{number:02d}00"
        place = folder / channel
        write_series(place, array, number=number, spacing=(8.0, 8.0), step=step, AcquisitionTime=time, **own, **tags)
    array = np.ones((2, 4, 4), np.int16)
    write_series(folder / "scout", array, number=9, SeriesDescription="Localizer", **tags)
    return folder


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory, write_series: Write) -> Path:
    return write_head(tmp_path_factory.mktemp("export") / "anna", write_series)


@pytest.fixture
def segment(tiny_model: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*words: object) -> int:
        options = ["--out", str(tmp_path / "out"), "--model", str(tiny_model), "--device", "cpu"]
        return main(["segment", *map(str, words), *options])

    return run


def test_a_folder_and_an_archive(
    head: Path, segment: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(head, "--dicom-seg", "--probabilities") == 0
    said = capsys.readouterr().out
    assert said.startswith("anna: DICOM\n")
    assert "  t1ce   series 2 (AX T1 SE +C) (" in said
    assert "  not used: series 9 (Localizer)\n" in said
    assert "was taken as" not in said, "the series are listed once"
    out = tmp_path / "out"
    manifest = json.loads((out / "anna.json").read_text())
    assert manifest["inputs"]["flair"] == "series 4 (AX FLAIR)"
    flair = pydicom.dcmread(next((head / "flair").iterdir()))
    assert manifest["series"]["flair"]["uid"] == flair.SeriesInstanceUID
    assert manifest["series"]["flair"]["reasons"]
    assert {"anna_seg.dcm", "anna_prob.dcm", "anna.nii.gz"} <= set(manifest["files"])
    labels = pydicom.dcmread(out / "anna_seg.dcm")
    (referred,) = labels.ReferencedSeriesSequence
    assert referred.SeriesInstanceUID == pydicom.dcmread(next((head / "t1").iterdir())).SeriesInstanceUID
    plain = nib.load(out / "anna.nii.gz").get_fdata()
    archive = shutil.make_archive(str(tmp_path / "anna"), "zip", head)
    assert segment(archive, "--dicom-seg") == 0
    assert np.array_equal(nib.load(out / "anna.nii.gz").get_fdata(), plain)
    assert not (out / "anna_prob.dcm").exists(), "files of the earlier run are replaced"


def test_the_label_map_lies_where_the_seg_object_does(head: Path, tiny_model: Path, tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    result = tunetseg.segment(head, model=tiny_model)
    assert result.volumes_ml["whole"] > 0
    result.save(tmp_path, dicom=True)
    segmentation = highdicom.seg.segread(tmp_path / "anna_seg.dcm")
    for number, value in enumerate(result.scheme.exclusive_labels, start=1):
        expected = np.argwhere(result.label_map == value)
        if not len(expected):
            continue
        centre = (result.affine @ [*expected.mean(axis=0), 1])[:3]
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=False)
        found = np.argwhere(volume.array[..., 0] > 0)
        assert len(found) == len(expected)
        lps = (volume.affine @ [*found.mean(axis=0), 1])[:3]
        assert lps * [-1, -1, 1] == pytest.approx(centre, abs=0.01)


def test_series_on_other_grids(
    tmp_path: Path, segment: Callable[..., int], write_series: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    head = write_head(tmp_path / "anna", write_series, coarse="flair")
    assert segment(head, "--dicom-seg") == 0
    assert "note: flair lies on another grid and was brought to that of t1ce (8 x 8 x 8 mm)" in capsys.readouterr().out
    out = tmp_path / "out"
    assert nib.load(out / "anna.nii.gz").shape == (30, 30, 20)
    (referred,) = pydicom.dcmread(out / "anna_seg.dcm").ReferencedSeriesSequence
    assert referred.SeriesInstanceUID == pydicom.dcmread(next((head / "t1ce").iterdir())).SeriesInstanceUID
    assert segment(head, "--dicom-seg", "--grid", "flair") == 0
    assert nib.load(out / "anna.nii.gz").shape == (30, 30, 10)
    (referred,) = pydicom.dcmread(out / "anna_seg.dcm").ReferencedSeriesSequence
    assert referred.SeriesInstanceUID == pydicom.dcmread(next((head / "flair").iterdir())).SeriesInstanceUID


def test_a_series_that_is_not_found(
    tmp_path: Path, segment: Callable[..., int], write_series: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    head = write_head(tmp_path / "anna", write_series)
    for path in (head / "flair").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SeriesDescription = "brain"
        del dataset.InversionTime
        dataset.save_as(path)
    assert segment(head) == 2
    assert "error: anna: no flair series among 5" in capsys.readouterr().err
    assert segment(head, "--series", "flair=4") == 0
    assert segment(head, "--without", "flair") == 0
    assert segment(head, "--series", "flair=44") == 2
    assert "there is no series 44 for flair" in capsys.readouterr().err
    assert segment(head, "--series", "flair") == 2
    assert "write it as CHANNEL=NUMBER" in capsys.readouterr().err
    assert segment(head, "--series", "ct=4") == 2
    assert "--series ct: unknown channel" in capsys.readouterr().err


def test_a_folder_per_channel(head: Path, segment: Callable[..., int], tmp_path: Path) -> None:
    words = [word for name in SEQUENCES for word in (f"--{name}", str(head / name))]
    assert segment(*words, "--name", "anna", "--dicom-seg") == 0
    plain = nib.load(tmp_path / "out/anna.nii.gz").get_fdata()
    assert segment(head) == 0
    assert np.array_equal(nib.load(tmp_path / "out/anna.nii.gz").get_fdata(), plain)


def test_a_cohort_of_examinations(tmp_path: Path, write_series: Write) -> None:
    for number in (1, 2):
        tags = {"PatientID": f"P{number}", "PatientName": f"N{number}", "StudyInstanceUID": f"1.2.3.{number}"}
        write_head(tmp_path / "cohort" / f"patient-{number}", write_series, number, **tags)
    cases = find_patients(tmp_path / "cohort", GLIOMA)
    assert [case.id for case in cases] == ["patient-1", "patient-2"]
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "cohort")
    assert [case.id for case in find_patients(archive, GLIOMA)] == ["all-1", "all-2"]


def test_dicom_seg_of_other_files(mri_cohort: Path, segment: Callable[..., int]) -> None:
    folder = tunetseg.find_cases(mri_cohort)[0].images["t1"].parent
    assert segment(folder, "--dicom-seg") == 2
    with pytest.raises(InputError, match="holds no DICOM, but the series of t1 are named"):
        find_patients(folder, GLIOMA, series={"t1": "1"})


def test_raw_series_are_prepared_and_referred_to(head: Path, segment: Callable[..., int], tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK", reason="the extra prepare is not installed")
    words = ["prepare", str(head), "--out", str(tmp_path / "prepared"), "--brain", "none", "--registered"]
    assert main(words) == 0
    for grid, channel in ((), "t1ce"), (("--grid", "flair"), "flair"):
        assert segment(tmp_path / "prepared/anna", "--dicom-seg", *grid) == 0
        (referred,) = pydicom.dcmread(tmp_path / "out/anna_seg.dcm").ReferencedSeriesSequence
        own = pydicom.dcmread(next((head / channel).iterdir())).SeriesInstanceUID
        assert referred.SeriesInstanceUID == own


def test_a_series_that_is_missing_may_be_allowed(tiny_model: Path, tmp_path: Path, write_series: Write) -> None:
    folder = write_head(tmp_path / "berta", write_series)
    shutil.rmtree(folder / "t2")
    with pytest.raises(InputError, match="t2"):
        tunetseg.segment(folder, model=tiny_model)
    result = tunetseg.segment(folder, model=tiny_model, missing="allow")
    assert result.facts["missing"] == ("t2",)
    assert [one.level for one in result.findings if one.code == "missing-channel"] == ["warning"]
