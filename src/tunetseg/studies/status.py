"""Where the models of a study stand, from files alone. Light: torch is not imported here."""

import json
import time
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tunetseg.models.zoo import MODEL
from tunetseg.studies.plan import Model, read_plan
from tunetseg.training.lock import STALE, read_holder, sign_of_life
from tunetseg.training.state import RunState, read_state

__all__ = ["ModelStatus", "read_status"]

Word = Literal["waiting", "running", "stopped", "stale", "failed", "finished"]


class ModelStatus(Struct, frozen=True, kw_only=True):
    """Where one model stands.

    Args:
        name: Method and fold.
        status: ``waiting``: not begun; ``running``; ``stopped``: by a signal, to be resumed; ``stale``: its process has
            gone without a word, to be resumed; ``failed``: by an error; ``finished``.
        stage: Stage, from 0.
        stages: Number of stages.
        epoch: Epochs of the stage that are done.
        epochs: Epochs of the stage in all.
        dice: Region -> mean Dice of the latest validation.
        seconds: Time spent.
        rate: Epochs of the stage per hour, over the whole run; None where unknown.
        left: Seconds until the end at the rate so far; None where unknown.
        message: Why it failed or stopped.
        host: Computer.
        job: Job of the scheduler.
    """

    name: str
    status: Word
    stage: int = 0
    stages: int = 0
    epoch: int = 0
    epochs: int = 0
    dice: dict[str, float] = {}
    seconds: float = 0.0
    rate: float | None = None
    left: float | None = None
    message: str = ""
    host: str = ""
    job: str | None = None


def read_status(folder: str | Path) -> list[ModelStatus]:
    """Return where the models of a study stand, in the order of its plan.

    Raises:
        InputError: The folder is not that of a study.
    """
    study = Path(folder)
    plan = read_plan(study)
    recipes = {model.recipe for model in plan.models}
    weights = {recipe: _stage_weights(study / recipe) for recipe in recipes}
    return [_status(study, model, weights[model.recipe]) for model in plan.models]


def _status(study: Path, model: Model, weights: list[float]) -> ModelStatus:
    run = study / model.run
    state = read_state(run)
    word, message = _word(run, study / "logs" / f"{model.name.replace('/', '-')}.log", state)
    if state is None:
        return ModelStatus(name=model.name, status=word, message=message)
    return ModelStatus(
        name=model.name,
        status=word,
        stage=state.stage,
        stages=state.stages,
        epoch=state.epoch,
        epochs=state.epochs,
        dice=state.last.dice if state.last is not None else {},
        seconds=state.seconds,
        rate=_rate(state, weights) if word == "running" else None,
        left=_left(state, weights) if word == "running" else None,
        message=message,
        host=state.host,
        job=state.job,
    )


def _word(run: Path, log: Path, state: RunState | None) -> tuple[Word, str]:
    """Return the word for where a run stands, and why."""
    if (run / MODEL).exists():
        return "finished", ""
    if is_held(run):
        return "running", ""
    if state is None:
        last = _last_line(log)
        failed = last.startswith("error:")
        return ("failed", last.removeprefix("error:").strip()) if failed else ("waiting", "")
    if state.status == "running":
        return (
            "stale",
            f"its process on {state.host} has gone without a word; last written: {_last_line(log) or 'nothing'}",
        )
    return ("stopped" if state.status == "stopped" else "failed"), state.message


def is_held(run: Path) -> bool:
    """Return whether a process is working in a run folder, as far as files tell."""
    holder = read_holder(run)
    if holder is None:
        return False
    alive = holder.alive
    # The clock of the computer that holds it may differ from this one's by some seconds.
    return abs(time.time() - sign_of_life(run)) < STALE if alive is None else alive


def _left(state: RunState, weights: list[float]) -> float | None:
    """Return the seconds until the end at the rate so far."""
    if len(weights) != state.stages or not state.epochs:
        return None
    done = _done(state, weights)
    if not done or not state.seconds:
        return None
    left = state.seconds * (sum(weights) - done) / done
    return left if state.max_minutes is None else max(0.0, min(left, 60 * state.max_minutes - state.seconds))


def _rate(state: RunState, weights: list[float]) -> float | None:
    """Return the epochs of the present stage per hour, as the voxels shown so far say."""
    if len(weights) != state.stages or not state.epochs or not state.seconds:
        return None
    return 3600 * _done(state, weights) / (weights[state.stage] / state.epochs) / state.seconds or None


def _done(state: RunState, weights: list[float]) -> float:
    return sum(weights[: state.stage]) + weights[state.stage] * state.epoch / state.epochs


def _stage_weights(recipe: Path) -> list[float]:
    """Return how long each stage takes compared with the others: by the voxels that it shows."""
    try:
        stages = json.loads(recipe.read_text(encoding="utf-8"))["stages"]
        return [
            float(stage["epochs"] * stage["samples_per_case"] * x * y * z)
            for stage in stages
            for x, y, z in [stage["patch_size"]]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
