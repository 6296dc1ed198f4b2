"""What is shown while patients are segmented, and at the end."""

import re
import shutil
from pathlib import Path

import pytest

from tunetseg.cli.patients import segment_patients
from tunetseg.datasets import Case, find_cases
from tunetseg.errors import InputError
from tunetseg.inference.predictor import Ensemble, load_model


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Ensemble:
    return load_model(tiny_model, device="cpu", precision="32")


@pytest.fixture
def cases(mri_cohort: Path, tmp_path: Path) -> list[Case]:
    """Three cases, of which the second has a damaged T2."""
    shutil.copytree(mri_cohort, tmp_path / "cohort")
    found = find_cases(tmp_path / "cohort")[:3]
    found[1].images["t2"].write_bytes(b"damaged")
    return found


def test_one_line_per_case(
    mri_cohort: Path, model: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = find_cases(mri_cohort)[:2]
    segment_patients(cases, tmp_path / "out", model, picture=True)
    said = capsys.readouterr()
    assert said.err == "2 case(s), 1 model(s), on cpu\n"
    lines = said.out.splitlines()
    named = [line for line in lines if not line.startswith("  note: ")]
    volumes = r": whole \d+\.\d ml, core \d+\.\d ml, enhancing \d+\.\d ml \(\d+\.\d s\)"
    for line, case in zip(named, cases, strict=False):
        assert re.fullmatch(re.escape(case.id) + volumes, line)
    assert named[2:] == [
        f"Look at {tmp_path / 'out'}: <case>.nii.gz (labels of brats2017), <case>_unc_*.nii.gz (0 certain to 100 "
        "uncertain), <case>.json, <case>.png. Research use, not a medical device."
    ]


def test_notes_are_shown(
    mri_cohort: Path,
    model: Ensemble,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tunetseg.inference.segment._image_notes", lambda *_: ["[red]odd image"])
    segment_patients(find_cases(mri_cohort)[:1], tmp_path, model)
    assert "\n  note: [red]odd image\n" in capsys.readouterr().out


def test_a_broken_case_stops_the_work_and_says_how_far_it_came(
    cases: list[Case], model: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = r"_t2\.nii\.gz: not a NIfTI image.* \(1 of 3 cases are done; see --skip-broken\)"
    with pytest.raises(InputError, match=reason):
        segment_patients(cases, tmp_path / "out", model)
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == {cases[0].id}
    assert "Look at" not in capsys.readouterr().out
    with pytest.raises(InputError) as caught:
        segment_patients(cases[1:2], tmp_path / "out", model)
    assert "cases are done" not in str(caught.value)


def test_a_missing_file_is_found_before_the_work(cases: list[Case], model: Ensemble, tmp_path: Path) -> None:
    cases[2].images["flair"].unlink()
    with pytest.raises(InputError, match="there is no such flair file"):
        segment_patients(cases, tmp_path / "out", model)
    assert not (tmp_path / "out").exists()


def test_broken_cases_are_left_out(
    cases: list[Case], model: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases[2].images["flair"].unlink()
    segment_patients(cases, tmp_path / "out", model, skip_broken=True)
    said = capsys.readouterr()
    assert said.err.count("warning: left out: ") == 2
    assert f"warning: left out: {cases[1].images['t2']}: not a NIfTI image" in said.err
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == {cases[0].id}


def test_nothing_is_left(cases: list[Case], model: Ensemble, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of 1 cases could be segmented; the last fault: .*_t2"):
        segment_patients(cases[1:2], tmp_path / "out", model, skip_broken=True)
