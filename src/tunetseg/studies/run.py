"""Run what is missing of a study, here or through a scheduler."""

import logging
from collections.abc import Sequence
from pathlib import Path

from tunetseg.datasets import find_scheme
from tunetseg.errors import InputError
from tunetseg.inference.manifest import read_manifest
from tunetseg.io.files import make_folder
from tunetseg.models.zoo import MODEL
from tunetseg.progress import Progress, silent
from tunetseg.studies.launch import Submission, submit
from tunetseg.studies.local import gpus_of, run_tasks
from tunetseg.studies.plan import Model, StudyPlan
from tunetseg.studies.postprocessing import manifests
from tunetseg.studies.status import is_held
from tunetseg.studies.tasks import Task, model_task, prediction_folder, tunet

__all__ = ["is_done", "run_here", "submit_study"]

_LOG = logging.getLogger(__name__)


def is_done(folder: Path, model: Model, labels: str = "") -> bool:
    """Return whether a model is trained and the cases of its fold are segmented.

    Args:
        folder: Of the study.
        model: One of its models.
        labels: Name of the label scheme that the segmentations must have; empty for any.
    """
    run, out = folder / model.run, prediction_folder(folder, model.method)
    if not (run / MODEL).exists():
        return False
    try:
        cases = (run / "validation.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    there = manifests(out)
    if not {*cases} <= there.keys():
        return False
    return not labels or all(read_manifest(there[case])["labels"] == labels for case in cases)


def _labels(plan: StudyPlan) -> str:
    """Return the name of the label scheme that the plan names; empty where it names none."""
    named = plan.settings.get("labels")
    return find_scheme(named).name if named else ""


def run_here(plan: StudyPlan, folder: Path, *, jobs: int = 1, progress: Progress = silent) -> dict[str, str]:
    """Train the models that are missing on this computer, and segment the cases that each has not seen.

    Args:
        plan: Of the study.
        folder: Of the study.
        jobs: Models at the same time.
        progress: Told after each model.

    Returns:
        Name -> why a model is not finished.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the trainings have saved.
    """
    study = make_folder(folder).resolve()
    labels = _labels(plan)
    left = [model for model in plan.models if not is_done(study, model, labels)]
    busy = {model.name for model in left if is_held(study / model.run)}
    for name in sorted(busy):
        _LOG.info("%s: is being trained by another process, so it is left to that", name)
    tasks = [model_task(plan, study, model) for model in left if model.name not in busy]
    _LOG.info("%d of %d models are finished; running %d", len(plan.models) - len(left), len(plan.models), len(tasks))

    def told(task: Task, code: int) -> None:
        if code == 0:
            _LOG.info("%s: finished", task.name)
        else:
            _LOG.warning("%s: ended with exit code %d; see %s", task.name, code, task.log)

    codes = run_tasks(tasks, jobs=jobs, threads=plan.threads, gpus=gpus_of(plan), on_end=told, progress=progress)
    ended = {name: f"ended with exit code {code}" for name, code in codes.items() if code}
    return {**dict.fromkeys(busy, "is being trained by another process"), **ended}


def submit_study(
    plan: StudyPlan,
    folder: Path,
    *,
    words: Sequence[str] = (),
    template: Path | None = None,
    limit: int | None = None,
    dry_run: bool = False,
) -> Submission | None:
    """Hand the models that are missing to a scheduler, and the rest of the study to a job that follows.

    Args:
        plan: Of the study.
        folder: Of the study.
        words: Words of ``tunet study`` for what follows.
        template: Script in place of the packaged one.
        limit: Models at the same time.
        dry_run: Hand over nothing.

    Returns:
        What was handed over; None where no model is missing.

    Raises:
        InputError: The scheduler refuses or is not there, or all models that are missing are being trained.
    """
    study = make_folder(folder).resolve()
    labels = _labels(plan)
    left = [number for number, model in enumerate(plan.models) if not is_done(study, model, labels)]
    missing = [number for number in left if not is_held(study / plan.models[number].run)]
    if not left:
        return None
    if not missing:
        raise InputError(f"{folder}: all models that are missing are being trained; see 'tunet status {folder}'")
    for number in sorted({*left} - {*missing}):
        _LOG.info("%s: is being trained by another process, so it is left to that", plan.models[number].name)
    make_folder(study / "logs")
    tasks = [model_task(plan, study, model) for model in plan.models]
    after = Task("results", (tunet("study", "--out", str(study), *words),), study / "logs" / "results.log")
    return submit(
        tasks,
        make_folder(study / "jobs"),
        missing=missing,
        then=after,
        template=template,
        threads=plan.threads,
        limit=limit,
        dry_run=dry_run,
    )
