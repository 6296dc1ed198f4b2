"""The command line as a person meets it: exit codes, sentences, files."""

import errno
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.cli.main import COMMANDS, main
from tunetseg.datasets.phantom import make_patient, write_patient
from tunetseg.models.store import ModelSpec, save_model
from tunetseg.networks import Architecture, build_network
from tunetseg.preparation.preprocess import Preprocessing


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    return write_patient(make_patient(0, shape=(48, 48, 32), spacing=5.0), tmp_path / "cohort", number=3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    architecture = Architecture("tunet-seb", base_filters=2, levels=2)
    path = tmp_path / "model.safetensors"
    save_model(
        path, build_network(architecture), ModelSpec(architecture, Preprocessing(spacing=8.0), (20, 24, 20), True)
    )
    return path


def test_segment_writes_what_the_challenge_wants(patient: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["segment", str(patient), "--out", str(out), "--model", str(model), "--probabilities"]) == 0
    name = "BraTS20_Training_003"
    parts = ("whole", "core", "enhance")
    wanted = {f"{name}.nii.gz", f"{name}.json"} | {
        f"{name}_{kind}_{part}.nii.gz" for kind in ("unc", "prob") for part in parts
    }
    assert {path.name for path in out.iterdir()} == wanted
    given = nib.load(next(patient.glob("*_t1.nii.gz")))
    for path in out.glob("*.nii.gz"):
        image = nib.load(path)
        assert image.shape == given.shape
        assert np.array_equal(image.affine, given.affine)
        for key in ("qform_code", "sform_code"):
            assert image.header[key] == given.header[key]
    probability = nib.load(out / f"{name}_prob_core.nii.gz").get_fdata()
    unsure = nib.load(out / f"{name}_unc_core.nii.gz").get_fdata()
    assert unsure == pytest.approx(200 * np.minimum(probability, 1 - probability), abs=0.51)
    manifest = json.loads((out / f"{name}.json").read_text())
    assert manifest["use"] == "research use, not a medical device"
    assert manifest["labels"] == "brats2017"


def test_four_files_and_a_year(patient: Path, model: Path, tmp_path: Path) -> None:
    files = [
        word
        for name in ("t1", "t1ce", "t2", "flair")
        for word in (f"--{name}", str(next(patient.glob(f"*_{name}.nii.gz"))))
    ]
    out = tmp_path / "out"
    assert (
        main(["segment", *files, "--name", "anna", "--labels", "2023", "--out", str(out), "--model", str(model)]) == 0
    )
    assert json.loads((out / "anna.json").read_text())["labels"] == "brats2023"
    assert set(np.unique(nib.load(out / "anna.nii.gz").dataobj)) <= {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["segment", "{patient}", "--out", "{out}", "--model", "nothing"], "neither a packaged model"),
        (["segment", "{patient}", "--out", "{out}", "--device", "tpu"], "cannot be used here"),
        (["segment", "{patient}", "--out", "{out}", "--labels", "1999"], "no such dataset"),
        (["segment", "--out", "{out}"], "give either patients' folders, before any --model, or four files"),
        (["segment", "{out}", "--out", "{out}"], "there is no such folder"),
        (["evaluate", "{out}", "{patient}"], "{out}"),
        (["train", "{patient}", "--out", "{out}", "--recipe", "nope"], "there are paper, quick"),
        (["train", "{patient}", "--out", "{out}", "--variant", "unet"], "no such network"),
        (["train", "{patient}", "--out", "{out}", "--fold", "x"], "give a number"),
        (["train", "{patient}", "--out", "{out}", "--recipe"], "--recipe"),
        (["segment", "{patient}", "--out", "{out}", "--model", "a", "--model", "b"], "--model: is there twice"),
        (["dance"], "there is no such command"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(
    words: list[str], said: str, patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([word.format(patient=patient, out=out) for word in words]) == 2
    error = capsys.readouterr().err
    assert said.format(out=out) in error
    assert "Traceback" not in error
    assert not list(out.glob("*")) if out.exists() else True


def test_broken_patient_leaves_nothing_behind(patient: Path, model: Path, tmp_path: Path) -> None:
    other = write_patient(make_patient(1, shape=(48, 48, 32), spacing=5.0), patient.parent, number=1)
    next(other.glob("*_flair.nii.gz")).unlink()
    out = tmp_path / "out"
    words = ["segment", str(patient.parent), "--out", str(out), "--model", str(model)]
    assert main(words) == 2
    assert not list(out.glob("BraTS20_Training_001*"))
    assert main([*words, "--skip-broken"]) == 0
    assert (out / "BraTS20_Training_003.json").exists()
    assert not list(out.glob("BraTS20_Training_001*"))


def test_info_names_every_variant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"name": "tunet", "parameters": 12_323_907} in facts["variants"]
    assert len(facts["variants"]) == 6
    assert facts["models"], "a model comes with the package"


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]])
def test_help_is_quick(command: list[str]) -> None:
    seconds = []
    while len(seconds) < 6 and min(seconds, default=1.0) >= 0.5:  # a busy machine may need several tries
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "tunetseg", *command, "--help"], capture_output=True, text=True, check=False
        )
        seconds.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stderr
        assert "usage: tunet" in done.stdout
    assert min(seconds) < 0.5


def test_every_field_of_a_recipe_is_a_flag(patient: Path, tmp_path: Path) -> None:
    write_patient(make_patient(1, shape=(48, 48, 32), spacing=5.0), patient.parent, number=1)
    words = "--folds 2 --base-filters 2 --levels 2 --stages.0.epochs 1 --stages.1.epochs 1 --stages.0.spacing 12 "
    words += (
        "--stages.0.patch 12 16 12 --stages.1.spacing 10 --stages.1.patch 16 20 16 --stages.0.augmentation.noise 0.3"
    )
    assert main(["train", str(patient.parent), "--out", str(tmp_path / "run"), *words.split()]) == 0
    record = json.loads((tmp_path / "run/run.json").read_text())["recipe"]
    assert record["base_filters"] == 2
    assert record["stages"][0]["augmentation"]["noise"] == 0.3
    assert main(["segment", str(patient), "--out", str(tmp_path / "out"), "--model", str(tmp_path / "run")]) == 0


def four_files(folder: Path, patient: Path) -> list[str]:
    """Copies of a patient's images that are called by their contrast alone."""
    folder.mkdir()
    words = []
    for name in ("t1", "t1ce", "t2", "flair"):
        copy = shutil.copy(next(patient.glob(f"*_{name}.nii.gz")), folder / f"{name}.nii.gz")
        words += [f"--{name}", str(copy)]
    return words


def test_a_patients_own_files_are_never_overwritten(
    patient: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = four_files(tmp_path / "in", patient)
    before = (tmp_path / "in/t1.nii.gz").read_bytes()
    assert main(["segment", *words, "--out", str(tmp_path / "in"), "--model", str(model)]) == 2
    assert "is the patient's own file" in capsys.readouterr().err
    assert (tmp_path / "in/t1.nii.gz").read_bytes() == before
    for name in ("../out", "a/b", ""):
        assert main(["segment", *words, "--out", str(tmp_path / "out"), "--name", name, "--model", str(model)]) == 2
        assert "cannot hold a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_disks_fault_is_no_fault_of_the_program(
    patient: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    words = ["segment", str(patient), "--out", str(tmp_path / "out"), "--model", str(model), "--probabilities"]
    assert main(words) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    monkeypatch.setattr(nib, "save", full)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "_unc_whole.nii.gz: No space left on device" in error
    assert "Traceback" not in error
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before, "the old result stands"


def test_where_results_cannot_go(
    patient: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out in ("file", "file/sub"):
        for words in (["segment", str(patient), "--model", str(model)], ["demo"], ["demo", "--seed", "-1"]):
            assert main([*words, "--out", str(tmp_path / out)]) == 2
            error = capsys.readouterr().err
            assert f"{tmp_path / 'file'}: is a file" in error or "seed -1" in error
