"""The ensembles of a study: which models vote, and what is segmented with them."""

import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path

from tunetseg.io.files import whole_file
from tunetseg.models.zoo import ENSEMBLE, MODEL
from tunetseg.studies.plan import Model, StudyPlan
from tunetseg.studies.tasks import Task, prediction_folder, segment_words, tunet

__all__ = ["NAME", "ensemble_tasks", "members", "test_folder", "test_tasks", "voters", "write_ensemble"]

NAME = "ensemble"
"""Of the folders of its segmentations."""

PAPER = ("tunet-seb", "tunet-reb1-seb", "tunet-reb2-seb")
"""The networks whose fifteen models vote in the paper."""


def members(plan: StudyPlan) -> tuple[str, ...]:
    """Return the methods that vote: the paper's three where the study has them, else all."""
    methods = plan.methods
    return PAPER if set(PAPER) <= set(methods) else tuple(methods)


def voters(plan: StudyPlan) -> list[Model]:
    """Return the models that vote on new cases: every fold of every method that votes."""
    return [model for method in members(plan) for model in plan.methods[method]]


def write_ensemble(plan: StudyPlan, folder: Path) -> Path:
    """Write the list of the models that vote, by which ``tunet segment --model STUDY`` finds them."""
    names = [f"{model.run}/{MODEL}" for model in voters(plan)]
    with whole_file(folder / ENSEMBLE) as partial:
        partial.write_text(json.dumps({"models": names}, indent=1) + "\n", encoding="utf-8")
    return folder / ENSEMBLE


def ensemble_tasks(plan: StudyPlan, folder: Path, folds: Collection[int]) -> list[Task]:
    """Return one task per fold: the models of the fold, which never saw its cases, vote on them."""
    if len(members(plan)) < 2:
        return []
    tasks = []
    for fold in folds:
        runs = [folder / model.run for model in voters(plan) if model.fold == fold]
        out = prediction_folder(folder, NAME)
        words = segment_words(plan, plan.cohort, runs, out, runs[0] / "validation.txt", probabilities=True)
        tasks.append(Task(f"{NAME}, fold {fold}", (tunet("segment", *words),), folder / "logs" / f"{NAME}.log"))
    return tasks


def test_folder(folder: Path, cohort: Path, method: str) -> Path:
    """Return where the segmentations of a second cohort are; cases of two cohorts may have the same names."""
    place = cohort.resolve()
    return folder / "test" / f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}" / method


def test_tasks(plan: StudyPlan, folder: Path, cohort: Path, postprocessing: str) -> list[Task]:
    """Return one task per method that votes, its folds averaged, and one for all of them."""
    methods = plan.methods
    groups: dict[str, Sequence[Model]] = {method: methods[method] for method in members(plan)}
    if len(groups) > 1:
        groups[NAME] = voters(plan)
    tasks = []
    for method, models in groups.items():
        runs = [folder / model.run for model in models]
        words = segment_words(
            plan, str(cohort.resolve()), runs, test_folder(folder, cohort, method), postprocessing=postprocessing
        )
        tasks.append(Task(f"{method}, test", (tunet("segment", *words),), folder / "logs" / f"{method}-test.log"))
    return tasks
