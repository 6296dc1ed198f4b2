"""Calibration curves: what they change, what they leave, and that a model keeps them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.models.calibration import Calibration, calibrate
from tunetseg.models.store import ModelSpec, load_network, read_spec, replace_spec

SOFT = Calibration(temperature=2.0)
STEPS = Calibration(kind="isotonic", probabilities=(0.0, 0.5, 1.0), frequencies=(0.0, 0.2, 0.9))


def test_a_temperature_keeps_the_order_and_one_half() -> None:
    given = np.linspace(0, 1, 101, dtype=np.float32)
    found = SOFT(given)
    assert found.dtype == np.float32
    assert (np.diff(found) > 0).all()
    assert found[50] == pytest.approx(0.5)
    assert found[90] == pytest.approx(1 / (1 + (1 / 9) ** 0.5), abs=1e-6)
    assert found[0] == 0, "outside the brain nothing becomes possible"
    assert np.allclose(Calibration()(given), given, atol=2e-6)


def test_points_are_joined_by_lines() -> None:
    assert STEPS(np.float32([0, 0.25, 0.5, 0.75, 1])) == pytest.approx([0, 0.1, 0.2, 0.55, 0.9])


@pytest.mark.parametrize(
    "points", [((0.5,), (0.5,)), ((0, 1), (1, 0)), ((0, 0), (0, 1)), ((0, 0.5, 1), (0, 1))], ids=str
)
def test_a_curve_must_rise(points: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="needs two points or more whose values rise"):
        Calibration(kind="isotonic", probabilities=points[0], frequencies=points[1])


def test_an_ensemble_takes_the_mean_of_its_curves() -> None:
    given = np.full((2, 3), 0.9, np.float32)
    both = calibrate(given, ("whole", "core"), [{"whole": SOFT, "core": SOFT}, {"whole": STEPS}])
    assert both[0] == pytest.approx((SOFT(given[0]) + STEPS(given[0])) / 2)
    assert np.array_equal(both[1], given[1]), "one model has no curve for it"
    assert calibrate(given, ("whole", "core"), []) is given


def test_a_model_keeps_its_calibration_and_its_weights(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(tiny_model.read_bytes())
    spec = read_spec(path)
    assert spec.calibration == {}
    replace_spec(path, replace(spec, calibration={"core": STEPS, "whole": SOFT}))
    network, found = load_network(path)
    assert found.calibration == {"core": STEPS, "whole": SOFT}
    before = load_network(tiny_model)[0].state_dict()
    assert all(np.array_equal(value, before[name]) for name, value in network.state_dict().items())
    assert replace(found, calibration={}) == spec


def test_a_calibration_that_does_not_fit(tiny_model: Path, tmp_path: Path, make_model) -> None:
    spec = read_spec(tiny_model)
    with pytest.raises(ValueError, match="a calibration of an unknown region 'kidney'"):
        replace(spec, calibration={"kidney": SOFT})
    raw = spec.to_dict() | {"calibration": {"core": {"temperature": -1}}}
    with pytest.raises(InputError, match=r"m: cannot be used here \(calibration: .*temperature"):
        ModelSpec.from_dict(raw, "m")
    other = make_model(tmp_path / "other.safetensors", "kits19")
    with pytest.raises(ValueError, match="is of another network"):
        replace_spec(other, spec)
