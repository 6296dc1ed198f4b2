"""``tunet status``."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from tunetseg.evaluation.text import TextTable
    from tunetseg.studies import ModelStatus

__all__ = ["status"]

_EVERY = 10.0
"""Seconds between two looks with --watch."""


def status(
    study: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")],
    *,
    watch: bool = False,
    json: bool = False,
) -> None:
    """Show where the models of a study stand, from files alone: on any computer, after anything.

    waiting: not begun; running; stopped: by a signal, the next call resumes it; stale: its process has gone without a
    word, the next call resumes it; failed: by an error, which is shown; finished.

    Args:
        study: Folder of the study.
        watch: Look again every ten seconds until all models are finished or failed.
        json: Print JSON.
    """
    from tunetseg.cli.console import table_console
    from tunetseg.cli.tables import print_lines, print_table
    from tunetseg.studies.status import read_status

    console = table_console()
    while True:
        models = read_status(study)
        if json:
            import msgspec

            print(msgspec.json.encode(models).decode(), flush=True)
        else:
            if watch and console.is_terminal:
                console.clear()
            print_table(console, _table(models))
            print_lines(console, _lines(models))
        if not watch or all(model.status in {"finished", "failed"} for model in models):
            return
        time.sleep(_EVERY)


def _table(models: "Sequence[ModelStatus]") -> "TextTable":
    from tunetseg.cli.console import duration
    from tunetseg.evaluation.text import TextTable

    rows = tuple(
        (
            model.name,
            model.status,
            f"{model.stage + 1} of {model.stages}" if model.stages else "",
            f"{model.epoch} of {model.epochs}" if model.epochs else "",
            " ".join(f"{value:.3f}" for value in model.dice.values()),
            duration(model.seconds) if model.seconds else "",
            _rate(model),
            "" if model.left is None else duration(model.left),
            model.job or model.host,
        )
        for model in models
    )
    heads = ("model", "status", "stage", "epoch", "Dice", "time", "epochs/h", "left", "where")
    return TextTable("", heads, rows, left=2)


def _rate(model: "ModelStatus") -> str:
    return f"{model.rate:.1f}" if model.rate else ""


def _lines(models: "Sequence[ModelStatus]") -> list[str]:
    """Return how many models stand where, and why some do not go on."""
    counts: dict[str, int] = {}
    for model in models:
        counts[model.status] = counts.get(model.status, 0) + 1
    lines = [", ".join(f"{count} {word}" for word, count in counts.items())]
    return lines + [f"{model.name}: {model.message}" for model in models if model.message]
