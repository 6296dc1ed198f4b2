"""Inspecting folders and archives of DICOM files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tunetseg.checks import inspect_place
from tunetseg.datasets import find_description
from tunetseg.datasets.phantom import make_for

from .conftest import SEQUENCES

GLIOMA = find_description("glioma")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory, write_series: Callable[..., list[Path]]) -> Path:
    """A synthetic patient of 4 mm as four series."""
    folder = tmp_path_factory.mktemp("head")
    patient = make_for("glioma", 1, shape=(60, 60, 40), spacing=4.0)
    for number, (channel, tags) in enumerate(SEQUENCES.items(), start=1):
        array = np.rint(np.asarray(patient.images[channel])).astype(np.int16).transpose(2, 1, 0)
        time = f"10{number:02d}00"
        place = folder / channel
        write_series(place, array, number=number, spacing=(4.0, 4.0), step=4.0, AcquisitionTime=time, **tags)
    return folder


def test_a_folder_and_an_archive(head: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "export"), "zip", head)
    for place in (head, Path(archive)):
        (found,) = inspect_place(place, GLIOMA)
        assert found.dataset == "DICOM"
        assert set(found.channels) == set(found.reasons) == {"t1", "t1ce", "t2", "flair"}
        assert all(found.reasons.values())
        assert [finding for finding in found.findings if finding.level != "note"] == []
        assert found.to_dict()["channels"] == found.channels


def test_a_missing_series_is_refused_once(head: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(head, tmp_path / "copy"))
    shutil.rmtree(folder / "flair")
    (found,) = inspect_place(folder, GLIOMA)
    assert [finding.code for finding in found.findings if finding.level == "refuse"] == ["missing-channel"]
    assert set(found.channels) == {"t1", "t1ce", "t2"}


def test_what_the_voxels_show_is_checked_too(
    tmp_path: Path, head: Path, write_series: Callable[..., list[Path]]
) -> None:
    folder = Path(shutil.copytree(head, tmp_path / "copy"))
    shutil.rmtree(folder / "flair")
    patient = make_for("glioma", 1, shape=(60, 60, 40), spacing=4.0)
    array = np.roll(np.rint(np.asarray(patient.images["flair"])).astype(np.int16), 4, axis=0).transpose(2, 1, 0)
    tags = SEQUENCES["flair"]
    write_series(folder / "flair", array, number=7, spacing=(4.0, 4.0), step=4.0, AcquisitionTime="100900", **tags)
    (found,) = inspect_place(folder, GLIOMA)
    assert "shifted" in [finding.code for finding in found.findings if finding.level == "warning"]
