"""An examination becomes a case: a series per channel, and a sentence on every choice."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.io.dicom import DicomCase, find_dicom_cases

from .conftest import SEQUENCES

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

Write = Callable[..., list[Path]]
ARRAY = np.arange(4 * 6 * 5, dtype=np.int16).reshape(4, 6, 5)
T1 = {"EchoTime": 10, "RepetitionTime": 500}


@pytest.fixture
def folder(tmp_path: Path, examination: Path) -> Path:
    return Path(shutil.copytree(examination, tmp_path / "visit"))


def only(folder: Path, **arguments: Any) -> DicomCase:
    (case,) = find_dicom_cases(folder, **arguments)
    return case


def warned(case: DicomCase) -> list[tuple[str, str]]:
    return [(finding.code, finding.level) for finding in case.findings if finding.level != "note"]


def test_four_channels(folder: Path) -> None:
    case = only(folder)
    assert case.id == "visit"
    assert {channel: one.key for channel, one in case.channels.items()} == {
        "t1": "1",
        "t1ce": "2",
        "t2": "3",
        "flair": "4",
    }
    assert warned(case) == []
    assert [finding.code for finding in case.findings] == ["sequence"] * 4
    images = case.read()
    assert {channel: image.array.min() for channel, image in images.items()} == {
        "t1": 1,
        "t1ce": 2,
        "t2": 3,
        "flair": 4,
    }
    assert images["t1"].grid.same_lattice(images["flair"].grid)


def test_json_names_nobody(folder: Path) -> None:
    case = only(folder)
    content = json.loads(json.dumps(case.to_dict()))
    assert content["channels"]["t1ce"]["series"] == "2"
    assert [one["key"] for one in content["others"]] == ["9"]
    assert "Meier" not in json.dumps(content)
    assert "Meier" not in repr(case)


def test_channels_in_the_order_that_is_asked_for(folder: Path) -> None:
    assert [*only(folder, channels=("flair", "t1")).channels] == ["flair", "t1"]


def test_missing_channel(folder: Path) -> None:
    shutil.rmtree(folder / "DICOM" / "B")
    case = only(folder)
    assert warned(case) == [("missing-channel", "refuse")] * 2
    with pytest.raises(InputError, match="no t2 series among 3"):
        case.read()


def test_ambiguous_series_is_offered_not_taken(folder: Path, write_series: Write) -> None:
    for path in (folder / "DICOM").rglob("flair*"):
        path.unlink()
    write_series(folder / "x", ARRAY, number=6, SeriesDescription="AX BRAIN", EchoTime=100, RepetitionTime=9000)
    case = only(folder)
    assert "flair" not in case.channels
    assert warned(case) == [("ambiguous-sequence", "refuse")]
    assert "series 6 (AX BRAIN) may be flair or t2" in case.findings[-1].message
    assert only(folder, choose={"flair": "6"}).channels["flair"].key == "6"


def test_uncertain_series_is_warned_of(folder: Path, write_series: Write) -> None:
    for path in (folder / "DICOM").rglob("t2*"):
        path.unlink()
    write_series(folder / "x", ARRAY, number=6, SeriesDescription="AX BRAIN", EchoTime=100, RepetitionTime=3500)
    assert warned(only(folder)) == [("sequence-uncertain", "warning")]


def test_thinner_series_is_taken_with_a_word(folder: Path, write_series: Write) -> None:
    write_series(folder / "x", ARRAY, number=7, step=1.0, spacing=(1.0, 1.0), SeriesDescription="T1 SE +C thin", **T1)
    case = only(folder)
    assert case.channels["t1ce"].key == "7"
    (finding,) = (finding for finding in case.findings if finding.code == "several-series")
    assert (finding.level, "thinner slices" in finding.message) == ("note", True)


def test_equal_series_are_warned_of(folder: Path, write_series: Write) -> None:
    for path in sorted((folder / "DICOM").rglob("t2*")):
        path.unlink()
    for number in (6, 7):
        write_series(
            folder / str(number), ARRAY, number=number, SeriesDescription="T2", EchoTime=90, RepetitionTime=3500
        )
    assert ("several-series", "warning") in warned(only(folder))


def test_refused_series_is_not_taken(folder: Path, write_series: Write) -> None:
    broken = {"SeriesDescription": "T2", "EchoTime": 90, "RepetitionTime": 3500}
    write_series(folder / "x", np.repeat(ARRAY, 2, 0), number=7, step=1.0, keep=lambda index: index != 3, **broken)
    assert only(folder).channels["t2"].key == "3"
    for path in (folder / "DICOM").rglob("t2*"):
        path.unlink()
    with pytest.raises(InputError, match=r"series 7 \(T2\): about 1 of 8 slices missing"):
        only(folder).read()


def test_choice(folder: Path) -> None:
    case = only(folder, choose={"t1": "2", "t1ce": "1"})
    assert (case.channels["t1"].key, case.channels["t1ce"].key) == ("2", "1")
    assert ("choice-contradicted", "warning") in warned(case)
    with pytest.raises(InputError, match=r"no series 77 for t1; choose from series 1 \(AX T1 SE\)"):
        only(folder, choose={"t1": "77"})
    with pytest.raises(InputError, match="given as t2 and as flair"):
        only(folder, choose={"flair": "3", "t2": "3"})


def test_t1_from_after_the_injection(folder: Path, write_series: Write) -> None:
    for path in (folder / "DICOM").rglob("t1[0-9]*"):
        path.unlink()
    write_series(folder / "x", ARRAY, number=8, SeriesDescription="AX T1", AcquisitionTime="113000", **T1)
    assert warned(only(folder)) == [("t1-after-contrast", "warning")]


def test_t1_from_before_the_injection_is_taken(folder: Path, write_series: Write) -> None:
    """Even where one from after it has thinner slices, and where the series with contrast agent was repeated."""
    for number, description, time, step in (
        (8, "SAG T1 SE", "103000", 1.0),
        (10, "AX T1 SE +C", "104000", 3.0),
    ):
        write_series(folder / description, ARRAY, number=number, step=step, SeriesDescription=description,
                     AcquisitionTime=time, **T1)  # fmt: skip
    case = only(folder)
    assert (case.channels["t1"].key, case.channels["t1ce"].name) == ("1", "series 10 (AX T1 SE +C)")
    (said,) = (one for one in case.findings if one.code == "several-series" and one.message.startswith("t1:"))
    assert "the one acquired before contrast agent was given, not series 8" in said.message
    assert warned(case) == []


def test_t1_from_between_two_with_contrast_agent(folder: Path, write_series: Write) -> None:
    for path in (folder / "DICOM").rglob("t1[0-9]*"):
        path.unlink()
    for number, description, time in ((7, "AX T1", "103000"), (8, "AX T1 SE +C", "104000")):
        write_series(folder / description, ARRAY, number=number, SeriesDescription=description, AcquisitionTime=time,
                     **T1)  # fmt: skip
    case = only(folder)
    assert (case.channels["t1"].key, case.channels["t1ce"].key) == ("7", "8")
    assert warned(case) == [("t1-after-contrast", "warning")]


def test_choice_applies_to_the_examinations_that_have_it(tmp_path: Path, write_series: Write) -> None:
    for visit in (1, 2):
        for number, (channel, tags) in enumerate(SEQUENCES.items(), start=10 * visit + 1):
            write_series(tmp_path / f"{visit}" / channel, ARRAY, number=number, StudyInstanceUID=f"1.2.{visit}",
                         AcquisitionTime=f"{10 + visit}{number}00", **tags)  # fmt: skip
    first, second = find_dicom_cases(tmp_path, choose={"t1": "12", "t1ce": "11"})
    assert [first.channels[name].key for name in ("t1", "t1ce")] == ["12", "11"]
    assert [second.channels[name].key for name in ("t1", "t1ce")] == ["21", "22"]
    assert [one.code for one in second.findings].count("choice-elsewhere") == 2
    assert warned(second) == []
    with pytest.raises(InputError, match=r"there is no series 77 for t1ce; choose from series 11"):
        find_dicom_cases(tmp_path, choose={"t1ce": "77"})


def test_other_frame_of_reference(folder: Path, write_series: Write) -> None:
    write_series(folder / "x", ARRAY, number=8, step=1.0, SeriesDescription="AX T2", EchoTime=90, RepetitionTime=3500,
                 FrameOfReferenceUID="1.2.9")  # fmt: skip
    assert warned(only(folder)) == [("frame-of-reference", "warning")]


def test_examinations_are_cases_of_their_own(folder: Path, write_series: Write) -> None:
    write_series(folder / "other", ARRAY, StudyInstanceUID="1.77", PatientID="another", PatientName="Other")
    cases = find_dicom_cases(folder)
    assert sorted(case.id for case in cases) == ["visit-1", "visit-2"]
    assert all(case.findings[0].code == "several-patients" for case in cases)
    assert sorted(len(case.channels) for case in cases) == [0, 4]


def test_series_of_one_number(folder: Path, write_series: Write) -> None:
    write_series(folder / "x", ARRAY, number=9, SeriesDescription="Localizer 2")
    assert [one.key for one in only(folder).series if one.key.startswith("9")] == ["9a", "9b"]


def test_progress(folder: Path) -> None:
    calls: list[tuple[str, float, float]] = []
    only(folder, progress=lambda *call: calls.append(call))
    assert calls[-1][0] == "reading headers"
    assert calls[-1][1] == calls[-1][2] == len(calls)
