"""An interrupted run ends where an undisturbed one does, bit for bit, whenever and however it is interrupted."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer

from tunetseg.errors import Terminated
from tunetseg.models.store import load_network, read_spec
from tunetseg.training import Recipe, read_state
from tunetseg.training.callbacks import Checkpoints

Run = Callable[..., Path]
KillAfter = Callable[..., None]


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = (load_network(path)[0].state_dict() for path in (one, other))
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.fixture
def whole(finished: Path) -> Path:
    """The model of an undisturbed run."""
    return finished / "model.safetensors"


@pytest.fixture
def both(tiny: Callable[..., Recipe]) -> Recipe:
    """Two stages of two epochs of three steps."""
    return tiny(stages=2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_ends_where_an_undisturbed_one_does(
    whole: Path, both: Recipe, run: Run, kill_after: KillAfter, killed: type[Exception], workers: int
) -> None:
    kill_after(8)
    with pytest.raises(killed):
        run(recipe=both, workers=workers)
    resumed = run(recipe=both, workers=workers, resume=True)
    assert same_weights(resumed, whole)


@pytest.mark.parametrize("steps", [1, 2, 3, 6])
def test_a_signal_saves_at_once_and_nothing_is_lost(
    whole: Path, both: Recipe, run: Run, kill_after: KillAfter, tmp_path: Path, steps: int
) -> None:
    """Within an epoch of three steps, at its end, and at the end of the stage of two epochs."""
    kill_after(steps, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Terminated):
        run(recipe=both)
    state = read_state(tmp_path / "run")
    assert state is not None
    assert (state.status, state.message) == ("stopped", "stopped by SIGTERM")
    trained: list[int] = []
    kill_after(1, lambda: None)
    model = _counting(trained, lambda: run(recipe=both, resume=True))
    assert len(trained) == 12 - steps, "no step is repeated"
    assert same_weights(model, whole)


def _counting(trained: list[int], call: Callable[[], Path]) -> Path:
    from tunetseg.training.module import TrainingModule

    plain = TrainingModule.training_step

    def counted(self: TrainingModule, batch: Any, batch_idx: int) -> Any:
        trained.append(batch_idx)
        return plain(self, batch, batch_idx)

    TrainingModule.training_step = counted  # type: ignore[method-assign]
    try:
        return call()
    finally:
        TrainingModule.training_step = plain  # type: ignore[method-assign]


def test_two_interruptions_in_one_epoch(whole: Path, both: Recipe, run: Run, kill_after: KillAfter) -> None:
    for resume in (False, True):
        kill_after(1, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            run(recipe=both, resume=resume)
    assert same_weights(run(recipe=both, resume=True), whole)


def test_a_long_epoch_is_saved_within(
    whole: Path, both: Recipe, run: Run, kill_after: KillAfter, killed: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunetseg.training.callbacks.SAVE_EVERY", 0.0)
    saved: list[tuple[int, int]] = []
    plain = Checkpoints.save

    def noted(self: Checkpoints, trainer: Trainer, epoch: int, done: int) -> None:
        plain(self, trainer, epoch, done)
        saved.append((epoch, done))

    monkeypatch.setattr(Checkpoints, "save", noted)
    kill_after(5)
    with pytest.raises(killed):
        run(recipe=both)
    assert saved == [(0, 1), (0, 2), (1, 0), (1, 1)]
    assert same_weights(run(recipe=both, resume=True), whole)


def test_the_epoch_that_was_interrupted_is_logged_as_a_whole(
    whole: Path, both: Recipe, run: Run, kill_after: KillAfter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    began = time.monotonic()
    kill_after(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Terminated):
        run(recipe=both)
    model = run(recipe=both, resume=True)
    logs = [(path.parent / "stage-0/csv/metrics.csv").read_text() for path in (model, whole)]
    assert logs[0] == logs[1]
    seconds = [int(found) for found in re.findall(r"epoch \d of \d: .*, (\d+) s", caplog.text)]
    assert seconds, "each epoch's line ends with its time"
    assert max(seconds) <= time.monotonic() - began + 1
    assert read_spec(model).training["validation"] == read_spec(whole).training["validation"]


@pytest.mark.parametrize("damaged", [["last"], ["last", "previous"]])
def test_a_damaged_checkpoint_costs_steps_and_nothing_else(
    whole: Path,
    both: Recipe,
    run: Run,
    kill_after: KillAfter,
    killed: type[Exception],
    tmp_path: Path,
    damaged: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    kill_after(11)  # in the second epoch of the second stage
    with pytest.raises(killed):
        run(recipe=both)
    for name in damaged:
        path = tmp_path / f"run/stage-1/{name}.safetensors"
        if path.exists():
            path.write_bytes(path.read_bytes()[:-7])
    kill_after(1000)
    assert same_weights(run(recipe=both, resume=True), whole)
    assert "not a readable checkpoint" in caplog.text


def test_a_clock_that_jumps_changes_nothing(
    whole: Path, both: Recipe, run: Run, kill_after: KillAfter, killed: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_after(4)
    with pytest.raises(killed):
        run(recipe=both)
    kill_after(2, lambda: monkeypatch.setattr("time.time", lambda: 0.0))
    assert same_weights(run(recipe=both, resume=True), whole)
