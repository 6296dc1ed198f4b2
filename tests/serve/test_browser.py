"""The page in headless Chromium, against a server that listens."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from tunetseg.serve.app import make_app
from tunetseg.serve.guard import LOOPBACK_NAMES, Guard
from tunetseg.serve.jobs import Jobs


@pytest.fixture
def opened(browser: Any, jobs: Jobs) -> Iterator[Any]:
    """The page of a running server; the test fails if a script fails, or anything is asked of another place."""
    listener = socket.create_server(("127.0.0.1", 0))
    guard = Guard(make_app(jobs), "a-token", LOOPBACK_NAMES)
    server = uvicorn.Server(uvicorn.Config(guard, lifespan="off", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    place = f"http://127.0.0.1:{listener.getsockname()[1]}/a-token/"
    context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    context.set_default_timeout(120_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    # That a request was refused is a line of its own, which tests look at on the page.
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.on("request", lambda asked: faults.append(asked.url) if not asked.url.startswith((place, "data:")) else None)
    page.goto(place)
    page.faults = faults
    yield page
    context.close()
    server.should_exit = True
    thread.join(30)
    assert [fault for fault in faults if "status of 4" not in fault] == []


def state(page: Any, name: str) -> Any:
    return page.locator(f".job[data-state={name}]")


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def give(page: Any, files: dict[str, Path], folder: Path) -> None:
    """Choose files by the names that they have in a folder."""
    folder.mkdir(exist_ok=True)
    chosen = []
    for name, path in files.items():
        chosen.append(folder / Path(name).name)
        chosen[-1].write_bytes(path.read_bytes())
    page.set_input_files("#files", chosen)


@pytest.mark.slow
def test_from_files_to_the_viewer(
    opened: Any, patient_files: dict[str, Path], held: SimpleNamespace, tmp_path: Path
) -> None:
    give(opened, patient_files, tmp_path / "given")
    state(opened, "recognised").wait_for()
    table = opened.get_by_role("table", name="Images of patient")
    assert table.locator("tbody tr").count() == 4
    assert "flair.nii.gz" in table.inner_text()
    assert "Warning: voxels of 10 x 10 x 10 mm" in opened.locator(".findings").inner_text()
    button(opened, "Start").click()
    state(opened, "segmenting").wait_for()
    opened.wait_for_function("document.querySelector('.job progress').value > 0.1")
    assert opened.locator(".state").inner_text() == "segmenting patient"
    held.go.set()
    state(opened, "done").wait_for()
    report = opened.frame_locator("iframe")
    report.locator("body[data-ready]").wait_for()
    assert report.locator("h1").inner_text() == "patient"
    assert report.locator("#values tr").count() > 4
    assert opened.get_by_role("table", name="Volumes").locator("tbody tr").count() == 1
    with opened.expect_download() as download:
        opened.get_by_text("Download everything (zip)").click()
    assert Path(download.value.path()).read_bytes().startswith(b"PK")
    button(opened, "Remove").click()
    opened.get_by_text("None yet.").wait_for()


@pytest.mark.slow
def test_cancelling_and_a_wrong_file(
    opened: Any, patient_files: dict[str, Path], held: SimpleNamespace, jobs: Jobs, tmp_path: Path
) -> None:
    give(opened, patient_files, tmp_path / "given")
    button(opened, "Start").click()
    assert held.begun.wait(60)
    button(opened, "Cancel").click()
    state(opened, "cancelled").wait_for()
    assert opened.locator(".state").inner_text() == "Cancelled; its files are removed."
    held.go.set()
    button(opened, "Remove").click()
    opened.get_by_text("None yet.").wait_for()

    (tmp_path / "notes.txt").write_text("no image")
    opened.set_input_files("#files", [tmp_path / "notes.txt"])
    state(opened, "failed").wait_for()
    said = opened.locator(".job").inner_text()
    assert "there is no image among the files; NIfTI, MGH and DICOM are read" in said
    assert "1 file left out. notes.txt: is not an image in NIfTI, MGH or DICOM" in said

    opened.evaluate("document.body.dataset.mostBytes = '1e12'")  # so that the server has to refuse
    (tmp_path / "t1.nii.gz").write_bytes(bytes(jobs.budget.most + 1))
    opened.set_input_files("#files", [tmp_path / "t1.nii.gz"])
    opened.locator("#fault:not([hidden])").wait_for()
    assert opened.locator("#fault").inner_text()
    opened.evaluate("document.body.dataset.mostBytes = '1000'")
    opened.set_input_files("#files", [tmp_path / "t1.nii.gz"])
    opened.get_by_text("more than the 0.0 MB that the server takes").wait_for()


def test_names_are_text(opened: Any, patient_files: dict[str, Path], tmp_path: Path) -> None:
    """A folder called like markup is dropped."""
    wild = "<img src=x onerror=alert(1)>"
    give(opened, {f"{wild}_{Path(name).name}": path for name, path in patient_files.items()}, tmp_path / "given")
    state(opened, "recognised").wait_for()
    assert opened.locator("h3").inner_text() == wild
    assert opened.locator("main img").count() == 0
