"""A small cohort, a recipe of seconds, and a way to interrupt a run at any moment."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as lightning
import torch

from tunetseg.datasets.phantom import write_cohort
from tunetseg.training import Recipe, train
from tunetseg.training.callbacks import Journal
from tunetseg.training.recipes import recipe_from_dict

TINY = {
    "name": "tiny",
    "folds": 2,
    "bce_weight": 1.0,
    "ema_decay": 0.9,
    "precision": "32",
    "keep": "last",
    "suggested_options": {"base_filters": 2, "levels": 2},
    "defaults": {
        "whole_volume": True,
        "batch_size": 2,
        "samples_per_case": 3,
        "epochs": 2,
        "schedule": "cosine",
        "early_stopping_patience": 0,
        "learning_rate": 3e-3,
        "augmentation": {
            "flip": {"probability": [0.5, 0, 0]},
            "affine": {"probability": 1, "rotation": [5, 5, 5], "scale": 0.0},
            "noise": {"probability": 1, "std": 0.1},
        },
    },
    "stages": [
        {"spacing": 14.0, "patch_size": [12, 16, 12]},
        {"spacing": 10.0, "patch_size": [16, 20, 16]},
    ],
}
"""Two stages of two epochs of three steps."""


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they bring at these sizes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def training_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four synthetic patients; nobody may change them."""
    folder = tmp_path_factory.mktemp("training") / "cohort"
    write_cohort(folder, cases=4, shape=(32, 40, 28), spacing=7.0)
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that runs share."""
    return tmp_path_factory.mktemp("prepared")


def _tiny(*, stages: int = 1, stage: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    """Return the recipe of seconds.

    Args:
        stages: How many of its stages.
        stage: Changes of every stage.
        changes: Changes of the recipe.
    """
    raw = {**TINY, **changes, "stages": [{**one, **(stage or {})} for one in TINY["stages"][:stages]]}
    return recipe_from_dict(raw)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Recipe]:
    """Return a function that makes the recipe of seconds, with changes."""
    return _tiny


@pytest.fixture
def run(training_cohort: Path, prepared: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that trains the tiny recipe, or another, in ``tmp_path / name``."""

    def train_tiny(name: str = "run", **settings: Any) -> Path:
        settings = {"cohort": training_cohort, "recipe": _tiny(), "cache": prepared, **settings}
        return train(out=tmp_path / name, **settings)

    return train_tiny


@pytest.fixture(scope="session")
def finished(training_cohort: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run of the tiny recipe's two stages; nobody may change it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    train(cohort=training_cohort, out=out, recipe=_tiny(stages=2), cache=prepared)
    return out


class KilledError(Exception):
    """Stands for a kill: nothing is saved because of it."""


@pytest.fixture
def killed() -> type[Exception]:
    """The error that stands for a kill."""
    return KilledError


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Return a function that has something done after so many further steps of training; a kill by default."""

    def kill() -> None:
        raise KilledError

    def install(steps: int, what: Callable[[], None] = kill) -> None:
        left = [steps]
        plain = Journal.on_train_batch_end

        def counted(self: Journal, trainer: lightning.Trainer, *arguments: Any) -> None:
            plain(self, trainer, *arguments)
            left[0] -= 1
            if left[0] == 0:
                what()

        monkeypatch.setattr(Journal, "on_train_batch_end", counted)

    return install
