"""``plan.json``: the models of a study, one row each. Light: torch is imported only to check a new plan."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from tunetseg.errors import InputError
from tunetseg.io.files import make_folder, whole_file
from tunetseg.progress import Progress, silent
from tunetseg.training.config import Option, TrainConfig
from tunetseg.training.recipes import Recipe, recipe_from_dict, recipe_to_dict

if TYPE_CHECKING:
    from tunetseg.training.planning import Plan as Run

__all__ = ["PLAN", "RECIPE", "Model", "StudyPlan", "Timing", "make_plan", "open_study", "read_plan"]

_LOG = logging.getLogger(__name__)

PLAN = "plan.json"
RECIPE = "recipe.json"

SHARED = (
    "dataset",
    "labels",
    "seed",
    "device",
    "devices",
    "workers",
    "data_on_device",
    "channels_last",
    "cuda_graphs",
    "compile",
    "max_minutes",
    "skip_broken",
)
"""Fields of `TrainConfig` that all models of a study have in common."""


class Model(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of a study.

    Args:
        name: Method and fold, such as ``tunet-seb/fold-0``.
        method: Network with the options that were set, by which tables call it.
        network: Name of the network.
        options: Options of the network.
        fold: Fold kept for validation.
        recipe: File of the recipe, in the study's folder.
        run: Run folder, in the study's folder.
    """

    name: str
    method: str
    network: str
    options: dict[str, Option] = {}
    fold: int
    recipe: str = RECIPE
    run: str


class Timing(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Seconds that a network takes, one number per stage of the recipe.

    Args:
        step: Of a training step.
        forward: Of a forward pass of the same patches.
    """

    step: tuple[float, ...]
    forward: tuple[float, ...]


class StudyPlan(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a study trains.

    Args:
        version: Of the file's format.
        cohort: Folder of cases with reference segmentations.
        folds: Number of folds.
        threads: Threads of each process. The weights may depend on it in the last bits.
        settings: Fields of `TrainConfig` that all models have in common.
        step_minutes: Minutes that the steps of a model take by the timings; None: the recipe says how many steps.
        timings: Method -> its timing, where the study has such a budget.
        models: A row per model.
    """

    version: Literal[1] = 1
    cohort: str
    folds: int
    threads: int
    settings: dict[str, Any]
    step_minutes: float | None = None
    timings: dict[str, Timing] = {}
    models: tuple[Model, ...]

    @property
    def methods(self) -> dict[str, tuple[Model, ...]]:
        """Method -> its models, in the order of the plan."""
        names = dict.fromkeys(model.method for model in self.models)
        return {name: tuple(model for model in self.models if model.method == name) for name in names}

    def config(self, folder: Path, model: Model) -> TrainConfig:
        """Return the training run of a model of the study in a folder."""
        return TrainConfig(
            cohort=self.cohort,
            out=str(folder / model.run),
            recipe=str(folder / model.recipe),
            network=model.network,
            network_options=model.options,
            fold=model.fold,
            cache=str(folder / "cache"),
            resume=True,
            **self.settings,
        )


def make_plan(
    cohort: str | Path,
    networks: Sequence[tuple[str, dict[str, Option]]],
    recipe: Recipe,
    *,
    only: Sequence[int] = (),
    threads: int = 1,
    step_minutes: float | None = None,
    **settings: Any,
) -> StudyPlan:
    """Return the plan of a study; nothing is written.

    Args:
        cohort: Folder of cases with reference segmentations.
        networks: Name and options of each network.
        recipe: Recipe of all models; it says how many folds there are.
        only: Folds whose models are trained; by default all.
        threads: Threads of each process.
        step_minutes: Minutes that the steps of each model may take. Each network has a recipe of its own then, whose
            epochs `open_study` sets.
        settings: Fields of `TrainConfig` that all models have in common.

    Raises:
        InputError: Nothing to train, a network twice, an unknown fold, a budget that is not above 0, or two budgets.
    """
    if step_minutes is not None and not step_minutes > 0:
        raise InputError(f"step_minutes is {step_minutes:g}; must be above 0")
    if step_minutes is not None and settings.get("max_minutes") is not None:
        raise InputError("max_minutes and step_minutes are two budgets; give one")
    unknown = next((fold for fold in only if not 0 <= fold < recipe.folds), None)
    if unknown is not None:
        raise InputError(f"fold is {unknown}; choose from 0 to {recipe.folds - 1}")
    methods = [_method(*network) for network in networks]
    twice = next((name for name in methods if methods.count(name) > 1), None)
    if not methods or twice is not None:
        raise InputError(f"network {twice} is named twice; name each once" if twice else "no network is named")
    models = [
        Model(
            name=f"{method}/fold-{fold}",
            method=method,
            network=name,
            options=options,
            fold=fold,
            recipe=RECIPE if step_minutes is None else f"recipes/{method}.json",
            run=f"models/{method}/fold-{fold}",
        )
        for method, (name, options) in zip(methods, networks, strict=True)
        for fold in (only or range(recipe.folds))
    ]
    given = {name: _absolute(value) for name, value in settings.items() if value != getattr(_DEFAULTS, name)}
    return StudyPlan(
        cohort=str(Path(cohort).resolve()),
        folds=recipe.folds,
        threads=threads,
        settings=given,
        step_minutes=step_minutes,
        models=tuple(models),
    )


_DEFAULTS = TrainConfig(cohort="", out="")


def _absolute(value: Any) -> Any:
    """Return the path of a description as jobs see it, which begin in other folders."""
    return str(Path(value).resolve()) if isinstance(value, str) and value.endswith(".toml") else value


def _method(network: str, options: dict[str, Option]) -> str:
    parts = [
        f"{key}={','.join(map(str, value)) if isinstance(value, tuple) else value}" for key, value in options.items()
    ]
    return " ".join([network, *parts]).replace(os.sep, "-").replace(" ", "-")


def open_study(folder: str | Path, plan: StudyPlan, recipe: Recipe, *, progress: Progress = silent) -> StudyPlan:
    """Write a new plan into the folder of a study, or add its models to those of the plan that is there.

    Every network is checked against recipe and cohort first. Where the plan has a budget of steps, new networks are
    timed, and each gets a recipe with the epochs that the budget buys.

    Returns:
        The plan as it is in the folder now.

    Raises:
        InputError: The folder belongs to a study of another cohort, recipe or settings, or a network does not fit.
    """
    target = Path(folder)
    earlier = read_plan(target) if (target / PLAN).exists() else None
    if earlier is not None:
        _check_same(target, earlier, plan, recipe)
        known = {model.name for model in earlier.models}
        added = tuple(model for model in plan.models if model.name not in known)
        plan = msgspec.structs.replace(earlier, models=(*earlier.models, *added))
    else:
        added = plan.models
    runs = _runs(plan, added, recipe)
    if not added:
        return plan
    recipes = {RECIPE: recipe}
    if plan.step_minutes is not None:
        from tunetseg.studies.budget import budgeted, time_networks

        new = {method: run for method, run in runs.items() if method not in plan.timings}
        timings = time_networks(new, progress=progress)
        for method, timing in timings.items():
            found = budgeted(recipe, timing, len(new[method].training), plan.step_minutes)
            recipes[f"recipes/{method}.json"] = found
            epochs = " + ".join(str(stage.epochs) for stage in found.stages)
            _LOG.info("%s: %s s per step, so %s epochs", method, " and ".join(map(str, timing.step)), epochs)
        plan = msgspec.structs.replace(plan, timings=plan.timings | timings)
    for name, one in recipes.items():
        make_folder((target / name).parent)
        _write(target / name, recipe_to_dict(one))
    _write(target / PLAN, msgspec.to_builtins(plan))
    return plan


def _runs(plan: StudyPlan, models: Sequence[Model], recipe: Recipe) -> "dict[str, Run]":
    """Return method -> the first of its runs, worked out, with the recipe of the study; nothing is written.

    Raises:
        InputError: A network does not fit recipe or cohort.
    """
    from tunetseg.preparation.pack import is_pack
    from tunetseg.training.planning import plan as plan_run

    if is_pack(plan.cohort):
        raise InputError(f"{plan.cohort}: is a pack; a study segments its cases too, so give the folder of the images")
    chosen: dict[str, Model] = {}
    for model in models:
        chosen.setdefault(model.method, model)
    return {
        method: plan_run(msgspec.structs.replace(plan.config(Path(), model), recipe=recipe, resume=False))
        for method, model in chosen.items()
    }


def read_plan(folder: str | Path) -> StudyPlan:
    """Return the plan of a study.

    Raises:
        InputError: The folder holds none, or it is damaged.
    """
    path = Path(folder) / PLAN
    try:
        return msgspec.json.decode(path.read_bytes(), type=StudyPlan)
    except OSError:
        there = Path(folder).is_dir()
        fault = f"is not the folder of a study, which holds {PLAN}" if there else "there is no such study"
        raise InputError(f"{folder}: {fault}; to begin one, give 'tunet study' a cohort") from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: is damaged ({error}); plan the study again in another folder") from None


def _check_same(folder: Path, earlier: StudyPlan, plan: StudyPlan, recipe: Recipe) -> None:
    try:
        old = recipe_from_dict(json.loads((folder / RECIPE).read_text(encoding="utf-8")), str(folder / RECIPE))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / RECIPE}: cannot be read ({error}); plan the study again in another folder"
        ) from None
    pairs = {
        "cohort": (earlier.cohort, plan.cohort),
        "recipe": (old, recipe),
        "settings": (earlier.settings, plan.settings),
        "budget": (earlier.step_minutes, plan.step_minutes),
        "number of threads": (earlier.threads, plan.threads),
    }
    different = [name for name, (before, now) in pairs.items() if before != now]
    if different:
        raise InputError(f"{folder}: is a study of another {' and '.join(different)}; choose another folder")


def _write(path: Path, content: Any) -> None:
    with whole_file(path, durable=True) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
