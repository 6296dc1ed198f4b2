"""A small cohort, and a plan of a few models of seconds."""

from pathlib import Path

import pytest

from tunetseg.datasets.phantom import write_cohort
from tunetseg.studies.plan import StudyPlan, make_plan, open_study
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
