"""Hand tasks to a scheduler: a script that anyone can read and edit, and a file of one command line per task."""

import logging
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path

from tunetseg.errors import InputError
from tunetseg.io.files import whole_file
from tunetseg.studies.tasks import Task, write_tasks

__all__ = ["Submission", "submit"]

_LOG = logging.getLogger(__name__)

_JOB = "{job}"
"""Stands for the name of the first job, until it is known."""

_HEADER = re.compile(r"^# tunet (?P<key>submit|then|limit|parallel): *(?P<words>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Submission:
    """What was handed to a scheduler, or would be.

    Args:
        commands: The command lines.
        script: The script that they run.
        jobs: What the scheduler calls the jobs; empty where nothing was handed over.
    """

    commands: tuple[str, ...]
    script: Path
    jobs: tuple[str, ...] = ()


def submit(
    tasks: Sequence[Task],
    folder: Path,
    *,
    missing: Sequence[int],
    then: Task | None = None,
    template: Path | None = None,
    threads: int = 1,
    limit: int | None = None,
    dry_run: bool = False,
) -> Submission:
    """Submit an array job of tasks, and a job that follows when all have ended well.

    Args:
        tasks: All tasks, whose numbers stay the same from one submission to the next.
        folder: Receives the script, the files of command lines, and what the jobs write.
        missing: Numbers of the tasks to run.
        then: What follows.
        template: Script in place of the packaged one for SLURM. The folder's own copy goes before the packaged one.
        threads: Processors per process.
        limit: How many tasks at the same time.
        dry_run: Write the files and hand over nothing.

    Raises:
        InputError: The template lacks a line, or the scheduler refuses or is not there.
    """
    script = _script(folder, template)
    header = {found["key"]: found["words"] for found in _HEADER.finditer(script.read_text(encoding="utf-8"))}
    absent = next((key for key in ("submit", "then") if key not in header), None)
    if absent is not None:
        raise InputError(f"{script}: has no line '# tunet {absent}: ...', which says how it is submitted")
    processes = max(task.processes for task in tasks)
    values = {
        "array": _ranges(missing),
        "limit": _filled(script, {"limit": "{limit}", **header}, "limit", {"limit": limit}) if limit else "",
        "threads": threads,
        "processes": processes,
        "script": shlex.quote(str(script)),
    }
    parallel = shlex.split(_filled(script, header, "parallel", values))
    listed = write_tasks(tasks, folder / "tasks.txt", parallel)
    commands = [_filled(script, header, "submit", {**values, "tasks": shlex.quote(str(listed))})]
    if then is not None:
        last = write_tasks([then], folder / "then.txt")
        known = {**values, "tasks": shlex.quote(str(last)), "job": _JOB}
        commands.append(_filled(script, header, "then", known))
    jobs: list[str] = []
    for command in [] if dry_run else commands:
        jobs.append(_run(command.replace(_JOB, jobs[0]) if jobs else command, folder))
        _LOG.info("submitted job %s: %s", jobs[-1], command)
    return Submission(tuple(commands), script, tuple(jobs))


def _filled(script: Path, header: Mapping[str, str], key: str, values: Mapping[str, object]) -> str:
    """Return a line of the script's header with the values in the places of their names."""
    try:
        return header.get(key, "").format(**values)
    except (LookupError, ValueError):
        names = ", ".join(f"{{{name}}}" for name in values)
        raise InputError(
            f"{script}: the line '# tunet {key}: {header[key]}' has braces that stand for nothing; it may name "
            f"{names}, and other braces are doubled"
        ) from None


def _script(folder: Path, template: Path | None) -> Path:
    """Return the folder's own script, made from the template where there is none yet or another is given."""
    own = folder / "job.sh"
    if template is not None and template.resolve() != own.resolve():
        try:
            text = template.read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"{template}: the template cannot be read ({error.strerror})") from None
    elif own.exists():
        return own
    else:
        text = resources.files("tunetseg.studies").joinpath("templates", "slurm.sh").read_text(encoding="utf-8")
    with whole_file(own) as partial:
        partial.write_text(text, encoding="utf-8")
    return own


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as schedulers write them.

    Examples:
        >>> _ranges([0, 1, 2, 5, 7, 8])
        '0-2,5,7-8'
    """
    whole = sorted(numbers)
    breaks = [0, *(after for after, (a, b) in enumerate(pairwise(whole), start=1) if b != a + 1), len(whole)]
    parts = [whole[begin:end] for begin, end in pairwise(breaks)]
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _run(command: str, folder: Path) -> str:
    """Submit; return what the scheduler calls the job."""
    words = shlex.split(command)
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError(
            f"{words[0]}: there is no such command here; run this on a computer that can submit jobs"
        ) from None
    if done.returncode:
        raise InputError(f"{words[0]} refused: {(done.stderr or done.stdout).strip()}; see {folder / 'job.sh'}")
    return done.stdout.strip().split(";")[0]
