"""DICOM files that are uploaded to the local server."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tunetseg.inference.predictor import load_model
from tunetseg.serve.jobs import Jobs
from tunetseg.serve.uploads import NotAnImageError


async def content(path: Path) -> AsyncIterator[bytes]:
    yield path.read_bytes()


def recognised(jobs: Jobs, name: str, *without: str) -> dict[str, Any]:
    jobs.recognise(name, without)
    for _ in range(1000):
        (found,) = jobs.describe()
        if found["state"] not in {"waiting", "recognising"}:
            break
        time.sleep(0.01)
    assert found["state"] == "recognised"
    return found["cases"][0]


def test_series_are_recognised_and_can_be_left_out(tmp_path: Path, tiny_model: Path, examination: Path) -> None:
    jobs = Jobs(tmp_path, load_model(tiny_model, engine="torch", device="cpu"))
    job = jobs.create()
    left_out = []
    for path in sorted(path for path in examination.rglob("*") if path.is_file() and "flair" not in path.name):
        try:
            # In a thread, as Playwright leaves a loop running in this one.
            with ThreadPoolExecutor(1) as pool:
                add = job.uploads.add(path.relative_to(examination).as_posix(), content(path))
                pool.submit(asyncio.run, add).result()
        except NotAnImageError:
            left_out.append(path.name)
    assert sorted(left_out) == ["README.txt", "notes.pdf"]
    case = recognised(jobs, job.id)
    assert (case["id"], case["dataset"], case["refused"]) == ("DICOM", "DICOM", True)
    assert case["channels"]["t1ce"] == "series 2 (AX T1 SE +C)"
    assert "no flair series among 4" in [finding["message"].split(";")[0] for finding in case["findings"]]
    case = recognised(jobs, job.id, "flair", "t2")
    assert set(case["channels"]) == {"t1", "t1ce"}
    assert not any("flair series" in finding["message"] for finding in case["findings"])
    jobs.close()
    with pytest.raises(ValueError, match="there is no such upload"):
        jobs.get(job.id)
