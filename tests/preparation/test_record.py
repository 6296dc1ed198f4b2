"""The record of a prepared case: what is read is what was written, and damage is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunetseg.datasets import Case
from tunetseg.errors import InputError
from tunetseg.io import Grid
from tunetseg.preparation.record import RECORD, RawScan, Record, is_record, read_record

MOVE = np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]], float)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A prepared case with one scan."""
    scan = RawScan("raw/t1.nii.gz", Grid.from_spacing((1, 2, 3), (4, 5, 6)), MOVE, "", "", "")
    Record("t1", {"t1": scan}, "none").save(tmp_path)
    return Case("p", {"t1": tmp_path / "t1.nii.gz"})


def test_what_is_written_is_read(case: Case, tmp_path: Path) -> None:
    record = read_record(case)
    assert record is not None
    assert (record.reference, record.brain, record.scans["t1"].source) == ("t1", "none", "raw/t1.nii.gz")
    assert np.array_equal(record.scans["t1"].move, MOVE)
    assert record.scans["t1"].grid.same_lattice(Grid.from_spacing((1, 2, 3), (4, 5, 6)))
    assert is_record(tmp_path / RECORD)


def test_a_case_without_a_record(tmp_path: Path) -> None:
    assert read_record(Case("p", {"t1": tmp_path / "t1.nii.gz"})) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("to_reference", [[1, 0, 0, 0]] * 4),
        ("to_reference", [1, 2]),
        ("to_reference", "x"),
        ("shape", [1, 2]),
        ("affine", None),
        ("dicom", "here"),
    ],
)
def test_a_damaged_record(case: Case, tmp_path: Path, key: str, value: Any) -> None:
    said = json.loads((tmp_path / RECORD).read_text())
    said["scans"]["t1"][key] = value
    (tmp_path / RECORD).write_text(json.dumps(said))
    with pytest.raises(InputError):
        read_record(case)
    (tmp_path / RECORD).write_text("{}")
    with pytest.raises(InputError, match=r"preparation\.json: damaged; prepare the case again"):
        read_record(case)
