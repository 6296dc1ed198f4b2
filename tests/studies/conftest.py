"""A small cohort, and a plan of a few models of seconds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tunetseg.cli.main import main
from tunetseg.datasets.phantom import write_cohort
from tunetseg.studies.plan import StudyPlan, make_plan, open_study
from tunetseg.studies.tasks import Task
from tunetseg.training.recipes import Recipe, recipe_from_dict

TINY = {
    "extends": "quick",
    "name": "tiny",
    "folds": 2,
    "precision": "32",
    "keep": "last",
    "suggested_options": {"base_filters": 2, "levels": 2},
    "stages": [{"spacing": 14.0, "patch_size": [16, 16, 16], "whole_volume": True, "epochs": 2}],
}


@pytest.fixture(scope="session")
def study_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six synthetic patients; nobody may change them."""
    folder = tmp_path_factory.mktemp("study") / "cohort"
    write_cohort(folder, cases=6, shape=(32, 40, 28), spacing=7.0)
    return folder


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """One stage of two epochs."""
    return recipe_from_dict(TINY)


@pytest.fixture
def plan(study_cohort: Path, recipe: Recipe) -> StudyPlan:
    """Two methods by two folds."""
    return make_plan(study_cohort, [("tunet-seb", {}), ("tunet", {"coupling": "separate"})], recipe, threads=1)


@pytest.fixture
def study(plan: StudyPlan, recipe: Recipe, tmp_path: Path) -> Path:
    """The folder of a study that has been planned."""
    open_study(tmp_path / "study", plan, recipe)
    return tmp_path / "study"


def run_in_this_process(tasks: Sequence[Task], **settings: Any) -> dict[str, int]:
    """Run the commands of tasks without new processes, which take seconds each to begin."""
    codes = {}
    for task in tasks:
        for command in task.commands:
            codes[task.name] = main(list(command[3:]))
            if codes[task.name]:
                break
        settings.get("on_end", lambda task, code: None)(task, codes[task.name])
    return codes


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have studies run their commands in this process."""
    for module in ("run", "results"):
        monkeypatch.setattr(f"tunetseg.studies.{module}.run_tasks", run_in_this_process)


@pytest.fixture(scope="package")
def finished_study(study_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study with its results and those of a second cohort; nobody may change it."""
    folder = tmp_path_factory.mktemp("finished")
    write_cohort(folder / "second", cases=2, dataset="brats2021", shape=(32, 40, 28), spacing=7.0)
    (folder / "tiny.json").write_text(json.dumps(TINY))
    words = ["study", str(study_cohort), "--out", str(folder / "study"), "--recipe", str(folder / "tiny.json")]
    words += ["--networks", "tunet-seb", "tunet:coupling=separate", "--test", str(folder / "second"), "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        for module in ("run", "results"):
            patch.setattr(f"tunetseg.studies.{module}.run_tasks", run_in_this_process)
        assert main(words) == 0
    return folder / "study"
