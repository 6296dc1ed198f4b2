"""``tunet segment`` in several processes or jobs."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunetseg.cli.console import line_console, shown
from tunetseg.cli.segment import segment
from tunetseg.datasets import Case
from tunetseg.errors import InputError
from tunetseg.io.files import make_folder, whole_file
from tunetseg.studies.launch import submit
from tunetseg.studies.local import run_tasks, share_of_cores
from tunetseg.studies.tasks import Task, flag_words, tunet

__all__ = ["segment_in_parts"]

_OWN = {"shards", "launcher", "template", "limit", "dry_run", "cases", "patients"}
"""Settings that are not passed on to the processes of the parts."""

_NAMES_OR_PATHS = {"model", "dataset", "labels", "postprocessing"}
"""Settings whose values may be files and folders, or names."""

_WITH_MESSAGES = (2, 3)
"""Exit codes of runs that went through all cases and had something to say: cases left out, warnings with --strict."""


def segment_in_parts(cases: Sequence[Case], settings: Mapping[str, Any]) -> None:
    """Run ``tunet segment`` on parts of the cases, here or through a scheduler, then on all, which are complete then.

    Args:
        cases: Those that were chosen.
        settings: What ``tunet segment`` was given.

    Raises:
        InputError: Single files are given, or a part fails.
    """
    if not settings["patients"]:
        raise InputError("--shards and --launcher are for the cases of folders, but single files are given")
    if settings["shards"] < 1:
        raise InputError(f"--shards {settings['shards']}: give 1 or more")
    folder = make_folder(settings["out"] / "jobs").resolve()
    parts = [cases[first :: settings["shards"]] for first in range(min(settings["shards"], len(cases)))]
    words = _words(settings)
    listed = ["--cases", str(settings["cases"].resolve())] if settings["cases"] else []
    everything = [*_words({**settings, "redo": False}), *listed]  # the last run must not do all of it again
    tasks = [_task(folder, number, part, words) for number, part in enumerate(parts)]
    last = Task("table of volumes", (tunet("segment", *everything),), folder / "volumes.log")
    if settings["launcher"] == "slurm" or settings["dry_run"]:
        handed = submit(
            tasks,
            folder,
            missing=range(len(tasks)),
            then=last,
            template=settings["template"],
            threads=4,
            limit=settings["limit"],
            dry_run=settings["dry_run"],
        )
        lines = handed.commands if settings["dry_run"] else [f"submitted job {job}" for job in handed.jobs]
        for line in (f"{len(cases)} cases in {len(tasks)} parts; script {handed.script}", *lines):
            line_console().print(line)
        return
    at_once, threads = share_of_cores(len(tasks), settings["limit"] or len(tasks))
    with shown() as progress:
        for some, jobs in ((tasks, at_once), ([last], 1)):
            codes = run_tasks(some, jobs=jobs, threads=threads, progress=progress)
            # The last run says again, over all cases, what a part left out or warned of.
            failed = next((task for task in some if codes[task.name] not in (0, *_WITH_MESSAGES)), None)
            if failed is not None:
                raise InputError(f"{failed.name}: ended with exit code {codes[failed.name]}; see {failed.log}")
    if codes[last.name]:
        line_console().print(f"some cases were left out or warned of; see {last.log}", style="bold yellow")
        raise SystemExit(codes[last.name])
    line_console().print(f"{len(cases)} cases are segmented; see {settings['out']} and {last.log}")


def _task(folder: Path, number: int, part: Sequence[Case], words: Sequence[str]) -> Task:
    listed = folder / f"cases-{number}.txt"
    with whole_file(listed) as partial:
        partial.write_text("".join(f"{case.id}\n" for case in part), encoding="utf-8")
    log = folder / f"part-{number}.log"
    command = tunet("segment", *words, "--cases", str(listed))
    # The last run, over all cases, says again what a part says, so the others need not stop for it.
    return Task(f"part {number}", (command,), log, also_well=_WITH_MESSAGES)


def _words(settings: Mapping[str, Any]) -> list[str]:
    """Return the words of the command for all parts, with absolute paths, as jobs begin in other folders."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(segment).parameters.items()}
    given = {
        name: (_absolute(name, value), defaults[name])
        for name, value in settings.items()
        if name not in _OWN and value != defaults[name]
    }
    return [*(str(folder.resolve()) for folder in settings["patients"]), *flag_words(given)]


def _absolute(name: str, value: Any) -> Any:
    """Return the value of an option with absolute paths; some options take names, or files and folders."""
    if isinstance(value, tuple):
        return tuple(_absolute(name, one) for one in value)
    if isinstance(value, Path) or (name in _NAMES_OR_PATHS and ("/" in value or Path(value).exists())):
        return str(Path(value).resolve())
    return value
