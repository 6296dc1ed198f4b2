"""`tunet train`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from tunetseg.errors import InputError
from tunetseg.training.recipes import RECIPES, Recipe, recipe_named

__all__ = ["Arguments", "train", "tyro_options"]


@dataclass(frozen=True)
class Arguments:
    """Train one model on a cohort; every field of the recipe can be set by a flag of its name.

    The run folder holds the recipe, the patients of both sides, logs (CSV and TensorBoard), checkpoints, and at
    the end model.safetensors. Prepared cases are kept in a cache beside it.

    Args:
        cohort: Folder of cases with segmentations; BraTS 2017 to 2023 as released.
        out: Run folder.
        recipe: paper, quick, narrow, refine, or a .json or .toml file such as a run folder's recipe.json.
        variant: Network, see 'tunet info'.
        fold: Fold kept for validation, or 'all' to train on every patient.
        pretrained: Packaged model, model file or run folder whose weights to start from.
        resume: Go on from the last checkpoint of the run folder.
        cache: Folder of prepared cases.
        labels: BraTS year or scheme of the label values, instead of what each dataset tells.
        device: auto, cpu, cuda or mps.
        workers: Processes that read patches.
        compile: Use torch.compile: a step then takes about half the time, after a minute or two a stage. Needs a
            C++ compiler.
        skip_broken: Report a broken case and go on without it.
        settings: Fields of the recipe, preset by --recipe.
    """

    cohort: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="COHORT")]
    out: Path
    recipe: str = "quick"
    variant: str = "tunet-seb"
    fold: str = "0"
    pretrained: str | None = None
    resume: bool = False
    cache: Path | None = None
    labels: str | None = None
    device: str = "auto"
    workers: int = 0
    compile: bool = False
    skip_broken: bool = False
    settings: Annotated[Recipe, tyro.conf.arg(name="")] = RECIPES["quick"]


def tyro_options(arguments: Sequence[str]) -> dict[str, Any]:
    """The recipe named on the command line presets the flags of its fields."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--recipe", nargs="?", default="quick", const="quick")  # no value: the parser proper complains
    name = finder.parse_known_args(list(arguments))[0].recipe
    return {"default": Arguments(tyro.MISSING, tyro.MISSING, recipe=name, settings=recipe_named(name))}


def train(arguments: Arguments) -> None:
    """Run the command."""
    fold: Any = arguments.fold
    if fold != "all":
        if not fold.isdecimal():
            raise InputError(f"fold {fold!r}: give a number from 0 on, or 'all'")
        fold = int(fold)
    from tunetseg.training.memory import keep_freed_memory
    from tunetseg.training.run import train as train_model

    keep_freed_memory()
    train_model(
        arguments.cohort,
        arguments.out,
        recipe=arguments.settings,
        variant=arguments.variant,
        fold=fold,
        pretrained=arguments.pretrained,
        resume=arguments.resume,
        cache=arguments.cache,
        labels=arguments.labels,
        device=arguments.device,
        workers=arguments.workers,
        compiled=arguments.compile,
        skip_broken=arguments.skip_broken,
    )
