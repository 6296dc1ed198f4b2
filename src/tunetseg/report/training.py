"""The page of trainings: losses, scores, learning rates, times and samples, from run folders alone."""

import csv
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunetseg.errors import InputError
from tunetseg.io.files import read_json
from tunetseg.report.curves import Curves, Line, make_curves
from tunetseg.report.pages import write_page
from tunetseg.report.palette import region_colours, series_colours
from tunetseg.report.samples import read_samples
from tunetseg.training.state import SAMPLES, RunState, read_state

__all__ = ["Run", "StageLog", "is_run", "read_run", "write_training_page"]


@dataclass(frozen=True)
class StageLog:
    """What a stage logged.

    Args:
        number: Stage, from 0.
        facts: The stage of the recipe.
        epochs: Epoch, from 1 -> column -> value.
        seconds: Epoch -> seconds that it took, as far as known.
        samples: File of the slices that the last validation left.
    """

    number: int
    facts: dict[str, Any]
    epochs: dict[int, dict[str, float]]
    seconds: dict[int, float]
    samples: Path

    def points(self, column: str) -> list[tuple[float, float]]:
        """Return epoch and value of a column."""
        return [(epoch, row[column]) for epoch, row in self.epochs.items() if column in row]

    @property
    def best(self) -> dict[str, float] | None:
        """The validation with the lowest loss: epoch, loss, Dice of each region."""
        rows = [{"epoch": float(epoch), **row} for epoch, row in self.epochs.items() if "val/loss" in row]
        return min(rows, key=lambda row: row["val/loss"], default=None)


@dataclass(frozen=True)
class Run:
    """One run folder.

    Args:
        name: Of the folder.
        facts: What ``run.json`` says.
        state: Where the run stands, if the folder says.
        stages: Stages that have logged anything.
    """

    name: str
    facts: dict[str, Any]
    state: RunState | None
    stages: tuple[StageLog, ...]

    @property
    def regions(self) -> list[str]:
        """Regions that were scored, in the order of the log."""
        columns = {column: None for stage in self.stages for row in stage.epochs.values() for column in row}
        return [column.removeprefix("train/dice_") for column in columns if column.startswith("train/dice_")]


def is_run(path: Path) -> bool:
    """Return whether a folder is one that ``tunet train`` writes."""
    return path.is_dir() and (path / "run.json").is_file() and (path / "recipe.json").is_file()


def read_run(folder: Path) -> Run:
    """Return what the logs of a run folder say; it may still be running.

    Raises:
        InputError: The folder is not a run, or has logged nothing yet.
    """
    if not is_run(folder):
        raise InputError(f"{folder}: is not a run folder of tunet train")
    recipe = read_json(folder / "recipe.json")
    stages = []
    for number, facts in enumerate(recipe.get("stages", [])):
        place = folder / f"stage-{number}"
        epochs = _read_logs(place / "csv")
        if epochs:
            seconds = _epoch_seconds(place / "tensorboard")
            stages.append(StageLog(number, facts, epochs, seconds, place / SAMPLES))
    if not stages:
        raise InputError(f"{folder}: has logged no epoch yet; wait for the first one")
    return Run(folder.resolve().name, read_json(folder / "run.json"), read_state(folder), tuple(stages))


def _told_apart(runs: Sequence[Run], folders: Sequence[Path]) -> list[Run]:
    """Return runs of which each has another name; where folders are called alike, those above them say which."""
    places = [folder.resolve() for folder in folders]
    for count in range(1, max(len(place.parts) for place in places) + 1):
        names = ["/".join(place.parts[-count:]) for place in places]
        if len({*names}) == len({*places}):
            break
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def write_training_page(folders: Sequence[Path], path: str | Path) -> Path:
    """Write the page of runs, such as the folds of one model.

    Args:
        folders: Run folders.
        path: Ends in ``.html``.

    Raises:
        InputError: A folder is not a run or has logged nothing, or the page cannot be written.
    """
    runs = _told_apart([read_run(folder) for folder in folders], folders)
    regions = list(dict.fromkeys(region for run in runs for region in _outermost_first(run.regions)))
    numbers = sorted({stage.number for run in runs for stage in run.stages})
    return write_page(
        path,
        "training.html",
        runs=[_run_facts(run) for run in runs],
        regions=[
            {"name": name, "colour": colour} for name, colour in zip(regions, region_colours(len(regions)), strict=True)
        ],
        colours=series_colours(len(runs)),
        stages=[
            {
                "title": _stage_title(runs, number),
                "charts": _charts(runs, number, regions),
                "samples": _samples(runs, number, len(regions)),
            }
            for number in numbers
        ],
        timed=any(stage.seconds for run in runs for stage in run.stages),
    )


def _outermost_first(regions: Sequence[str]) -> list[str]:
    """Return the usual order of the regions of gliomas; the log has them by the alphabet."""
    usual = {"whole": 0, "core": 1, "enhancing": 2}
    return sorted(regions, key=lambda region: usual.get(region, len(usual)))


def _read_logs(folder: Path) -> dict[int, dict[str, float]]:
    """Return what the CSV files of a stage hold; a later session replaces the epochs that it did again."""
    files = sorted(
        folder.glob("metrics*.csv"),
        key=lambda path: int(found[1]) if (found := re.fullmatch(r"metrics-(\d+)\.csv", path.name)) else 10**9,
    )
    epochs: dict[int, dict[str, float]] = {}
    for file in files:
        try:
            with file.open(newline="", encoding="utf-8") as lines:
                rows = list(csv.DictReader(lines))
        except (OSError, UnicodeDecodeError, csv.Error):
            continue
        for row in rows:
            try:
                values = {
                    name: float(value) for name, value in row.items() if value and name not in {"epoch", "step", None}
                }
                epoch = int(row.get("epoch") or -1) + 1
            except ValueError:  # a line that is being written
                continue
            if epoch:
                epochs.setdefault(epoch, {}).update(values)
    return dict(sorted(epochs.items()))


def _epoch_seconds(folder: Path) -> dict[int, float]:
    """Return how long epochs took, by the times of TensorBoard's records; empty without that package."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ModuleNotFoundError:
        return {}
    found: dict[int, float] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file))
        events.Reload()
        if not {"epoch", "train/loss"} <= set(events.Tags()["scalars"]):
            continue
        steps = {event.step: event.wall_time for event in events.Scalars("train/loss")}
        epochs = {event.step: int(event.value) + 1 for event in events.Scalars("epoch")}
        times = [(epochs[step], time) for step, time in steps.items() if step in epochs]
        found |= {epoch: time - before for (_, before), (epoch, time) in itertools.pairwise(times)}
    return found


def _run_facts(run: Run) -> dict[str, Any]:
    state = run.state
    hours = None if state is None else state.seconds / 3600
    bests = [{"number": stage.number + 1, "best": stage.best, "epochs": max(stage.epochs)} for stage in run.stages]
    network = run.facts.get("network", {})
    return {
        "name": run.name,
        "recipe": _recipe_name(run.facts.get("recipe")),
        "network": network.get("name", "") if isinstance(network, dict) else "",
        "fold": run.facts.get("fold"),
        "cases": [len(run.facts.get("training", [])), len(run.facts.get("validation", []))],
        "status": "unknown" if state is None else state.status,
        "message": "" if state is None else state.message,
        "hours": hours,
        "stages": bests,
    }


def _recipe_name(recipe: Any) -> str:
    """Return the name of a recipe as ``run.json`` holds it."""
    return str(recipe.get("name", "")) if isinstance(recipe, dict) else str(recipe or "")


def _stage_title(runs: Sequence[Run], number: int) -> str:
    facts = next(stage.facts for run in runs for stage in run.stages if stage.number == number)
    spacing = facts.get("spacing")
    patch = facts.get("patch_size") or []
    words = [f"Stage {number + 1}"]
    if isinstance(spacing, int | float):
        words.append(f"{spacing:g} mm")
    if patch:
        shown = " by ".join(str(size) for size in patch)
        words.append(f"volumes up to {shown}" if facts.get("whole_volume") else f"patches of {shown}")
    if facts.get("epochs"):
        words.append(f"{facts['epochs']} epochs")
    return ", ".join(words)


def _charts(runs: Sequence[Run], number: int, regions: Sequence[str]) -> list[Curves]:
    """Return the charts of one stage: a colour is a region in that of Dice, else a run."""
    logs = [(run, stage) for run in runs for stage in run.stages if stage.number == number]
    colours = dict(zip((run.name for run in runs), series_colours(len(runs)), strict=True))
    loss, dice, rates, times = [], [], [], []
    for run, stage in logs:
        name = f"{run.name}, " if len(runs) > 1 else ""
        colour = colours[run.name]
        loss.append(Line(f"{name}training", colour, stage.points("train/loss"), faint=True, legend=run.name))
        loss.append(Line(f"{name}validation", colour, stage.points("val/loss"), legend=run.name))
        rates.append(Line(run.name, colour, stage.points("learning_rate")))
        times.append(Line(run.name, colour, sorted(stage.seconds.items())))
        for region, of_region in zip(regions, series_colours(len(regions)), strict=True):
            for kind, column, faint in (("training", "train", True), ("validation", "val", False)):
                points = stage.points(f"{column}/dice_{region}")
                dice.append(Line(f"{name}{region}, {kind}", of_region, points, faint=faint, legend=region))
    found = [
        make_curves("Loss", loss),
        make_curves("Dice", dice, limits=(0.0, 1.0)),
        make_curves("Learning rate", rates, logarithmic=True),
        make_curves("Seconds per epoch", times, limits=_from_zero(times)),
    ]
    return [curves for curves in found if curves is not None]


def _samples(runs: Sequence[Run], number: int, regions: int) -> list[dict[str, Any]]:
    """Return run and pictures of the samples of one stage; of several runs one each."""
    most = None if len(runs) == 1 else 1
    return [
        {"run": run.name, "pictures": sample.pictures}
        for run in runs
        for stage in run.stages
        if stage.number == number
        for sample in read_samples(stage.samples, regions)[:most]
    ]


def _from_zero(lines: Sequence[Line]) -> tuple[float, float] | None:
    values = [value for line in lines for _, value in line.points if math.isfinite(value)]
    return (0.0, max(values) * 1.05) if values else None
