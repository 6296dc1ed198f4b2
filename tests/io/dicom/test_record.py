"""A prepared DICOM series is found again among the series of its examination."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tunetseg.datasets import find_description, find_patients
from tunetseg.errors import InputError
from tunetseg.preparation.raw import prepare_case
from tunetseg.preparation.record import RawScan

from .conftest import SEQUENCES

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

Write = Callable[..., list[Path]]
GLIOMA = find_description("glioma")
ARRAY = np.arange(1, 6 * 6 * 5 + 1, dtype=np.int16).reshape(6, 6, 5)


def scans_of(folder: Path) -> dict[str, RawScan]:
    (case,) = find_patients(folder, GLIOMA)
    return prepare_case(case, GLIOMA, None, brain="none", registered=True).record.scans


def test_series_that_share_a_number(tmp_path: Path, write_series: Write) -> None:
    for number, (channel, tags) in enumerate(SEQUENCES.items(), start=1):
        write_series(tmp_path / channel, ARRAY, number=5 if number < 3 else number, **tags)
    scans = scans_of(tmp_path)
    assert [scan.key for scan in scans.values()].count("5b") == 1
    for scan in scans.values():
        found = scan.series()
        assert (found.uid, found.grid.same_lattice(scan.grid)) == (scan.uid, True)


def test_slices_of_a_series_in_two_folders(tmp_path: Path, write_series: Write) -> None:
    for number, (channel, tags) in enumerate(SEQUENCES.items(), start=1):
        for part in ("a", "b"):
            write_series(tmp_path / channel / part, ARRAY, number=number, SeriesInstanceUID=f"1.2.3.{number}",
                         keep=lambda index, part=part: (index < 3) == (part == "a"), **tags)  # fmt: skip
    scan = scans_of(tmp_path)["t1ce"]
    assert scan.place == str((tmp_path / "t1ce").resolve())
    assert scan.series().grid.shape == (5, 6, 6)
    for path in (tmp_path / "t1ce/b").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"holds other slices than those that were prepared of series 2 \(AX T1 SE"):
        scan.series()
    for path in (tmp_path / "t1ce/a").iterdir():
        path.rename(tmp_path / path.name)
    write_series(tmp_path / "t1ce", ARRAY, number=2)
    with pytest.raises(InputError, match="no longer holds series 2"):
        scan.series()


def test_echoes_of_a_series_share_a_grid(tmp_path: Path, write_series: Write) -> None:
    for number, (channel, tags) in enumerate(SEQUENCES.items(), start=1):
        write_series(tmp_path / channel, ARRAY, number=number, SeriesInstanceUID=f"1.2.3.{number}", **tags)
    tags = {**SEQUENCES["t2"], "EchoTime": 20, "SeriesDescription": "AX PD"}
    write_series(tmp_path / "t2", ARRAY, number=3, name="PD{}", SeriesInstanceUID="1.2.3.3",
                 each=lambda d, i: setattr(d, "SOPInstanceUID", f"1.2.9.{i}"), **tags)  # fmt: skip
    scan = scans_of(tmp_path)["t2"]
    assert scan.key == scan.series().key == "3.2"
