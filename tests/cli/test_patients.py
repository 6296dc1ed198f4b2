"""What is shown while patients are segmented, and at the end."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from tunetseg.cli.patients import segment_patients
from tunetseg.datasets import Case, find_cases
from tunetseg.errors import InputError
from tunetseg.findings import Finding
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
    named = [line for line in lines if not line.startswith(("  note: ", "WARNING: "))]
    volumes = r": whole \d+\.\d ml, core \d+\.\d ml, enhancing \d+\.\d ml \(\d+\.\d s, \d of 2(, \d+ s left)?\)"
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
    odd = [Finding("odd", "note", "[red]odd image")]
    monkeypatch.setattr("tunetseg.inference.segment.check_volume", lambda *_: list(odd))
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


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_warnings_come_last(
    mri_cohort: Path, model: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = find_cases(mri_cohort)[:2]
    assert segment_patients(cases, tmp_path, model)
    lines = capsys.readouterr().out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("WARNING: "))
    assert lines[first - 1].startswith("Look at ")
    assert all(line.startswith("WARNING: ") for line in lines[first:])
    assert f"WARNING: {cases[1].id}: voxels of 10 x 10 x 10 mm" in "\n".join(lines[first:])
    manifest = json.loads((tmp_path / f"{cases[0].id}.json").read_text())
    assert {"thick-slices"} <= {finding["code"] for finding in manifest["findings"]}


def test_nothing_to_warn_of(mri_cohort: Path, model: Ensemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunetseg.inference.segment.check_volume", lambda *_: [])
    monkeypatch.setattr("tunetseg.inference.segment.check_result", lambda *_: [])
    assert not segment_patients(find_cases(mri_cohort)[:1], tmp_path, model)


def test_tables_of_volumes_and_faults(cases: list[Case], model: Ensemble, tmp_path: Path) -> None:
    segment_patients(cases, tmp_path / "out", model, skip_broken=True)
    volumes = rows(tmp_path / "out/volumes.csv")
    assert [row["case"] for row in volumes] == [cases[0].id, cases[2].id]
    manifest = json.loads((tmp_path / f"out/{cases[2].id}.json").read_text())
    assert float(volumes[1]["whole_ml"]) == manifest["volume_ml"]["whole"]
    assert "thick-slices" in volumes[0]["warnings"].split()
    (failed,) = rows(tmp_path / "out/failed.csv")
    assert failed["case"] == cases[1].id
    assert "not a NIfTI image" in failed["fault"]


def test_what_is_complete_is_skipped(
    mri_cohort: Path, model: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = find_cases(mri_cohort)[:3]
    segment_patients(cases[:2], tmp_path, model)
    first = tmp_path / f"{cases[0].id}.json"
    before = first.stat().st_mtime_ns
    capsys.readouterr()
    segment_patients(cases, tmp_path, model)
    assert "2 of 3 cases are complete and were skipped" in capsys.readouterr().err
    assert first.stat().st_mtime_ns == before
    assert len(rows(tmp_path / "volumes.csv")) == 3
    (tmp_path / f"{cases[0].id}_unc_core.nii.gz").unlink()
    segment_patients(cases, tmp_path, model)
    assert "2 of 3 cases are complete" in capsys.readouterr().err, "the result without a map is not complete"
    assert first.stat().st_mtime_ns > before
    for options in ({"redo": True}, {"picture": True}, {"probabilities": True}, {"labels": "2023"}):
        segment_patients(cases, tmp_path, model, **options)  # type: ignore[arg-type]
        assert "complete" not in capsys.readouterr().err


def test_another_model_skips_nothing(
    mri_cohort: Path, model: Ensemble, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = find_cases(mri_cohort)[:2]
    segment_patients(cases, tmp_path, model)
    segment_patients(cases, tmp_path, load_model(tiny_model, device="cpu", precision="32", mirror=True))
    assert "complete" not in capsys.readouterr().err


def test_an_interruption_says_what_is_done(
    mri_cohort: Path,
    model: Ensemble,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = find_cases(mri_cohort)[:3]
    predict = Ensemble.predict

    def stop(self: Ensemble, *given: object, task: str, **options: object) -> object:
        if task == cases[1].id:
            raise KeyboardInterrupt
        return predict(self, *given, task=task, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Ensemble, "predict", stop)
    with pytest.raises(KeyboardInterrupt):
        segment_patients(cases, tmp_path, model)
    assert f"1 of 3 cases are done in {tmp_path}; the same command does the others" in capsys.readouterr().out
    assert [row["case"] for row in rows(tmp_path / "volumes.csv")] == [cases[0].id]
