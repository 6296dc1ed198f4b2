"""What is run: command lines, each of which may be run again at any time and does only what is missing."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunetseg.errors import InputError
from tunetseg.io.files import whole_file
from tunetseg.studies.plan import Model, StudyPlan
from tunetseg.training.config import TrainConfig

__all__ = ["Task", "flag_words", "model_task", "segment_words", "train_words", "tunet", "write_tasks"]


@dataclass(frozen=True)
class Task:
    """Commands that are run one after another, each only if the one before has ended well.

    Args:
        name: For messages.
        commands: Words of each command.
        log: File that their output is added to.
        processes: Processes that the first command consists of.
        also_well: Exit codes, besides 0, with which the last command has done its work, so that a job may follow.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    log: Path
    processes: int = 1
    also_well: tuple[int, ...] = ()

    def line(self, parallel: Sequence[str] = ()) -> str:
        """Return the task as one line for bash, which ends with 0 where the work is done.

        Args:
            parallel: Words that start the processes of the first command, where there are several.

        Raises:
            InputError: A word holds a line break.
        """
        first, *others = self.commands
        words = [(*parallel, *first) if self.processes > 1 else first, *others]
        line = f"{{ {' && '.join(map(shlex.join, words))}; }} >> {shlex.quote(str(self.log))} 2>&1"
        if self.also_well:
            line += f" || case $? in {'|'.join(map(str, self.also_well))}) ;; *) exit $?;; esac"
        if "\n" in line:
            raise InputError(f"{self.name}: the name of a file or folder holds a line break; rename it")
        return line


def write_tasks(tasks: Sequence[Task], path: Path, parallel: Sequence[str] = ()) -> Path:
    """Write a file of one line per task."""
    with whole_file(path) as partial:
        partial.write_text("".join(f"{task.line(parallel)}\n" for task in tasks), encoding="utf-8")
    return path


def tunet(*words: str) -> tuple[str, ...]:
    """Return the command line of this installation's ``tunet``."""
    return (sys.executable, "-m", "tunetseg", *words)


def model_task(plan: StudyPlan, folder: Path, model: Model) -> Task:
    """Return the task that trains a model and then segments the cases of its fold, which it never saw."""
    config = plan.config(folder, model)
    segment = segment_words(
        plan,
        plan.cohort,
        [folder / model.run],
        prediction_folder(folder, model.method),
        folder / model.run / "validation.txt",
    )
    log = folder / "logs" / f"{model.name.replace('/', '-')}.log"
    return Task(model.name, (tunet("train", *train_words(config)), tunet("segment", *segment)), log, config.devices)


def prediction_folder(folder: Path, method: str) -> Path:
    """Return where the segmentations of a method are."""
    return folder / "predictions" / method


def segment_words(
    plan: StudyPlan,
    cohort: str,
    models: Sequence[Path],
    out: Path,
    cases: Path | None = None,
    *,
    probabilities: bool = False,
    postprocessing: str = "none",
) -> list[str]:
    """Return the words of ``tunet segment`` for cases of a cohort; those that are complete are skipped.

    Segmentations get the label values of the references, so that both are read in the same way afterwards.
    """
    words = [cohort, "--model", *map(str, models), "--out", str(out), "--postprocessing", postprocessing]
    words += ["--cases", str(cases)] if cases is not None else []
    words += ["--dataset", plan.settings["dataset"]] if "dataset" in plan.settings else []
    words += ["--labels", plan.settings["labels"]] if "labels" in plan.settings else []
    words += ["--device", plan.settings["device"]] if "device" in plan.settings else []
    words += ["--skip-broken"] if plan.settings.get("skip_broken") else []
    return [*words, *(["--probabilities"] if probabilities else [])]


_FLAGS = {"seed": "run_seed"}
"""Field of `TrainConfig` -> flag, where they differ."""


def train_words(config: TrainConfig) -> list[str]:
    """Return the words of ``tunet train`` that ask for a run.

    Args:
        config: Its recipe is a name or a file.

    Examples:
        >>> train_words(TrainConfig(cohort="brats", out="run", fold=2, resume=True))
        ['brats', '--out', 'run', '--fold', '2', '--resume']
    """
    assert isinstance(config.recipe, str)
    plain = TrainConfig(cohort=config.cohort, out=config.out)
    names = TrainConfig.__struct_fields__[2:]
    changed = {_FLAGS.get(name, name): (getattr(config, name), getattr(plain, name)) for name in names}
    return [config.cohort, "--out", config.out, *flag_words(changed)]


def flag_words(settings: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Return the words of a command line for settings that are not as usual.

    Args:
        settings: Name -> value and its default. Only flags whose default is False are true or false.

    Examples:
        >>> flag_words({"device": ("cpu", "auto"), "skip_broken": (True, False), "without": (("t1", "t2"), ())})
        ['--device', 'cpu', '--skip-broken', '--without', 't1', 't2']
    """
    words = []
    for name, (value, default) in settings.items():
        if value != default:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else _values(value))]
    return words


def _values(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}={','.join(map(str, item)) if isinstance(item, tuple) else item}" for key, item in value.items()]
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
