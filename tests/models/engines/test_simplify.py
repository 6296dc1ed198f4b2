"""OpenVINO graphs without operations that change nothing."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13 as ops

from tunetseg.models.engines.openvino import OpenVinoEngine, shared_core
from tunetseg.models.engines.simplify import simplify
from tunetseg.models.export import write_companion
from tunetseg.models.store import load_network, save_model

IMAGE = np.random.default_rng(0).normal(size=(4, 8, 12, 10)).astype(np.float32)


def run(model: openvino.Model, image: np.ndarray) -> np.ndarray:
    return shared_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([image[None]])[0]


def kinds(model: openvino.Model) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ordered_ops())


@pytest.mark.parametrize("name", ["tunet", "tunet-seb", "tunet-reb1", "tunet-reb2"])
def test_a_network_gives_the_same(name: str, tmp_path: Path, make_model: Callable[..., Path]) -> None:
    path = make_model(tmp_path / "model.safetensors", network=name)
    network, spec = load_network(path)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():  # as trained: no bias is 0
            parameter.add_(0.1 * torch.randn(parameter.shape))
    save_model(path, network, spec)
    model = OpenVinoEngine("32").read(write_companion(path))
    before, expected = kinds(model), run(model, IMAGE)
    simplify(model)
    after = kinds(model)
    assert run(model, IMAGE) == pytest.approx(expected, abs=1e-4 * float(np.abs(expected).max()))
    assert before["ShapeOf"] > 50
    assert after["ShapeOf"] == 0
    assert after["Add"] < before["Add"]
    assert after["Convolution"] == before["Convolution"]


@pytest.mark.parametrize(("axes", "adds"), [([2, 3, 4], 0), ([-3, -2, -1], 0), ([1, 2, 3, 4], 1)])
def test_only_a_bias_that_normalisation_takes_away_is_left_out(axes: list[int], adds: int) -> None:
    image = ops.parameter([1, 4, 8, 12, 10], np.float32)
    biased = ops.add(image, np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1, 1))
    normalised = ops.mvn(biased, np.array(axes), True, 1e-5, "inside_sqrt")
    model = openvino.Model([normalised], [image])
    expected = run(model, IMAGE)
    simplify(model)
    assert kinds(model)["Add"] == adds
    assert run(model, IMAGE) == pytest.approx(expected, abs=1e-5)


def test_shapes_that_depend_on_the_image_stay() -> None:
    image = ops.parameter([1, 4, -1, -1, -1], np.float32)
    flat = ops.reshape(
        image,
        ops.concat(
            [
                np.array([1, 4]),
                ops.unsqueeze(
                    ops.reduce_prod(ops.slice(ops.shape_of(image), np.array([2]), np.array([5]), np.array([1])), 0), 0
                ),
            ],
            0,
        ),
        special_zero=False,
    )
    model = openvino.Model([flat], [image])
    simplify(model)
    for side in (8, 6):
        assert run(model, IMAGE[:, :side]).shape == (1, 4, side * 120)
