"""The plateau schedule and early stopping count as Keras does, interrupted or not."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tunetseg.models.store import read_spec
from tunetseg.training import Recipe


def test_plateau_and_stop_survive_interruptions(
    run: Callable[..., Path],
    tiny: Callable[..., Recipe],
    tmp_path: Path,
    kill_after: Callable[..., None],
    killed: type[Exception],
) -> None:
    """Where nothing improves, the rate falls and training ends at the epochs that Keras counts."""
    still = tiny(
        ema_decay=0.0,
        stage={
            "learning_rate": 1e-12,
            "schedule": "plateau",
            "epochs": 20,
            "plateau_patience": 2,
            "early_stopping_patience": 5,
            "samples_per_case": 1,
        },
    )
    run("whole", recipe=still)
    for resume, steps in ((False, 2), (True, 1), (True, 3)):
        kill_after(steps)
        with pytest.raises(killed):
            run("broken", recipe=still, resume=resume)
    kill_after(-1)
    model = run("broken", recipe=still, resume=True)
    assert read_spec(model).training["epochs"] == 6, "one good epoch, then five that are not"
    for name in ("whole", "broken"):
        logs = (tmp_path / name / "stage-0/csv").glob("*.csv")
        rows = [row for log in logs for row in csv.DictReader(log.open(newline=""))]
        assert {row["epoch"] for row in rows} == {str(epoch) for epoch in range(6)}, "no session's log is lost"
        rates = {int(row["epoch"]): float(row["learning_rate"]) for row in rows if row["learning_rate"]}
        # The rate falls after the second and the fourth of them.
        assert [rates[epoch] for epoch in range(6)] == pytest.approx([1e-12] * 2 + [2e-13] * 2 + [4e-14] * 2), name


def test_a_run_killed_after_its_last_epoch_does_not_train_further(
    run: Callable[..., Path],
    tiny: Callable[..., Recipe],
    killed: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    still = tiny(stage={"learning_rate": 1e-12, "epochs": 9, "early_stopping_patience": 1, "samples_per_case": 1})
    whole = run("whole", recipe=still)

    def kill(*arguments: object) -> None:
        raise killed

    monkeypatch.setattr("tunetseg.training.stage._finish", kill)
    with pytest.raises(killed):
        run(recipe=still)
    monkeypatch.undo()
    assert read_spec(run(recipe=still, resume=True)).training["epochs"] == read_spec(whole).training["epochs"]
