"""A server without a network, a patient's files, and a way to hold the worker."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio.from_thread
import pytest
from starlette.testclient import TestClient

from tunetseg.datasets.phantom import make_for, write_patient
from tunetseg.inference.predictor import load_model
from tunetseg.serve.app import make_app
from tunetseg.serve.guard import LOOPBACK_NAMES, Guard
from tunetseg.serve.jobs import Jobs
from tunetseg.serve.uploads import Budget

TOKEN = "a-token"


@pytest.fixture(scope="session")
def patient_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the four images of a glioma of 24x24x16 voxels of 10 mm, by the names that a user gives them."""
    folder = tmp_path_factory.mktemp("served")
    write_patient(make_for("brats2020", 0, shape=(24, 24, 16), spacing=10.0), folder, dataset="brats2020")
    found = {path.name: path for path in folder.rglob("*.nii.gz")}
    return {f"anna/{channel}.nii.gz": _only(found, channel) for channel in ("t1", "t1ce", "t2", "flair")}


def _only(found: dict[str, Path], channel: str) -> Path:
    return next(path for name, path in found.items() if name.endswith(f"_{channel}.nii.gz"))


@pytest.fixture
def jobs(tmp_path: Path, tiny_model: Path) -> Iterator[Jobs]:
    """Return jobs of a tiny model, which take no more than 20 MB together."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    opened = Jobs(folder, load_model(tiny_model, engine="torch", device="cpu"), Budget(20_000_000))
    yield opened
    opened.close()


@pytest.fixture
def client(jobs: Jobs) -> Iterator[TestClient]:
    """Return a client that knows the token."""
    guard = Guard(make_app(jobs), TOKEN, LOOPBACK_NAMES)
    with anyio.from_thread.start_blocking_portal() as portal:
        found = TestClient(guard, base_url=f"http://127.0.0.1:8017/{TOKEN}/", raise_server_exceptions=False)
        found.portal = portal  # one event loop for all requests; as a context manager it would ask for a lifespan
        yield found


@pytest.fixture
def upload(client: TestClient) -> Callable[..., str]:
    """Return a function that uploads files, name -> bytes or path, and returns the name of the job."""

    def send(files: dict[str, Any], *, recognise: bool = True) -> str:
        job = client.post("jobs").json()["id"]
        for name, content in files.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            answer = client.put(f"jobs/{job}/files", params={"name": name}, content=data)
            assert answer.status_code == 201, answer.text
        if recognise:
            assert client.post(f"jobs/{job}/recognise").status_code == 202
        return str(job)

    return send


@pytest.fixture
def reach(client: TestClient) -> Callable[..., dict[str, Any]]:
    """Return a function that waits until a job is in one of some states, and returns what is said of it."""

    def wait(job: str, *states: str) -> dict[str, Any]:
        pause, end = threading.Event(), time.monotonic() + 60
        while time.monotonic() < end:
            (found,) = [one for one in client.get("jobs").json()["jobs"] if one["id"] == job]
            if found["state"] in states:
                return found
            if found["state"] in {"failed", "cancelled"}:
                break
            pause.wait(0.01)
        raise AssertionError(f"{found} is not {states}")

    return wait


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Hold each segmentation until ``go`` is set; ``begun`` is set when one has begun."""
    from tunetseg.serve import jobs as module

    plain, gates = module.segment, SimpleNamespace(begun=threading.Event(), go=threading.Event())

    def slow(*arguments: Any, progress: Any, **options: Any) -> Any:
        progress("x", 0.25, 1.0)
        gates.begun.set()
        assert gates.go.wait(30)
        return plain(*arguments, progress=progress, **options)

    monkeypatch.setattr(module, "segment", slow)
    return gates
