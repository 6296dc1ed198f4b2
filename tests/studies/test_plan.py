"""The plan of a study: a row per model, the same however often it is asked for."""

import json
from pathlib import Path

import msgspec
import pytest

from tunetseg.errors import InputError
from tunetseg.studies.plan import StudyPlan, make_plan, open_study, read_plan
from tunetseg.training.recipes import Recipe


def test_a_row_per_model(study: Path, study_cohort: Path) -> None:
    rows = json.loads((study / "plan.json").read_text())["models"]
    assert [row["name"] for row in rows] == [
        "tunet-seb/fold-0",
        "tunet-seb/fold-1",
        "tunet-coupling=separate/fold-0",
        "tunet-coupling=separate/fold-1",
    ]
    assert rows[3]["options"] == {"coupling": "separate"}
    config = read_plan(study).config(study, read_plan(study).models[3])
    assert (config.network, config.fold, config.resume, config.cohort) == ("tunet", 1, True, str(study_cohort))
    assert config.find_recipe().name == "tiny"


def test_files_are_named_as_jobs_in_other_folders_see_them(study_cohort: Path, recipe: Recipe) -> None:
    found = make_plan(study_cohort, [("tunet", {})], recipe, dataset="my.toml", labels="2020", max_minutes=None)
    assert found.settings == {"dataset": str(Path("my.toml").resolve()), "labels": "2020"}


def test_models_can_be_added(study: Path, plan: StudyPlan, study_cohort: Path, recipe: Recipe) -> None:
    more = make_plan(study_cohort, [("tunet-reb1", {}), ("tunet-seb", {})], recipe, only=[1], threads=1)
    found = open_study(study, more, recipe)
    assert [model.name for model in found.models] == [*(model.name for model in plan.models), "tunet-reb1/fold-1"]
    assert read_plan(study) == found


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"threads": 2}, "number of threads"),
        ({"settings": {"max_minutes": 1.0}}, "settings"),
        ({"cohort": "a"}, "cohort"),
    ],
)
def test_another_study_is_refused(study: Path, plan: StudyPlan, recipe: Recipe, change: dict, what: str) -> None:
    with pytest.raises(InputError, match=f"another {what}"):
        open_study(study, msgspec.structs.replace(plan, **change), recipe)
    with pytest.raises(InputError, match="another recipe"):
        open_study(study, plan, msgspec.structs.replace(recipe, seed=5))


def test_what_cannot_be_planned(study_cohort: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fold is 2; choose from 0 to 1"):
        make_plan(study_cohort, [("tunet", {})], recipe, only=[2])
    with pytest.raises(InputError, match="network tunet is named twice"):
        make_plan(study_cohort, [("tunet", {}), ("tunet", {})], recipe)
    with pytest.raises(InputError, match="unknown network 'tunt'"):
        open_study(tmp_path / "new", make_plan(study_cohort, [("tunt", {})], recipe), recipe)
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match="is not the folder of a study"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        read_plan(tmp_path)
