"""A run's configuration: plain, picklable, and refused where a value is out of range."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.training import TrainConfig, find_recipe


def test_it_survives_json_and_pickle() -> None:
    config = TrainConfig(
        cohort="c",
        out="o",
        recipe=find_recipe("robust"),
        network="segresnet-vae",
        network_options={"base_filters": 8, "input_size": (16, 16, 16)},
        fold="all",
        max_minutes=2.5,
    )
    assert TrainConfig.from_json(config.to_json()) == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_paths_and_numpy_integers_become_plain() -> None:
    """A loop over ``np.arange(5)`` used to die when the record was written (B7)."""
    config = TrainConfig(cohort=Path("c"), out=Path("o"), fold=np.int64(3), seed=np.uint8(1))  # type: ignore[arg-type]
    assert (config.cohort, config.fold, config.seed) == ("c", 3, 1)
    assert type(config.fold) is int
    assert TrainConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("fold", -1, "fold is -1; must be 0 or more"),
        ("fold", 1.5, "fold is 1.5; must be a whole number"),
        ("fold", "first", "fold is 'first'; must be a whole number"),
        ("devices", 0, "devices is 0; must be 1 or more"),
        ("workers", -1, "workers is -1; must be 0 or more"),
        ("max_minutes", 0.0, "max_minutes is 0; must be above 0"),
        ("max_minutes", float("nan"), "max_minutes is nan; must be above 0"),
    ],
)
def test_values_out_of_range(field: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainConfig(cohort="c", out="o", **{field: value})


def test_json_of_something_else_is_refused() -> None:
    for text in ("{", "{}", '{"cohort": "c", "out": "o", "batch": 3}'):
        with pytest.raises(InputError, match="training configuration"):
            TrainConfig.from_json(text)


def test_a_recipe_made_in_python_is_checked() -> None:
    import msgspec

    wrong = msgspec.structs.replace(find_recipe("quick"), folds=1)
    with pytest.raises(InputError, match="folds is 1; must be 2 or more"):
        TrainConfig(cohort="c", out="o", recipe=wrong).find_recipe()


def test_configurations_are_made_without_torch() -> None:
    code = (
        "import sys; from tunetseg.training import TrainConfig, find_recipe, read_state, recipe_names\n"
        "TrainConfig(cohort='c', out='o').find_recipe(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
