"""Networks of one architecture that share what OpenVINO compiles."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest

from tunetseg.errors import InputError
from tunetseg.models.engines import choose_engine
from tunetseg.models.engines.openvino import OpenVinoEngine
from tunetseg.models.engines.sharing import graph_key, weights_to_inputs
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
    real = OpenVinoEngine.compile

    def compile_model(engine: OpenVinoEngine, model: openvino.Model, shape: tuple[int, int, int, int]) -> object:
        shapes.append((1, *shape))
        return real(engine, model, shape)

    monkeypatch.setattr(OpenVinoEngine, "compile", compile_model)
    return shapes


def test_models_of_one_architecture_are_compiled_once(models: Models, compiled: list[tuple[int, ...]]) -> None:
    engine = OpenVinoEngine("32")
    assert engine.shares
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
    assert engine.shares
    compiled.clear()
    image = np.random.default_rng(0).normal(size=(4, 16, 16, 16)).astype(np.float32)
    first, second, *_ = find_models(["robust"])
    for path in (first, second):
        assert engine.load(path, shared=True)(image) == pytest.approx(torch_says(path, image), abs=1e-4)
    assert compiled == [(1, *image.shape)]


def test_another_architecture_is_compiled_by_itself(models: Models, compiled: list[tuple[int, ...]]) -> None:
    engine = OpenVinoEngine("32")
    assert engine.shares
    compiled.clear()
    paths = [models(0), models(0, network="tunet-reb1"), models(0, options={"base_filters": 3, "levels": 2})]
    networks = [engine.load(path, shared=True) for path in paths]
    for _ in range(2):
        for path, network in zip(paths, networks, strict=True):
            assert network(IMAGE) == pytest.approx(torch_says(path), abs=1e-4)
    assert len(compiled) == 3, "each network keeps its own"


def test_weights_are_read_as_the_graph_has_them() -> None:
    """Those of a second model, read from its file, are what its own graph would have given."""
    first, second, *_ = find_models(["robust"])
    engine, other = OpenVinoEngine("32"), OpenVinoEngine("32")
    engine.load(first, shared=True)
    read, own = engine.load(second, shared=True)._weights, other.load(second, shared=True)._weights
    assert len(read) == len(own) > 100
    assert all(np.array_equal(one, two) and one.shape == two.shape for one, two in zip(read, own, strict=True))


def test_graphs_are_read_once(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = OpenVinoEngine("32")
    assert engine.shares
    read = []
    real = OpenVinoEngine.read
    monkeypatch.setattr(OpenVinoEngine, "read", lambda self, graph: read.append(graph.name) or real(self, graph))
    for seed in range(3):
        engine.load(models(seed), shared=True)
    assert read == [models(0).with_suffix(".onnx").name]


def test_models_whose_files_are_alike_have_one_key(models: Models, tmp_path: Path) -> None:
    keys = {graph_key(models(seed)) for seed in range(3)}
    assert len(keys) == 1
    assert graph_key(models(0, network="tunet-reb1")) not in keys
    assert graph_key(models(0, options={"base_filters": 3, "levels": 2})) not in keys


def test_an_onnx_file_of_other_weights_is_refused(models: Models, tmp_path: Path) -> None:
    """Also where the graph is known, and the file is not read."""
    engine = OpenVinoEngine("32")
    engine.load(models(0), shared=True)
    mixed = tmp_path / models(0).name
    for seed, suffix in ((0, ".onnx"), (1, ".safetensors")):
        mixed.with_suffix(suffix).write_bytes(models(seed).with_suffix(suffix).read_bytes())
    with pytest.raises(InputError, match="does not belong to"):
        engine.load(mixed, shared=True)


def test_no_graph_becomes_dynamic(models: Models, compiled: list[tuple[int, ...]]) -> None:
    """REB's shortcuts upsample by constants that are no weights."""
    engine = OpenVinoEngine("32")
    path = models(0, network="tunet-reb1")
    model = engine.read(path.with_suffix(".onnx"))
    weights_to_inputs(model, {})
    model.reshape({model.input(0): [1, *IMAGE.shape]})
    assert not model.is_dynamic()


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
    real = OpenVinoEngine.compile

    def refuse(self: OpenVinoEngine, model: openvino.Model, shape: tuple[int, int, int, int]) -> object:
        if len(model.inputs) > 1:
            raise RuntimeError("weights must be constant")
        return real(self, model, shape)

    monkeypatch.setattr(OpenVinoEngine, "compile", refuse)
    for seed in range(2):
        assert engine.load(models(seed), shared=True)(IMAGE) == pytest.approx(torch_says(models(seed)), abs=1e-5)
    assert len(compiled) == 2
