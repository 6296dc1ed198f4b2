"""Networks of one architecture that share what OpenVINO compiles."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tunetseg.models.engines import choose_engine
from tunetseg.models.engines.openvino import OpenVinoEngine, shared_core
from tunetseg.models.engines.sharing import graph_signature, weights_to_inputs
from tunetseg.models.export import write_companion
from tunetseg.models.zoo import find_models

IMAGE = np.random.default_rng(0).normal(size=(4, 8, 12, 10)).astype(np.float32)

Models = Callable[..., Path]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Path]) -> Models:
    folder = tmp_path_factory.mktemp("shared")

    def made(seed: int, **changes: object) -> Path:
        path = folder / f"{seed}-{len(str(changes))}.safetensors"
        if not path.is_file():
            write_companion(make_model(path, seed=seed, **changes))
        return path

    return made


def torch_says(path: Path, image: np.ndarray = IMAGE) -> np.ndarray:
    return choose_engine("torch", device="cpu", precision="32").load(path)(image)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the images that graphs are compiled for."""
    shapes = []
    real = OpenVinoEngine._core_compile

    def compile_model(engine: OpenVinoEngine, model: object) -> object:
        shapes.append(tuple(model.input(0).get_shape()))  # type: ignore[attr-defined]
        return real(engine, model)  # type: ignore[arg-type]

    monkeypatch.setattr(OpenVinoEngine, "_core_compile", compile_model)
    return shapes


def test_models_of_one_architecture_are_compiled_once(models: Models, compiled: list[tuple[int, ...]]) -> None:
    engine = OpenVinoEngine("32")
    assert engine._can_share
    compiled.clear()
    networks = [engine.load(models(seed), shared=True) for seed in range(3)]
    for image in (IMAGE, IMAGE[:, :, :8], IMAGE):
        for seed, network in enumerate(networks):
            assert network(image) == pytest.approx(torch_says(models(seed), image), abs=1e-5)
    assert compiled == [(1, *IMAGE.shape), (1, 4, 8, 8, 10), (1, *IMAGE.shape)], "once per shape, not per model"
    assert networks[0](IMAGE) != pytest.approx(networks[1](IMAGE), abs=1e-3)


def test_the_packaged_models_are_compiled_once(compiled: list[tuple[int, ...]]) -> None:
    """Their files hold bf16: graphs convert it, and look at the shapes of what is converted."""
    engine = OpenVinoEngine("32")
    assert engine._can_share
    compiled.clear()
    image = np.random.default_rng(0).normal(size=(4, 16, 16, 16)).astype(np.float32)
    first, second, *_ = find_models(["robust"])
    for path in (first, second):
        assert engine.load(path, shared=True)(image) == pytest.approx(torch_says(path, image), abs=1e-4)
    assert compiled == [(1, *image.shape)]


def test_another_architecture_is_compiled_by_itself(models: Models, compiled: list[tuple[int, ...]]) -> None:
    engine = OpenVinoEngine("32")
    assert engine._can_share
    compiled.clear()
    paths = [models(0), models(0, network="tunet-reb1"), models(0, options={"base_filters": 3, "levels": 2})]
    networks = [engine.load(path, shared=True) for path in paths]
    for _ in range(2):
        for path, network in zip(paths, networks, strict=True):
            assert network(IMAGE) == pytest.approx(torch_says(path), abs=1e-5)
    assert len(compiled) == 3, "each network keeps its own"


def test_what_a_signature_sees(models: Models) -> None:
    first, second, other = (
        shared_core().read_model(models(*seed, **changes).with_suffix(".onnx"))
        for seed, changes in (((0,), {}), ((1,), {}), ((0,), {"network": "tunet-reb1"}))
    )
    assert graph_signature(first) != graph_signature(second), "weights are part of it"
    weights = [weights_to_inputs(graph) for graph in (first, second, other)]
    assert [array.shape for array in weights[0]] == [array.shape for array in weights[1]]
    assert any((one != two).any() for one, two in zip(*weights[:2], strict=True))
    assert graph_signature(first) == graph_signature(second)
    assert graph_signature(first) != graph_signature(other)


def test_no_graph_becomes_dynamic(models: Models, compiled: list[tuple[int, ...]]) -> None:
    """REB's shortcuts upsample by constants that are no weights."""
    engine = OpenVinoEngine("32")
    path = models(0, network="tunet-reb1")
    model = engine.read(path.with_suffix(".onnx"))
    weights_to_inputs(model)
    model.reshape({model.input(0): [1, *IMAGE.shape]})
    assert not model.is_dynamic()


def test_graphs_within_graphs_are_never_the_same() -> None:
    from openvino import Model
    from openvino import opset13 as ops

    image = ops.parameter([2, 3], np.float32)
    inner = [ops.parameter([2, 3], np.float32) for _ in range(2)]
    choice = ops.if_op(ops.constant(True))
    choice.set_then_body(Model([ops.relu(inner[0])], [inner[0]]))
    choice.set_else_body(Model([ops.tanh(inner[1])], [inner[1]]))
    choice.set_input(image.output(0), inner[0], inner[1])
    result = choice.set_output(choice.get_function(0).get_results()[0], choice.get_function(1).get_results()[0])
    model = Model([result], [image])
    assert graph_signature(model) != graph_signature(model)


def test_what_is_shared_is_let_go(models: Models, compiled: list[tuple[int, ...]]) -> None:
    engine = OpenVinoEngine("32")
    network = engine.load(models(0), shared=True)
    network(IMAGE)
    begun = len(compiled)
    network(IMAGE)
    assert len(compiled) == begun
    engine.release()
    assert network(IMAGE) == pytest.approx(torch_says(models(0)), abs=1e-5)
    assert len(compiled) == begun + 1


def test_weights_stay_constants_where_they_cannot_be_inputs(
    models: Models, monkeypatch: pytest.MonkeyPatch, compiled: list[tuple[int, ...]]
) -> None:
    engine = OpenVinoEngine("32")
    real = OpenVinoEngine._core_compile

    def refuse(self: OpenVinoEngine, model: object) -> object:
        if len(model.inputs) > 1:  # type: ignore[attr-defined]
            raise RuntimeError("weights must be constant")
        return real(self, model)  # type: ignore[arg-type]

    monkeypatch.setattr(OpenVinoEngine, "_core_compile", refuse)
    for seed in range(2):
        assert engine.load(models(seed), shared=True)(IMAGE) == pytest.approx(torch_says(models(seed)), abs=1e-5)
    assert len(compiled) == 2
