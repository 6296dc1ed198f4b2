"""What is shown while patients are segmented, and at the end."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.cli.main import main
from tunetseg.cli.patients import Outcome, Wanted, segment_patients
from tunetseg.datasets import Case, Postprocessing, find_cases
from tunetseg.datasets.phantom import write_cohort
from tunetseg.errors import InputError
from tunetseg.findings import Finding
from tunetseg.inference.predictor import Ensemble, load_model
from tunetseg.io.scratch import locked


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
    segment_patients(cases, tmp_path / "out", model, Wanted(picture=True))
    said = capsys.readouterr()
    assert re.fullmatch(r"2 cases, 1 model, torch .* on cpu\n", said.err)
    lines = said.out.splitlines()
    named = [line for line in lines if not line.startswith(("  note: ", "WARNING: "))]
    volumes = r": whole \d+\.\d ml, core \d+\.\d ml, enhancing \d+\.\d ml \(\d+\.\d s, \d of 2(, \d+ s left)?\)"
    for line, case in zip(named, cases, strict=False):
        assert re.fullmatch(re.escape(case.id) + volumes, line)
    assert named[2:] == [
        f"Look at {tmp_path / 'out'}: <case>.nii.gz (1 necrosis and non-enhancing core, 2 oedema, 4 enhancing tumour), "
        "<case>_unc_*.nii.gz (0 certain to 100 uncertain), <case>.json, <case>.png. Research use, not a medical device."
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


def test_a_broken_case_alone_is_an_error(cases: list[Case], model: Ensemble, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"_t2\.nii\.gz: not a NIfTI image"):
        segment_patients(cases[1:2], tmp_path / "out", model)
    cases[2].images["flair"].unlink()
    with pytest.raises(InputError, match="there is no such flair file"):
        segment_patients(cases[2:], tmp_path / "none", model)
    assert not (tmp_path / "none").exists()


def test_broken_cases_are_left_out(
    cases: list[Case], model: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases[2].images["flair"].unlink()
    assert segment_patients(cases, tmp_path / "out", model).left_out == 2
    said = capsys.readouterr()
    assert said.err.count("warning: left out (") == 2
    assert re.search(r"left out \(2 of 3.*\): " + re.escape(f"{cases[1].images['t2']}: not a NIfTI image"), said.err)
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == {cases[0].id}
    assert f"1 of 3 cases are done, 2 were left out; see {tmp_path / 'out' / 'failed.csv'}\n" in said.out


@pytest.mark.parametrize(
    ("fault", "said"),
    [(MemoryError(), "there is not enough memory"), (IndexError("odd"), "IndexError: odd; this is a bug")],
)
def test_any_fault_of_one_case_is_only_its_own(
    fault: Exception,
    said: str,
    mri_cohort: Path,
    model: Ensemble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = find_cases(mri_cohort)[:2]
    predict = Ensemble.predict

    def fail(self: Ensemble, *given: object, task: str, **options: object) -> object:
        if task == cases[0].id:
            raise fault
        return predict(self, *given, task=task, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Ensemble, "predict", fail)
    assert segment_patients(cases, tmp_path, model).left_out == 1
    (failed,) = rows(tmp_path / "failed.csv")
    assert said in failed["fault"]
    with pytest.raises(type(fault)):
        segment_patients(cases[:1], tmp_path, model)


def test_nothing_is_left(cases: list[Case], model: Ensemble, tmp_path: Path) -> None:
    cases[2].images["t1"].unlink()
    with pytest.raises(InputError, match=r"none of 2 cases could be segmented; the last fault: .*_t1"):
        segment_patients(cases[1:], tmp_path / "out", model)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_warnings_come_last(
    mri_cohort: Path, model: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = find_cases(mri_cohort)[:2]
    assert segment_patients(cases, tmp_path, model).warned
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
    assert segment_patients(find_cases(mri_cohort)[:1], tmp_path, model) == Outcome(warned=False, left_out=0)


def test_tables_of_volumes_and_faults(cases: list[Case], model: Ensemble, tmp_path: Path) -> None:
    segment_patients(cases, tmp_path / "out", model)
    volumes = rows(tmp_path / "out/volumes.csv")
    assert [row["case"] for row in volumes] == [cases[0].id, cases[2].id]
    manifest = json.loads((tmp_path / f"out/{cases[2].id}.json").read_text())
    assert float(volumes[1]["whole_ml"]) == manifest["volume_ml"]["whole"]
    assert "thick-slices" in volumes[0]["warnings"].split()
    (failed,) = rows(tmp_path / "out/failed.csv")
    assert failed["case"] == cases[1].id
    assert "not a NIfTI image" in failed["fault"]


def test_tables_hold_no_volumes_of_earlier_runs(cases: list[Case], model: Ensemble, tmp_path: Path) -> None:
    """A case that breaks in a second run loses its row, and one that is segmented alone gets a new one."""
    out = tmp_path / "out"
    segment_patients([cases[0], cases[2]], out, model)
    whole = rows(out / "volumes.csv")[0]["whole_ml"]
    none = Wanted(postprocessing=Postprocessing(threshold=0.999), redo=True)
    segment_patients([cases[0]], out, model, none)
    first, second = rows(out / "volumes.csv")
    assert (first["case"], second["case"]) == (cases[0].id, cases[2].id)
    assert first["whole_ml"] != whole
    cases[2].images["t2"].write_bytes(b"damaged")
    segment_patients([cases[0], cases[2]], out, model, none)
    assert [row["case"] for row in rows(out / "volumes.csv")] == [cases[0].id]
    assert [row["case"] for row in rows(out / "failed.csv")] == [cases[2].id]


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
    for options in ({"redo": True}, {"picture": True}, {"probabilities": True}, {"labels": "2023"}, {"grid": "flair"}):
        segment_patients(cases, tmp_path, model, Wanted(**options))  # type: ignore[arg-type]
        assert "complete" not in capsys.readouterr().err


def test_results_of_other_label_values_or_other_images_are_not_complete(
    mri_cohort: Path, model: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(mri_cohort, tmp_path / "cohort")
    cases = find_cases(tmp_path / "cohort")[:2]
    out = tmp_path / "out"
    segment_patients(cases, out, model, Wanted(labels="2023"))
    segment_patients(cases, out, model)
    assert "complete" not in capsys.readouterr().err, "with the values that another run asked for"
    shutil.copy(cases[0].images["t1"], cases[1].images["t1"])
    segment_patients(cases, out, model)
    assert "1 of 2 cases are complete" in capsys.readouterr().err, "a file of the same name"


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


def test_tables_are_restored_from_manifests(mri_cohort: Path, model: Ensemble, tmp_path: Path) -> None:
    cases = find_cases(mri_cohort)[:2]
    segment_patients(cases, tmp_path, model)
    before = (tmp_path / "volumes.csv").read_bytes()
    (tmp_path / "volumes.csv").unlink()
    segment_patients(cases, tmp_path, model)
    assert (tmp_path / "volumes.csv").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    (tmp_path / "volumes.csv").write_text("patient,volume\n1,2\n")
    with pytest.raises(InputError, match=r"volumes\.csv: exists and was not written by tunetseg"):
        segment_patients(cases, tmp_path, model)


@pytest.mark.parametrize("content", [b"case,whole_ml\na,1.0,2.0\n", b"case,whole_ml\n\xff,1\n"])
def test_a_damaged_table_is_named_before_the_work(
    mri_cohort: Path, model: Ensemble, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "volumes.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"volumes\.csv: .*; remove it, and the same command writes it again"):
        segment_patients(find_cases(mri_cohort)[:2], tmp_path, model)
    assert [path.name for path in tmp_path.iterdir()] == ["volumes.csv"]


def test_one_process_at_a_time(mri_cohort: Path, model: Ensemble, tmp_path: Path) -> None:
    cases = find_cases(mri_cohort)[:2]
    with locked(tmp_path), pytest.raises(InputError, match="another process is writing results there"):
        segment_patients(cases, tmp_path, model)
    assert list(tmp_path.iterdir()) == []


_RUN = """
import os, signal, sys
from tunetseg.cli.main import main
from tunetseg.inference import save

replaced = os.replace
def replace(source, target):
    # Killed in the middle of a case: some of its files have their names, its manifest has not.
    if str(target).endswith(sys.argv[1] + "_unc_core.nii.gz"):
        os.kill(os.getpid(), signal.SIGKILL)
    replaced(source, target)
save.os.replace = replace
raise SystemExit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes cannot be killed so on this system")
def test_twenty_patients_killed_in_the_middle(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cohort(tmp_path / "cohort", cases=20, dataset="brats2021", shape=(24, 24, 16), spacing=10.0)
    cases = find_cases(tmp_path / "cohort")
    cases[2].images["t2"].write_bytes(b"damaged")
    cases[7].images["flair"].write_bytes(cases[7].images["flair"].read_bytes()[:99])
    image = nib.load(cases[15].images["t1"])
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), cases[15].images["t1"])
    broken = {cases[number].id for number in (2, 7, 15)}
    out = tmp_path / "out"
    words = ["segment", str(tmp_path / "cohort"), "--out", str(out), "--model", str(tiny_model), "--device", "cpu"]
    killed = subprocess.run([sys.executable, "-c", _RUN, cases[9].id, *words], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    done = {path.stem for path in out.glob("*.json")}
    assert done == {case.id for case in cases[:9]} - broken
    assert [path for path in out.iterdir() if path.name.startswith(".tunetseg-")], "what the kill left"
    before = {name: (out / f"{name}.json").stat().st_mtime_ns for name in done}

    assert main(words) == 2
    said = capsys.readouterr()
    assert "7 of 20 cases are complete and were skipped" in said.err
    assert f"17 of 20 cases are done, 3 were left out; see {out / 'failed.csv'}" in said.out
    assert {path.stem for path in out.glob("*.json")} == {case.id for case in cases} - broken
    assert {name: (out / f"{name}.json").stat().st_mtime_ns for name in done} == before
    assert {row["case"] for row in rows(out / "failed.csv")} == broken
    assert {row["case"] for row in rows(out / "volumes.csv")} == {case.id for case in cases} - broken
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
