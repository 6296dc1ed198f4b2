"""Segmenting and evaluating in an environment without PyTorch, as ``pip install tunetseg`` makes it."""

import json
import site
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import tunetseg
from tunetseg.models.companion import onnx_file
from tunetseg.models.store import read_spec
from tunetseg.models.zoo import find_models

HEAVY = ("torch", "functorch", "pytorch_lightning", "lightning", "tensorboard", "onnx", "monai")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of packages: all that are installed, but for the heavy ones."""
    folder = tmp_path / "site"
    folder.mkdir()
    for packages in site.getsitepackages():
        for path in Path(packages).iterdir():
            if not path.name.startswith(HEAVY) and not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)
    if not (folder / "tunetseg").exists():
        (folder / "tunetseg").symlink_to(Path(tunetseg.__file__).parent)
    return folder


def command(bare: Path, *words: object) -> str:
    """Run a command line, and check that it ends well."""
    return run(bare, f"from tunetseg.cli.main import main; sys.exit(main({[str(word) for word in words]!r}))")


def run(bare: Path, code: str) -> str:
    """Run code with nothing importable but the standard library and that folder."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(bare)!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_no_torch(bare: Path) -> None:
    assert run(bare, "import importlib.util; print(importlib.util.find_spec('torch'))").strip() == "None"


def test_metrics_work(bare: Path) -> None:
    code = "import numpy as np; from tunetseg.metrics import hausdorff; m = np.ones((3, 3, 3), bool); "
    assert run(bare, code + "print(hausdorff(m, m, (1, 1, 1)))").strip() == "0.0"


def test_the_command_works(bare: Path, tmp_path: Path) -> None:
    for side in ("p", "r"):
        (tmp_path / side).mkdir()
        labels = np.zeros((8, 8, 8), np.uint8)
        labels[2:6, 2:6, 2:6] = 2
        nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / side / "a.nii.gz")
    scores = tmp_path / "scores.csv"
    assert "rules brats2020" in command(bare, "evaluate", tmp_path / "p", tmp_path / "r", "--out", scores)
    assert scores.read_text().count("\n") == 4
    assert "Mean rank" in command(bare, "compare", scores, scores, "--names", "a", "b")


def test_the_demo(bare: Path, tmp_path: Path) -> None:
    text = command(bare, "demo", "--out", tmp_path / "demo")
    assert "whole" in text
    assert (tmp_path / "demo" / "scores.csv").is_file()
    (manifest,) = (tmp_path / "demo" / "segmentation").glob("*.json")
    assert json.loads(manifest.read_text())["settings"]["engine"].startswith("openvino")


def test_segmenting_and_tuning(bare: Path, tmp_path: Path, mri_cohort: Path) -> None:
    """Probabilities, calibration stored in a model, uncertainty from it: all in NumPy."""
    (packaged,) = find_models(["fast"])
    model = tmp_path / "model.safetensors"
    for path in (packaged, onnx_file(packaged)):
        model.with_suffix(path.suffix).write_bytes(path.read_bytes())
    words = ("segment", mri_cohort, "--model", model, "--out")
    assert "4 of 4" in command(bare, *words, tmp_path / "before", "--probabilities", "--mirror")
    command(
        bare, "tune", tmp_path / "before", mri_cohort, "--out", tmp_path / "rules.toml", "--model", model, "--folds", 2
    )
    assert read_spec(model).calibration
    command(bare, *words, tmp_path / "after", "--postprocessing", tmp_path / "rules.toml")
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "after").glob("*.json")]
    assert len(manifests) == 4
    assert all(manifest["settings"]["calibrated"] for manifest in manifests)


def test_what_needs_torch_says_so(bare: Path, tmp_path: Path, mri_cohort: Path) -> None:
    assert "openvino" in command(bare, "info")
    words = ["train", str(mri_cohort), "--out", str(tmp_path / "run")]
    code = f"from tunetseg.cli.main import main; sys.stderr = sys.stdout; print('code', main({words!r}))"
    said = run(bare, code)
    assert "tunetseg[train]" in said
    assert said.endswith("code 1\n")


@pytest.mark.slow
def test_the_small_installation(tmp_path: Path) -> None:
    """What ``make demo`` does, in an environment of its own."""
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / "bin"
    install = [programs / "pip", "install", "-q", "--no-deps"]
    subprocess.run([*install, "--require-hashes", "-r", root / "requirements-segment.lock"], check=True)
    subprocess.run([*install, "--no-build-isolation", root], check=True)
    subprocess.run([programs / "tunet", "demo", "--out", tmp_path / "demo"], check=True, cwd=tmp_path)
    assert (tmp_path / "demo" / "scores.csv").is_file()
    assert subprocess.run([programs / "python", "-c", "import torch"], check=False, capture_output=True).returncode == 1


def test_import_is_quick() -> None:
    """Under 0.4 s: scipy, which takes longer, is imported when it is needed."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import tunetseg.metrics"], check=True)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.4
