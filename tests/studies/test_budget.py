"""Networks under one budget of steps."""

import json
from pathlib import Path

import msgspec
import pytest

from tunetseg.errors import InputError
from tunetseg.studies.budget import budgeted, time_networks
from tunetseg.studies.plan import StudyPlan, Timing, make_plan, open_study, read_plan
from tunetseg.studies.status import read_status
from tunetseg.training.config import TrainConfig
from tunetseg.training.planning import plan as plan_run
from tunetseg.training.recipes import Recipe, find_recipe, recipe_from_dict

TWO_STAGES = {
    "stages": [
        {"patch_size": [16, 16, 16], "whole_volume": True, "epochs": 20, "batch_size": 1},
        {"patch_size": [16, 16, 16], "whole_volume": True, "epochs": 10, "batch_size": 2},
    ]
}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have steps take 1 s for every TuNet with blocks of the first kind, half a second for others; note the names."""
    names: list[str] = []

    def time_networks(runs: dict, **settings: object) -> dict[str, Timing]:
        names.extend(runs)
        return {name: Timing(step=(1.0 if "reb1" in name else 0.5,), forward=(0.1,)) for name in runs}

    monkeypatch.setattr("tunetseg.studies.budget.time_networks", time_networks)
    return names


def budget(cohort: Path, recipe: Recipe, *networks: str, minutes: float = 1.0) -> StudyPlan:
    return make_plan(cohort, [(name, {}) for name in networks], recipe, threads=1, step_minutes=minutes)


def test_epochs_are_as_many_as_the_budget_buys_and_stages_keep_their_proportion() -> None:
    recipe = recipe_from_dict(TWO_STAGES)
    found = budgeted(recipe, Timing(step=(0.5, 2.0), forward=(0.1, 0.2)), cases=9, minutes=10)
    # 20 epochs of 9 steps of 0.5 s and 10 of 5 steps of 2 s are 190 s.
    assert [stage.epochs for stage in found.stages] == [63, 32]
    assert msgspec.structs.replace(found, stages=recipe.stages) == recipe


def test_a_budget_below_an_epoch_buys_one_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    found = budgeted(recipe_from_dict(TWO_STAGES), Timing(step=(5.0, 5.0), forward=(1.0, 1.0)), cases=9, minutes=0.1)
    assert [stage.epochs for stage in found.stages] == [1, 1]
    assert "an epoch of each stage takes 70 s, more than the budget of 0.1 minutes" in caplog.text


def test_the_steps_of_a_grid_are_not_known_beforehand() -> None:
    with pytest.raises(InputError, match="recipe paper: shows a grid of patches"):
        budgeted(find_recipe("paper"), Timing(step=(1.0,), forward=(1.0,)), cases=9, minutes=1)


def test_networks_are_timed_in_every_stage(study_cohort: Path) -> None:
    recipe = recipe_from_dict({**TWO_STAGES, "folds": 2, "suggested_options": {"base_filters": 2, "levels": 2}})
    runs = {
        name: plan_run(TrainConfig(cohort=str(study_cohort), out="", recipe=recipe, network=name, device="cpu"))
        for name in ("tunet", "anisotropic-cascade")
    }
    told: list[int] = []
    found = time_networks(runs, rounds=2, progress=lambda name, done, total: told.append(done))
    assert list(found) == ["tunet", "anisotropic-cascade"]
    assert told == [1, 2, 3, 4]
    for timing in found.values():
        assert len(timing.step) == len(timing.forward) == 2
        assert all(step > forward > 0 for step, forward in zip(timing.step, timing.forward, strict=True))


def test_each_network_has_its_own_recipe(study_cohort: Path, recipe: Recipe, tmp_path: Path, timed: list[str]) -> None:
    plan = open_study(tmp_path, budget(study_cohort, recipe, "tunet", "tunet-reb1"), recipe)
    assert read_plan(tmp_path) == plan
    assert plan.timings["tunet-reb1"].step == (1.0,)
    # 60 s are 60 or 120 steps of the three cases of the other fold.
    for method, epochs in (("tunet", 40), ("tunet-reb1", 20)):
        assert json.loads((tmp_path / f"recipes/{method}.json").read_text())["stages"][0]["epochs"] == epochs
        assert plan.config(tmp_path, plan.methods[method][1]).find_recipe().stages[0].epochs == epochs
    assert {model.status for model in read_status(tmp_path)} == {"waiting"}


def test_only_new_networks_are_timed(study_cohort: Path, recipe: Recipe, tmp_path: Path, timed: list[str]) -> None:
    open_study(tmp_path, budget(study_cohort, recipe, "tunet"), recipe)
    open_study(tmp_path, budget(study_cohort, recipe, "tunet", "tunet-reb1"), recipe)
    plan = open_study(tmp_path, budget(study_cohort, recipe, "tunet"), recipe)
    assert timed == ["tunet", "tunet-reb1"]
    assert list(plan.timings) == ["tunet", "tunet-reb1"]
    with pytest.raises(InputError, match="is a study of another budget"):
        open_study(tmp_path, budget(study_cohort, recipe, "tunet", minutes=2.0), recipe)
    with pytest.raises(InputError, match="step_minutes is 0; must be above 0"):
        budget(study_cohort, recipe, "tunet", minutes=0.0)
    with pytest.raises(InputError, match="two budgets; give one"):
        make_plan(study_cohort, [("tunet", {})], recipe, step_minutes=1.0, max_minutes=1.0)
