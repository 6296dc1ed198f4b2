"""Recipes: what the packaged ones say, and errors that name the file and the field."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tunetseg.errors import InputError
from tunetseg.networks import create_network
from tunetseg.training import Recipe, Stage, find_recipe, recipe_names
from tunetseg.training.augmentation import Affine, Augmentation, Flip
from tunetseg.training.recipes import recipe_from_dict, recipe_to_dict


def test_recipe_paper_is_the_papers() -> None:
    recipe = find_recipe("paper")
    (stage,) = recipe.stages
    assert (recipe.suggested_options, recipe.folds, recipe.l2) == ({"base_filters": 16, "levels": 4}, 5, 1e-5)
    assert (recipe.bce_weight, recipe.prior_logit, recipe.ema_decay) == (0, 0, 0)
    assert (stage.spacing, stage.patch_size, stage.batch_size, stage.epochs) == (1.0, (80, 96, 64), 4, 200)
    assert (stage.learning_rate, stage.plateau_factor, stage.plateau_patience) == (1e-4, 0.2, 6)
    assert stage.early_stopping_patience == 15
    assert stage.augmentation == Augmentation(
        flip=Flip(probability=(0.5, 0, 0)), affine=Affine(probability=1, rotation=(0, 0, 1), scale=0)
    )
    assert recipe_from_dict({"name": "paper", "suggested_options": recipe.suggested_options}).stages != recipe.stages
    assert Recipe().stages == (Stage(),)


@pytest.mark.parametrize("name", recipe_names())
def test_packaged_recipes(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.title == recipe.name == name
    assert recipe_from_dict(json.loads(json.dumps(recipe_to_dict(recipe)))) == recipe
    stride = create_network("tunet", base_filters=2, levels=4).stride
    assert all(side % stride == 0 for stage in recipe.stages for side in stage.patch_size)


def test_a_changed_recipe_says_so() -> None:
    quick = find_recipe("quick")
    assert msgspec.structs.replace(quick, l2=0.5).title == "quick, changed"
    assert msgspec.structs.replace(quick, name="mine", l2=0.5).title == "mine"


def test_a_file_can_extend_a_packaged_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "quick"\nl2 = 0.5\n[defaults.augmentation.noise]\nstd = 0.05\n')
    mine, quick = find_recipe(path), find_recipe("quick")
    assert (mine.name, mine.l2, mine.bce_weight) == ("custom", 0.5, quick.bce_weight)
    for stage, before in zip(mine.stages, quick.stages, strict=True):
        assert (stage.epochs, stage.augmentation.noise.std, stage.augmentation.noise.probability) == (
            before.epochs,
            0.05,
            0.8,
        )
        assert stage.augmentation.gamma == before.augmentation.gamma


def test_robust_keeps_t1ce_most_often() -> None:
    dropout = find_recipe("robust").stages[-1].augmentation.channel_dropout
    assert dropout.probability > 0.2
    assert dropout.keep_by_name["t1ce"] > dropout.keep


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"keep": "lowest"}, "keep is 'lowest'; must be one of best, last"),
        ({"precision": "fp16"}, "precision is 'fp16'; must be one of auto, bf16, 32"),
        ({"ema_decay": 1.5}, "ema_decay is 1.5; must be 0.99999 or less"),
        ({"denoise": 1}, "denoise is 1; must be true or false"),
        ({"seed": -1}, "seed is -1; must be 0 or more"),
        ({"stages": 5}, "stages is 5; must be a list"),
        ({"stages": []}, "stages is []; must be a list of length 1 or more"),
        ({"stages": [{}, {"batch_size": 0}]}, "stages[1].batch_size is 0; must be 1 or more"),
        ({"stages": [{"schedule": "linear"}]}, "stages[0].schedule is 'linear'; must be one of plateau, cosine"),
        ({"stages": [{"patch_size": [80, 96]}]}, "stages[0].patch_size is [80, 96]; must be a list of length 3"),
        ({"stages": [{"learning_rate": float("nan")}]}, "stages[0].learning_rate is nan; must be 0 or more"),
        ({"stages": [{"learning_rate": float("inf")}]}, "stages[0].learning_rate is inf; must be 100 or less"),
        ({"stages": [{"spacing": 25}]}, "stages[0].spacing is 25; must be 20 or less"),
        ({"stages": [{"epochs": 1.5}]}, "stages[0].epochs is 1.5; must be a whole number"),
        ({"stages": [{"epochs": True}]}, "stages[0].epochs is True; must be a whole number"),
        ({"stages": [{"augmentation": 4}]}, "stages[0].augmentation is 4; must be a table of fields"),
        (
            {"defaults": {"augmentation": {"elastic": {"displacement": 1}}}, "stages": [{}]},
            "stages[0].augmentation.elastic.probability is missing",
        ),
        ({"stages": [{"validate_every": 3}]}, "stages[0]: the plateau schedule needs the validation loss of each"),
        ({"extends": "fast"}, "extends: unknown recipe 'fast'; choose from "),
        ([], "the recipe is []; must be a table of fields"),
        ({"stages": [{"learning_rate": 1e300}]}, "stages[0].learning_rate is 1e+300; must be 100 or less"),
        ({"l2": 1e300}, "l2 is 1e+300; must be 1000000 or less"),
        ({"stages": [{"patch_size": [2**30, 8, 8]}]}, "stages[0]: patch size 1073741824 x 8 x 8: at most 1024 voxels"),
        ({"stages": [{"patch_size": [1024, 1024, 1024]}]}, "stages[0]: patch size 1024 x 1024 x 1024: at most 1024"),
    ],
)
def test_errors_name_the_file_the_field_and_what_is_allowed(raw: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        recipe_from_dict(raw, "recipe.toml")
    assert str(caught.value).startswith(f"recipe.toml: {message}")


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(InputError, match=r"stages\[0\]\.batchsize is not a field; choose from spacing, "):
        recipe_from_dict({"stages": [{"batchsize": 3}]})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fast", None, "unknown recipe 'fast'; choose from adapt, fine15, kits, narrow, paper, quick, refine, robust"),
        ("a.toml", None, "a.toml: there is no such file"),
        ("a.toml", "l2 = ", "a.toml: invalid TOML"),
        ("a.json", "{", "a.json: invalid JSON"),
        ("a.json", "[" * 50_000, "a.json: invalid JSON (nested too deeply)"),
        ("a.toml", "a = " + "[" * 50_000, "a.toml: invalid TOML (nested too deeply)"),
        ("a.json", '{"folds": ' + "9" * 400 + "}", "a.json: invalid JSON (a whole number of more than 64 bits)"),
        ("a.toml", "seed = " + "9" * 400, "a.toml: invalid TOML (a whole number of more than 64 bits)"),
    ],
)
def test_files_that_cannot_be_used(
    name: str, text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path(name).write_text(text)
    with pytest.raises(InputError) as caught:
        find_recipe(name)
    assert str(caught.value).startswith(message)
