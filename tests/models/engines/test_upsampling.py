"""Decoders of OpenVINO graphs, convolved before upsampling."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tunetseg.models.engines.openvino import OpenVinoEngine, shared_core
from tunetseg.models.engines.proof import GRAPH
from tunetseg.models.engines.upsampling import convolve_before_upsampling
from tunetseg.models.export import write_companion


@pytest.mark.parametrize(
    ("network", "convolutions"),
    [("tunet-seb", 3), ("tunet-reb2", 6)],
)
def test_the_results_stay_the_same(
    network: str, convolutions: int, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    """Three cascaded networks of one decoder step each; REB's shortcut is a 1x1x1 convolution of the same maps."""
    graph = write_companion(make_model(tmp_path / "model.safetensors", network=network))
    engine = OpenVinoEngine("32")
    image = np.random.default_rng(0).normal(size=(1, 4, 8, 24, 16)).astype(np.float32)
    logits = []
    for rewrite in (False, True):
        model = engine.read(graph)
        if rewrite:
            assert len(convolve_before_upsampling(model)) == 2 * convolutions
        logits.append(engine.compile(model, image.shape[1:])(image)[0])
    assert np.ptp(logits[0]) > 0.1
    assert logits[1] == pytest.approx(logits[0], abs=1e-4)


def test_other_graphs_stay_as_they_are() -> None:
    """A convolution of 4x4x4 or with a stride is not one of decoders."""
    import openvino
    from openvino import opset13 as ops

    coarse, fine = (ops.parameter([1, 2, side, side, side], np.float32) for side in (4, 8))
    scales = np.array([1, 1, 2, 2, 2], np.float32)
    upsampled = ops.interpolate(
        coarse, scales, "nearest", "scales", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    weights = np.ones((3, 4, 3, 3, 3), np.float32)
    for stride, pad, count in ((2, 1, 0), (1, 0, 0), (1, 1, 1)):
        result = ops.convolution(ops.concat([upsampled, fine], 1), weights, [stride] * 3, [pad] * 3, [pad] * 3, [1] * 3)
        model = openvino.Model([result], [coarse, fine])
        assert len(convolve_before_upsampling(model)) == 2 * count
        assert shared_core().compile_model(model, "CPU").output(0).get_shape()[:2] == [1, 3]


def test_the_proof_of_an_engine_has_such_a_convolution() -> None:
    assert len(convolve_before_upsampling(shared_core().read_model(GRAPH))) == 2
