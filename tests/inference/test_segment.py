"""A patient's geometry goes in and comes out, whatever way the file lies; nothing old stands beside the new."""

import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, ornt_transform

from tunetseg.datasets import Case, find_cases
from tunetseg.datasets.phantom import make_patient, write_patient
from tunetseg.errors import InputError
from tunetseg.inference.ensemble import Ensemble
from tunetseg.inference.segment import segment_cases
from tunetseg.models.device import uses_bfloat16
from tunetseg.models.zoo import find_model
from tunetseg.report.figure import draw_segmentation


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patient(make_patient(2, shape=(80, 80, 52), spacing=3.0), tmp_path_factory.mktemp("cohort"))


def segment(folder: Path, out: Path, **options: object) -> Case:
    (case,) = find_cases(folder)
    segment_cases([case], out, Ensemble((find_model(),), torch.device("cpu"), precision="32"), **options)  # type: ignore[arg-type]
    return case


def turned_copy(patient: Path, folder: Path, codes: str, shear: np.ndarray) -> Path:
    """The same head in the same place, stored along other axes, in a world turned by ``shear``."""
    folder.mkdir()
    for path in patient.glob("*.nii.gz"):
        image = nib.load(path)
        turn = ornt_transform(axcodes2ornt(nib.aff2axcodes(image.affine)), axcodes2ornt(tuple(codes)))
        moved = image.as_reoriented(turn)
        copy = nib.Nifti1Image(np.asarray(moved.dataobj), shear @ moved.affine)
        copy.set_qform(copy.affine, code=2)
        copy.set_sform(copy.affine, code=4)
        nib.save(copy, folder / path.name)
    return folder


@pytest.mark.parametrize("codes", ["RAS", "PSL", "IAR"])
def test_orientation_makes_no_difference(patient: Path, tmp_path: Path, codes: str) -> None:
    case = segment(patient, tmp_path / "straight")
    angle = np.deg2rad(4)
    oblique = np.eye(4)
    oblique[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    folder = turned_copy(patient, tmp_path / case.id, codes, oblique)
    segment(folder, tmp_path / "turned")
    straight = nib.load(tmp_path / f"straight/{case.id}.nii.gz")
    turned = nib.load(tmp_path / f"turned/{case.id}.nii.gz")
    given = nib.load(next(folder.glob("*_t1.nii.gz")))
    assert np.array_equal(turned.affine, given.affine)
    assert (int(turned.header["qform_code"]), int(turned.header["sform_code"])) == (2, 4)
    back = ornt_transform(axcodes2ornt(tuple(codes)), axcodes2ornt(nib.aff2axcodes(straight.affine)))
    again = nib.orientations.apply_orientation(np.asarray(turned.dataobj), back)
    assert np.asarray(straight.dataobj).any()
    # Sums run in another order, so a probability at one half may fall to either side.
    assert np.mean(again != np.asarray(straight.dataobj)) < 1e-5


def test_labels_follow_the_patients_year(patient: Path, tmp_path: Path) -> None:
    case = segment(patient, tmp_path / "own")
    segment(patient, tmp_path / "asked", labels="2023")
    own, asked = (np.asarray(nib.load(tmp_path / f"{name}/{case.id}.nii.gz").dataobj) for name in ("own", "asked"))
    assert (own == 4).any()
    assert np.array_equal(own == 4, asked == 3)
    assert np.array_equal(own == 2, asked == 2)


def test_nothing_old_stands_beside_the_new(patient: Path, tmp_path: Path) -> None:
    case = segment(patient, tmp_path / "out", probabilities=True)
    draw_segmentation(case, tmp_path / "out", tmp_path / f"out/{case.id}.png")
    bystander = tmp_path / "out" / f"{case.id}_notes.txt"
    bystander.write_text("mine")
    segment(patient, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    manifest = json.loads((tmp_path / f"out/{case.id}.json").read_text())
    assert names == {*manifest["files"], f"{case.id}.json", bystander.name}


def test_the_packaged_model_finds_the_embedded_tumour(patient: Path, tmp_path: Path) -> None:
    case = segment(patient, tmp_path / "out")
    assert case.segmentation is not None
    found = np.asarray(nib.load(tmp_path / f"out/{case.id}.nii.gz").dataobj) > 0
    truth = np.asarray(nib.load(case.segmentation).dataobj) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_what_an_interrupted_run_left_goes_too(patient: Path, tmp_path: Path) -> None:
    segment(patient, tmp_path / "out", probabilities=True)
    for ending in (".json", ".nii.gz"):
        (tmp_path / "out" / f"{patient.name}{ending}").unlink()
    segment(patient, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*_prob_*"))
    assert not list((tmp_path / "out").glob(".*"))


def test_an_image_with_its_background_is_noticed(patient: Path, tmp_path: Path) -> None:
    folder = tmp_path / patient.name
    shutil.copytree(patient, folder)
    path = next(folder.glob("*_t1ce.nii.gz"))
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj, np.float32) - 1024, image.affine), path)
    for given, noted in ((patient, []), (folder, ["t1ce"])):
        segment(given, tmp_path / "out")
        notes = json.loads((tmp_path / f"out/{patient.name}.json").read_text())["notes"]
        assert [name for name in ("t1 ", "t1ce", "t2", "flair") if any(name in note for note in notes)] == noted


def test_results_among_a_flat_cohorts_images(patient: Path, tmp_path: Path) -> None:
    """Whatever the cases are called, nobody's images go, nor maps that are not ours."""
    for name in ("a", "a_unc_b"):
        for path in patient.glob("*.nii.gz"):
            shutil.copy(path, tmp_path / path.name.replace(patient.name, name))
    (tmp_path / "a_prob_map_from_elsewhere.nii.gz").touch()
    before = {path.name for path in tmp_path.iterdir()}
    ensemble = Ensemble((find_model(),), torch.device("cpu"), precision="32")
    segment_cases(find_cases(tmp_path), tmp_path, ensemble)
    segment_cases(find_cases(tmp_path), tmp_path, ensemble)
    assert before < {path.name for path in tmp_path.iterdir()}


def test_a_stop_in_the_middle_leaves_the_old_maps(
    patient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment(patient, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}

    def stop(source: Path, target: Path) -> None:
        if source.name != target.name or not target.name.endswith(".nii.gz"):
            return real(source, target)
        raise KeyboardInterrupt

    real = os.replace
    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        segment(patient, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names - {f"{patient.name}.json"}, "all but what says complete"


def test_an_experts_label_map_stays(patient: Path, tmp_path: Path) -> None:
    (case,) = find_cases(patient)
    assert case.segmentation is not None
    (tmp_path / "out").mkdir()
    drawn = shutil.copy(case.segmentation, tmp_path / f"out/{case.id}.nii.gz")
    before = Path(drawn).read_bytes()
    with pytest.raises(InputError, match="was not written by tunetseg"):
        segment(patient, tmp_path / "out")
    assert Path(drawn).read_bytes() == before


@pytest.mark.parametrize("ending", [".json", ".png", "_prob_whole.nii.gz"])
def test_nobody_elses_file_is_written_over_or_removed(ending: str, patient: Path, tmp_path: Path) -> None:
    theirs = tmp_path / f"{patient.name}{ending}"
    theirs.write_text('{"RepetitionTime": 2.3}')
    with pytest.raises(InputError, match=f"{theirs.name}: is there already and was not written by tunetseg"):
        segment(patient, tmp_path)
    assert theirs.read_text() == '{"RepetitionTime": 2.3}'
    assert list(tmp_path.iterdir()) == [theirs]


def test_our_own_files_of_an_earlier_run_go(patient: Path, tmp_path: Path) -> None:
    segment(patient, tmp_path, probabilities=True)
    draw_segmentation(find_cases(patient)[0], tmp_path, tmp_path / f"{patient.name}.png")
    assert len(list(tmp_path.iterdir())) == 9
    segment(patient, tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_run_folder_called_like_a_packaged_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = find_model()
    shutil.copytree(packaged.parent, tmp_path / packaged.parent.name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"write \./narrow for the folder"):
        find_model("narrow")
    assert find_model("./narrow") == Path("narrow/model.safetensors")


def test_bf16_that_is_only_emulated_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a V100 has it."""
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not uses_bfloat16("auto", torch.device("cuda"))


def test_a_header_that_does_not_say_how_the_patient_lies(patient: Path, tmp_path: Path) -> None:
    (tmp_path / patient.name).mkdir()
    for path in patient.glob("*.nii.gz"):
        image = nib.load(path)
        bare = nib.Nifti1Image(np.asarray(image.dataobj), None)
        bare.header.set_zooms(image.header.get_zooms())
        nib.save(bare, tmp_path / patient.name / path.name)
    segment(tmp_path / patient.name, tmp_path / "out")
    (note,) = json.loads((tmp_path / f"out/{patient.name}.json").read_text())["notes"]
    assert "does not say how the patient lies" in note
