"""A time budget: every stage gets its share, the schedule reaches its end, and a resumed run keeps the budget."""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tunetseg.models.store import read_spec
from tunetseg.training import Recipe, read_state
from tunetseg.training.callbacks import Clock

Run = Callable[..., Path]


def test_endless_stages_fit_into_their_time(run: Run, tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    endless = tiny(stages=2, stage={"epochs": 100_000, "validate_every": 1000, "warmup_steps": 1000})
    run("warm", recipe=tiny(stages=2))  # imports, and the cases are prepared
    began = time.monotonic()
    model = run(recipe=endless, max_minutes=0.08)
    assert time.monotonic() - began < 30, "4.8 s, and more on a busy machine"
    training = read_spec(model).training
    assert training["max_minutes"] == 0.08
    assert 0 < training["steps"] < 100_000
    assert set(training["validation"]["dice"]) == {"whole", "core", "enhancing"}
    first = read_spec(tmp_path / "run/stage-0/model.safetensors").training
    assert first["steps"] > 0
    rates = [
        float(row["learning_rate"])
        for row in csv.DictReader((tmp_path / "run/stage-1/csv/metrics.csv").open(newline=""))
        if row["learning_rate"]
    ]
    if len(rates) > 3:  # a machine that is busy with other work may not come further
        assert rates[-1] < 0.2 * max(rates), "the schedule reached its end"


def test_a_budget_that_is_long_enough_changes_nothing(run: Run, finished: Path, tiny: Callable[..., Recipe]) -> None:
    training = read_spec(run(recipe=tiny(stages=2), max_minutes=600)).training
    before = read_spec(finished / "model.safetensors").training
    assert (training["epochs"], training["steps"]) == (before["epochs"], before["steps"])
    assert training["validation"]["loss"] == pytest.approx(before["validation"]["loss"], rel=1e-6)
    assert training["validation"]["dice"] == pytest.approx(before["validation"]["dice"])


def test_a_resumed_run_keeps_the_budget(
    run: Run,
    tiny: Callable[..., Recipe],
    tmp_path: Path,
    kill_after: Callable[..., None],
    killed: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endless = tiny(stage={"epochs": 100_000, "validate_every": 1000})
    kill_after(7)
    with pytest.raises(killed):
        run(recipe=endless, max_minutes=60)
    state = read_state(tmp_path / "run")
    assert state is not None
    spent = state.seconds
    assert spent > 0
    kill_after(-1)
    run(recipe=endless, max_minutes=spent / 60, resume=True)
    training = read_spec(tmp_path / "run/model.safetensors").training
    assert 7 <= training["steps"] <= 9, "a step or so after the sixth, which was saved, since the time is over"
    assert training["seconds"] > spent


def test_a_clock_counts_all_sessions() -> None:
    clock = Clock(1.0, earlier=50.0)
    assert clock.spent == pytest.approx(50, abs=0.5)
    assert clock.left == pytest.approx(10, abs=0.5)
    assert Clock().left == float("inf")
