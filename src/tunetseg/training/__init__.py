"""Training: recipes, configurations, and runs. Everything that needs torch is imported when it is used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunetseg.training.config import TrainConfig
    from tunetseg.training.planning import Plan, plan
    from tunetseg.training.recipes import Recipe, Stage, find_recipe, recipe_names
    from tunetseg.training.run import fit, prepare, train
    from tunetseg.training.state import RunState, read_state

_HOME = {
    "Plan": "planning",
    "Recipe": "recipes",
    "RunState": "state",
    "Stage": "recipes",
    "TrainConfig": "config",
    "find_recipe": "recipes",
    "fit": "run",
    "plan": "planning",
    "prepare": "run",
    "read_state": "state",
    "recipe_names": "recipes",
    "train": "run",
}

__all__ = [
    "Plan",
    "Recipe",
    "RunState",
    "Stage",
    "TrainConfig",
    "find_recipe",
    "fit",
    "plan",
    "prepare",
    "read_state",
    "recipe_names",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
