"""``tunet prepare``: from raw scans to images for a model, and the result back on the scans."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tunetseg.cli.main import main
from tunetseg.datasets.phantom import make_for
from tunetseg.io import Grid
from tunetseg.preparation.regrid import regrid

pytest.importorskip("SimpleITK", reason="the extra prepare is not installed")

CHANNELS = ("t1", "t1ce", "t2", "flair")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A patient of 4 mm with a scalp, whose FLAIR is turned and has slices of 8 mm."""
    folder = tmp_path_factory.mktemp("raw") / "anna"
    folder.mkdir()
    patient = make_for("glioma", 1, shape=(60, 60, 40), spacing=4.0)
    grid = Grid(patient.affine, (60, 60, 40))
    brain = np.asarray(patient.images["t1ce"]) != 0
    scalp = np.linalg.norm((np.indices((60, 60, 40)).T - [29.5, 29.5, 19.5]) / [27, 29, 19], axis=-1).T < 1
    nib.save(nib.Nifti1Image(brain.astype(np.uint8), patient.affine), folder.parent / "mask.nii.gz")
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [8, -5, 6], degrees=True).as_matrix()
    turn[:3, 3] = 7, -6, 5
    for name in CHANNELS:
        array = np.asarray(patient.images[name], np.float32)
        array = np.where(brain, array, np.where(scalp, 0.6 * np.median(array[brain]), 0)).astype(np.float32)
        affine = patient.affine
        if name == "flair":
            thick = Grid(patient.affine @ np.diag([1, 1, 2, 1]), (60, 60, 20))
            array, affine = regrid(array, grid, thick), turn @ thick.affine
        nib.save(nib.Nifti1Image(array, affine), folder / f"{name}.nii.gz")
    np.savetxt(folder.parent / "turn.txt", turn)
    return folder


@pytest.fixture(scope="module")
def prepared(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    assert main(["prepare", str(scans), "--out", str(out), "--mask", str(scans.parent / "mask.nii.gz")]) == 0
    return out / "anna"


def test_what_is_written(scans: Path, prepared: Path) -> None:
    assert {path.name for path in prepared.iterdir()} == {
        *(f"{name}.nii.gz" for name in CHANNELS),
        "brain_mask.nii.gz",
        "preparation.json",
    }
    mask = nib.load(scans.parent / "mask.nii.gz").get_fdata() > 0
    raw = nib.load(scans / "t1ce.nii.gz")
    t1ce = nib.load(prepared / "t1ce.nii.gz")
    assert np.array_equal(t1ce.get_fdata(), raw.get_fdata() * mask), "the reference is not interpolated"
    record = json.loads((prepared / "preparation.json").read_text())
    assert (record["reference"], record["brain"]) == ("t1ce", "the mask mask.nii.gz")
    turn = np.loadtxt(scans.parent / "turn.txt")
    places = np.argwhere(mask)[::500] @ raw.affine[:3, :3].T + raw.affine[:3, 3]
    moved = places @ turn[:3, :3].T + turn[:3, 3]
    move = np.array(record["scans"]["flair"]["to_reference"])
    assert np.linalg.norm(moved @ move[:3, :3].T + move[:3, 3] - places, axis=1).max() < 2
    flair = nib.load(prepared / "flair.nii.gz")
    assert np.allclose(flair.affine, raw.affine)
    plain = np.asarray(make_for("glioma", 1, shape=(60, 60, 40), spacing=4.0).images["flair"])
    assert np.corrcoef(flair.get_fdata()[mask], plain[mask])[0, 1] > 0.85


def test_the_result_goes_back_to_the_raw_scan(
    scans: Path, prepared: Path, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = make_model(tmp_path / "model.safetensors", patch_size=(24, 24, 16))
    words = ["segment", str(prepared), "--model", str(model), "--device", "cpu", "--postprocessing", "none"]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    assert main([*words, "--out", str(tmp_path / "b"), "--grid", "flair"]) == 0
    one, two = nib.load(tmp_path / "a/anna.nii.gz"), nib.load(tmp_path / "b/anna.nii.gz")
    raw = nib.load(scans / "flair.nii.gz")
    assert two.shape == raw.shape
    assert np.allclose(two.affine, raw.affine, atol=1e-4)
    first, second = one.get_fdata() > 0, two.get_fdata() > 0
    assert first.any()
    turn = np.loadtxt(scans.parent / "turn.txt")
    centre = one.affine @ [*np.argwhere(first).mean(axis=0), 1]
    there = two.affine @ [*np.argwhere(second).mean(axis=0), 1]
    assert np.linalg.norm(turn @ centre - there) < 2
    assert second.sum() * 2 == pytest.approx(first.sum(), rel=0.1)
    manifest = json.loads((tmp_path / "b/anna.json").read_text())
    assert manifest["grid"] == "flair"


def test_what_cannot_be_prepared(
    scans: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunetseg.preparation.brain.installed_extractors", lambda: [])
    assert main(["prepare", str(scans), "--out", str(tmp_path)]) == 2
    assert "no brain extraction is installed; install one of hd-bet" in capsys.readouterr().err
    mask = scans.parent / "mask.nii.gz"
    empty = tmp_path / "empty.nii.gz"
    image = nib.load(mask)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), empty)
    for words, said in (
        ((scans, "--mask", empty), "marks nothing in the image"),
        ((scans, "--mask", mask, "--reference", "ct"), "no ct image; register to one of"),
        (("--t1", scans / "t1.nii.gz", "--mask", mask), "no t1ce"),
        ((prepared.parent, "--name", "b", "--brain", "bet"), "unknown brain extraction 'bet'"),
    ):
        assert main(["prepare", *map(str, words), "--out", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err
    assert main(["segment", str(prepared), "--out", str(tmp_path / "o"), "--dicom-seg"]) == 2
    assert "was not read from DICOM" in capsys.readouterr().err


def test_images_that_have_been_stripped_and_registered(prepared: Path, tmp_path: Path) -> None:
    assert main(["prepare", str(prepared), "--out", str(tmp_path), "--brain", "none", "--registered"]) == 0
    for name in CHANNELS:
        before, after = (nib.load(folder / f"{name}.nii.gz").get_fdata() for folder in (prepared, tmp_path / "anna"))
        assert np.array_equal(before, after)


def test_neither_inputs_nor_files_of_others_are_replaced(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The images of a case lie where those that are made of it would."""
    own = tmp_path / "anna"
    own.mkdir()
    for path in prepared.glob("*.nii.gz"):
        (own / path.name).write_bytes(path.read_bytes())
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    assert main(["prepare", str(own), "--out", str(tmp_path), "--brain", "none"]) == 2
    assert "is a file that the case is made of; choose another folder" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before
    other = tmp_path / "out/anna"
    other.mkdir(parents=True)
    (other / "preparation.json").write_text("{}")
    assert main(["prepare", str(own), "--out", str(tmp_path / "out"), "--brain", "none"]) == 2
    assert "preparation.json: exists and was not written by tunetseg" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["preparation.json"]
