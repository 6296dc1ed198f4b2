"""From files to results, as a browser asks for it; and what is refused on the way."""

import io
import json
import stat
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from tunetseg.checks import inspect_place
from tunetseg.limits import LIMITS
from tunetseg.report.pages import viewer_script
from tunetseg.serve.jobs import Jobs

Upload = Callable[..., str]
Reach = Callable[..., dict[str, Any]]


def error(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


def files_below(jobs: Jobs) -> list[str]:
    return [path.name for path in jobs.folder.rglob("*") if path.is_file()]


def test_from_four_files_to_results(
    client: TestClient, upload: Upload, reach: Reach, jobs: Jobs, patient_files: dict[str, Path]
) -> None:
    job = upload(patient_files)
    found = reach(job, "recognised")
    (case,) = found["cases"]
    assert case["id"] == "anna"
    assert case["channels"] == {Path(name).stem.split(".")[0]: name for name in patient_files}
    (place,) = (jobs.folder / job / "patient").iterdir()
    (inspected,) = inspect_place(place, jobs.model.dataset)
    assert [finding["code"] for finding in case["findings"]] == [one.code for one in inspected.findings]
    assert str(jobs.folder) not in json.dumps(found)

    assert client.post(f"jobs/{job}/start").status_code == 202
    (result,) = reach(job, "done")["results"]
    assert set(result["volumes_ml"]) == {region.title for region in jobs.model.dataset.regions}

    page = client.get(f"jobs/{job}/pages/0")
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert viewer_script() in page.text
    assert error(client.get(f"jobs/{job}/pages/1"), 404) == "there is no such page"

    answer = client.get(f"jobs/{job}/results.zip")
    assert 'filename="tunet-results.zip"' in answer.headers["content-disposition"]
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert {"anna/anna.nii.gz", "anna/anna.json", "anna/anna.html", "anna/anna_prob_core.nii.gz"} <= set(names)
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None

    assert not (jobs.folder / job / "patient").exists(), "the images are not needed any more"
    assert jobs.budget.used == sum(path.stat().st_size for path in jobs.folder.rglob("*") if path.is_file())
    assert client.delete(f"jobs/{job}").status_code == 200
    assert (files_below(jobs), jobs.budget.used) == ([], 0)


def test_an_archive_and_a_missing_image(
    client: TestClient, upload: Upload, reach: Reach, jobs: Jobs, patient_files: dict[str, Path]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, path in list(patient_files.items())[:3]:
            archive.write(path, name)
        archive.writestr("anna/notes.txt", "text")
    job = upload({"given.zip": packed.getvalue()})
    found = reach(job, "recognised")
    assert found["left_out"] == 1
    assert "no flair image" in found["cases"][0]["findings"][0]["message"]
    client.post(f"jobs/{job}/start")
    assert reach(job, "done")["results"][0]["case"] == "anna"


def test_a_wrong_file_gives_a_sentence(client: TestClient, upload: Upload, reach: Reach, jobs: Jobs) -> None:
    job = client.post("jobs").json()["id"]
    answer = client.put(f"jobs/{job}/files?name=notes.txt", content=b"text")
    assert error(answer, 415) == "notes.txt: is not an image in NIfTI, MGH or DICOM, and was left out"
    client.post(f"jobs/{job}/recognise")
    assert reach(job, "failed")["faults"] == ["there is no image among the files; NIfTI, MGH and DICOM are read"]

    (fault,) = reach(upload({"holiday.nii.gz": b"x"}), "failed")["faults"]
    assert fault.startswith("the upload: no case found (it holds ")

    job = upload({f"{channel}.nii.gz": b"damaged" for channel in ("t1", "t1ce", "t2", "flair")})
    (case,) = reach(job, "recognised")["cases"]
    assert case["refused"]
    assert [finding["level"] for finding in case["findings"]] == ["refuse"]
    assert "t1.nii.gz" in case["findings"][0]["message"]
    assert str(jobs.folder) not in case["findings"][0]["message"]


@pytest.mark.parametrize(
    ("name", "size", "status", "sentence"),
    [
        ("../../t1.nii.gz", 4, 400, "leads out of the upload"),
        ("%2e%2e/t1.nii.gz", 25_000_000, 413, "would be larger than 0.02 GB"),
        ("t1.nii.gz", 25_000_000, 413, "would be larger than 0.02 GB"),
        ("t1.mhd", 4, 415, "can name other files"),
        ("", 4, 400, "names no file"),
    ],
)
def test_what_is_refused(client: TestClient, jobs: Jobs, name: str, size: int, status: int, sentence: str) -> None:
    job = client.post("jobs").json()["id"]
    answer = client.put(f"jobs/{job}/files", params={"name": name}, content=bytes(size))
    assert sentence in error(answer, status)
    assert (files_below(jobs), jobs.budget.used) == ([], 0)


def test_a_size_that_is_not_announced(client: TestClient, jobs: Jobs) -> None:
    job = client.post("jobs").json()["id"]
    answer = client.put(f"jobs/{job}/files?name=t1.nii.gz", content=(bytes(1_000_000) for _ in range(25)))
    assert "would be larger" in error(answer, 413)
    assert (files_below(jobs), jobs.budget.used) == ([], 0)


def test_a_zip_bomb(client: TestClient, upload: Upload, reach: Reach, jobs: Jobs) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t1.nii.gz", bytes(50_000_000))
    job = upload({"bomb.zip": packed.getvalue()})
    assert reach(job, "failed")["faults"][0].startswith("bomb.zip: all files together would be larger than 0.02 GB")
    assert (files_below(jobs), jobs.budget.used) == ([], 0)


def test_what_cannot_be_done_now(client: TestClient, upload: Upload, reach: Reach, patient_files: Any) -> None:
    job = upload(patient_files)
    reach(job, "recognised")
    assert "so no file can be added" in error(client.put(f"jobs/{job}/files?name=a.nii", content=b"x"), 409)
    assert error(client.get(f"jobs/{job}/results.zip"), 409) == "there are no results yet"
    assert "unknown channel 'x'" in error(client.post(f"jobs/{job}/recognise?without=x"), 400)
    for method, path in (("POST", "jobs/nobody/start"), ("DELETE", "jobs/nobody"), ("PUT", "jobs/nobody/files?name=a")):
        assert "there is no such upload" in error(client.request(method, path), 404)
    assert client.get("assets/../jobs.py").status_code == 404
    assert "there is no such file" in error(client.get("assets/jobs.py"), 404)


def test_too_many_uploads(client: TestClient) -> None:
    for _ in range(LIMITS.jobs):
        assert client.post("jobs").status_code == 201
    assert "remove one first" in error(client.post("jobs"), 413)


def test_one_at_a_time_by_networks_that_are_loaded_once(
    client: TestClient,
    upload: Upload,
    reach: Reach,
    jobs: Jobs,
    patient_files: Any,
    held: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[Path] = []
    engine = type(jobs.model.engine)
    plain = engine.load
    monkeypatch.setattr(
        engine, "load", lambda self, path, **options: loaded.append(path) or plain(self, path, **options)
    )
    first, second = upload(patient_files), upload(patient_files)
    reach(second, "recognised")
    for job in (first, second):
        client.post(f"jobs/{job}/start")
    assert held.begun.wait(30)
    states = {one["id"]: (one["state"], one["position"]) for one in client.get("jobs").json()["jobs"]}
    assert states == {first: ("segmenting", 0), second: ("waiting", 1)}
    assert reach(first, "segmenting")["share"] == pytest.approx(0.15)
    held.go.set()
    reach(first, "done")
    reach(second, "done")
    assert len(loaded) == 1


def test_cancelling(
    client: TestClient, upload: Upload, reach: Reach, jobs: Jobs, patient_files: Any, held: SimpleNamespace
) -> None:
    running, waiting = upload(patient_files), upload(patient_files)
    reach(waiting, "recognised")
    for job in (running, waiting):
        client.post(f"jobs/{job}/start")
    assert held.begun.wait(30)
    for job in (waiting, running):
        assert client.post(f"jobs/{job}/cancel").status_code == 202
        assert reach(job, "cancelled")["state"] == "cancelled"
    held.go.set()
    # The worker is free again, and nothing is left of the cancelled ones.
    other = upload(patient_files)
    reach(other, "recognised")
    assert {one.name for one in jobs.folder.iterdir()} == {other}
    assert jobs.budget.used == reach(other, "recognised")["bytes"]


def test_removed_while_it_runs(
    client: TestClient, upload: Upload, reach: Reach, jobs: Jobs, patient_files: Any, held: SimpleNamespace
) -> None:
    job = upload(patient_files)
    reach(job, "recognised")
    client.post(f"jobs/{job}/start")
    assert held.begun.wait(30)
    assert client.delete(f"jobs/{job}").status_code == 200
    held.go.set()
    jobs.close()
    assert (list(jobs.folder.iterdir()), jobs.budget.used) == ([], 0)
    assert not any(thread.name == "tunet-serve" and thread.is_alive() for thread in threading.enumerate())


def test_a_fault_of_the_program_is_told(
    client: TestClient, upload: Upload, reach: Reach, patient_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("7")

    monkeypatch.setattr("tunetseg.serve.jobs.segment", broken)
    job = upload(patient_files)
    reach(job, "recognised")
    client.post(f"jobs/{job}/start")
    faults = reach(job, "failed")["faults"]
    assert faults[0] == "RuntimeError: 7; this is a bug, please report it"
    assert faults[-1] == "none of the cases could be segmented"


def test_folders_are_private(upload: Upload, jobs: Jobs) -> None:
    job = upload({"t1.nii.gz": b"x"}, recognise=False)
    assert stat.S_IMODE((jobs.folder / job / "patient").stat().st_mode) == 0o700
