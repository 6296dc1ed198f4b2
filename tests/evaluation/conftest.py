"""Small label maps, and folders of them, that the tests of the evaluator share."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.evaluation.evaluate import evaluate

SHAPE = (12, 10, 8)


def _tumour(*, enhancing: int = 4, shift: int = 0) -> np.ndarray:
    """Nested boxes: 192 voxels whole, 48 of them core, 8 of these enhancing."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1 + shift : 9 + shift, 2:8, 2:6] = 2
    labels[3 + shift : 7 + shift, 3:7, 2:5] = 1
    if enhancing:
        labels[4 + shift : 6 + shift, 4:6, 3:5] = enhancing
    return labels


def _save(path: Path, labels: np.ndarray, *, dtype: type = np.uint8, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels.astype(dtype), np.eye(4) if affine is None else affine), path)
    return path


def _flat(folder: Path, **cases: np.ndarray) -> Path:
    for name, labels in cases.items():
        _save(folder / f"{name}.nii.gz", labels)
    return folder


def _cohort(folder: Path, **cases: np.ndarray) -> Path:
    """Reference segmentations, named as in the year that the names of the cases say."""
    for given, labels in cases.items():
        name = given.replace("__", "-")
        separator = "-" if name.startswith("BraTS-") else "_"
        _save(folder / name / f"{name}{separator}seg.nii.gz", labels)
    return folder


def _with_images(folder: Path, labels: np.ndarray, case: str = "BraTS19_CBICA_X_1") -> Path:
    """A case of 2019 whose brain is all but the rim of the grid."""
    brain = np.zeros(SHAPE)
    brain[1:-1, 1:-1, 1:-1] = 100
    _cohort(folder, **{case: labels})
    for suffix in ("t1", "t1ce", "t2", "flair"):
        _save(folder / f"{case}/{case}_{suffix}.nii.gz", brain, dtype=np.int16)
    return folder


def _row(scores, case: str, region: str) -> dict:
    (row,) = [row for row in scores.rows if (row["case"], row["region"]) == (case, region)]
    return row


@pytest.fixture(scope="session")
def tumour():
    return _tumour


@pytest.fixture(scope="session")
def save():
    return _save


@pytest.fixture(scope="session")
def flat():
    return _flat


@pytest.fixture(scope="session")
def cohort():
    return _cohort


@pytest.fixture(scope="session")
def with_images():
    return _with_images


@pytest.fixture(scope="session")
def row_of():
    return _row


@pytest.fixture
def references(tmp_path) -> Path:
    """Cases a and b in a flat folder."""
    return _flat(tmp_path / "references", a=_tumour(), b=_tumour())


def _cube(size: int, shift: int = 0) -> np.ndarray:
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[2 + shift : 12 + shift, 2:12, 2:12] = 2
    labels[3 + shift : 3 + shift + size, 3:9, 3:9] = 1
    labels[4 + shift : 3 + shift + size - 1, 4:8, 4:8] = 4
    return labels


@pytest.fixture
def rewrite() -> Callable[[Path, str], None]:
    """A function that changes a table as if it had been evaluated so, without a checksum."""

    def write(table: Path, text: str) -> None:
        table.write_text(text)
        summary = table.with_suffix(".json")
        facts = json.loads(summary.read_text())
        summary.write_text(json.dumps({key: value for key, value in facts.items() if key != "table_sha256"}))

    return write


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """A good and a worse method on eight cases, evaluated."""
    written = []
    for method, worse in (("truth", 0), ("good", 1), ("bad", 2)):
        folder = tmp_path / method
        folder.mkdir()
        for case in range(8):
            labels = _cube(6 + case % 3, shift=min(worse, (case + worse) % 4))
            nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / f"case{case}.nii.gz")
        if method != "truth":
            evaluate(folder, tmp_path / "truth").save(tmp_path / f"{method}.csv")
            written.append(tmp_path / f"{method}.csv")
    return written
