"""Where models stand, from files alone."""

import os
import time
from pathlib import Path

import msgspec
import pytest

from tunetseg.studies.plan import StudyPlan
from tunetseg.studies.status import ModelStatus, read_status
from tunetseg.training.lock import Holder, RunLock
from tunetseg.training.state import RunState, Scores


@pytest.fixture
def run(study: Path, plan: StudyPlan) -> Path:
    """The run folder of the first model."""
    folder = study / plan.models[0].run
    folder.mkdir(parents=True)
    return folder


def write(run: Path, **facts: object) -> None:
    state = RunState(stages=1, epoch=1, epochs=2, seconds=60.0, host="node1", job="7_0", **facts)  # type: ignore[arg-type]
    (run / "state.json").write_bytes(msgspec.json.encode(state))


def log(study: Path, text: str) -> None:
    (study / "logs").mkdir()
    (study / "logs/tunet-seb-fold-0.log").write_text(text)


def first(study: Path) -> ModelStatus:
    return read_status(study)[0]


def test_nothing_has_begun(study: Path) -> None:
    assert [model.status for model in read_status(study)] == ["waiting"] * 4


def test_a_model_that_is_trained_now(study: Path, run: Path) -> None:
    write(run, status="running", last=Scores(stage=0, epoch=1, loss=0.0, dice={"whole": 0.5}))
    with RunLock(run):
        found = first(study)
    assert (found.status, found.epoch, found.dice, found.job) == ("running", 1, {"whole": 0.5}, "7_0")
    assert (found.left, found.rate) == (60.0, 60.0)


def test_a_time_budget_ends_what_is_left(study: Path, run: Path) -> None:
    write(run, status="running", max_minutes=1.5)
    with RunLock(run):
        assert first(study).left == 30.0


@pytest.mark.parametrize("age", [5.0, -5.0, 1000.0])
def test_a_process_on_another_computer_is_believed_for_two_minutes(study: Path, run: Path, age: float) -> None:
    """Whether its clock is a few seconds late or early."""
    write(run, status="running")
    path = run / ".lock-0"
    path.write_bytes(msgspec.json.encode(Holder(host="node1", pid=1, machine="another")))
    os.utime(path, (time.time() - age,) * 2)
    assert first(study).status == ("running" if abs(age) < 100 else "stale")


def test_a_process_that_was_killed(study: Path, run: Path) -> None:
    write(run, status="running")
    log(study, "stage 0, epoch 1 of 2\n\n")
    found = first(study)
    assert (found.status, found.left) == ("stale", None)
    assert found.message == "its process on node1 has gone without a word; last written: stage 0, epoch 1 of 2"


@pytest.mark.parametrize("word", ["stopped", "failed"])
def test_a_run_that_said_how_it_ended(study: Path, run: Path, word: str) -> None:
    write(run, status=word, message="why")
    assert (first(study).status, first(study).message) == (word, "why")


def test_a_run_that_failed_before_it_began(study: Path) -> None:
    log(study, "error: the cohort is gone\n")
    assert (first(study).status, first(study).message) == ("failed", "the cohort is gone")


def test_a_model_that_is_there_is_finished_whatever_its_state_says(study: Path, run: Path) -> None:
    write(run, status="running")
    (run / "model.safetensors").touch()
    assert first(study).status == "finished"
