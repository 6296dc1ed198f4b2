"""Tasks on this computer: shared out, begun again after a kill, stopped together."""

import os
import sys
import time
from pathlib import Path

import pytest

from tunetseg.studies.local import run_tasks, share_of_cores
from tunetseg.studies.tasks import Task


def shell(name: str, tmp_path: Path, *lines: str) -> Task:
    return Task(name, tuple(("bash", "-c", line) for line in lines), tmp_path / "logs" / name)


def test_every_task_is_tried_and_its_output_kept(tmp_path: Path) -> None:
    tasks = [
        shell("a", tmp_path, "echo one", "echo two; echo $OMP_NUM_THREADS"),
        shell("b", tmp_path, "exit 3", "echo never"),
        shell("c", tmp_path, "echo $CUDA_VISIBLE_DEVICES"),
    ]
    told: list[tuple[str, int]] = []
    codes = run_tasks(tasks, jobs=2, threads=4, gpus=["5"], on_end=lambda task, code: told.append((task.name, code)))
    assert codes == {"a": 0, "b": 3, "c": 0}
    assert sorted(told) == sorted(codes.items())
    assert (tmp_path / "logs/a").read_text() == "one\ntwo\n4\n"
    assert (tmp_path / "logs/b").read_text() == ""
    assert (tmp_path / "logs/c").read_text() == "5\n"


def test_a_task_that_was_killed_is_begun_again_some_times(tmp_path: Path) -> None:
    once = f"test -e {tmp_path}/mark && exit 0; touch {tmp_path}/mark; kill -9 $$"
    assert run_tasks([shell("a", tmp_path, once), shell("b", tmp_path, "kill -9 $$")]) == {"a": 0, "b": -9}


def test_a_stop_is_passed_on_and_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = f"trap 'sleep 0.3; echo saved > {tmp_path}/saved; exit 143' TERM"
    line = f"{trap}; touch {tmp_path}/begun; while :; do sleep 0.05; done"
    rest = time.sleep

    def interrupted(seconds: float) -> None:
        rest(seconds)
        if (tmp_path / "begun").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_tasks([shell("a", tmp_path, line)])
    assert (tmp_path / "saved").read_text() == "saved\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the processors that may be used")
def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(16))
    assert share_of_cores(30) == (4, 4)
    assert share_of_cores(2) == (2, 8)
    assert share_of_cores(30, 16) == (16, 1)
    assert share_of_cores(30, threads=8) == (2, 8)
    assert share_of_cores(30, 16, 8) == (16, 8)
