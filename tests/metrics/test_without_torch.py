"""The evaluator in an environment without torch, as somebody has it who only wants to score."""

import site
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import tunetseg

HEAVY = ("torch", "functorch", "pytorch_lightning", "lightning", "matplotlib", "tensorboard")


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
    words = ["evaluate", str(tmp_path / "p"), str(tmp_path / "r"), "--out", str(tmp_path / "scores.csv")]
    assert "rules brats2020" in run(bare, f"from tunetseg.cli.main import main; main({words!r})")
    assert (tmp_path / "scores.csv").read_text().count("\n") == 4
    words = ["compare", str(tmp_path / "scores.csv"), str(tmp_path / "scores.csv"), "--names", "a", "b"]
    assert "Mean rank" in run(bare, f"from tunetseg.cli.main import main; main({words!r})")


def test_import_is_quick() -> None:
    """Under 0.4 s: scipy, which takes longer, is imported when it is needed."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import tunetseg.metrics"], check=True)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.4
