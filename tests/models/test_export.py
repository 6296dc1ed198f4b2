"""Models as ONNX: the same results without PyTorch, weights stored as they are, files that belong to each other."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tunetseg.cli.main import main
from tunetseg.errors import InputError
from tunetseg.inference.predictor import load_model
from tunetseg.io.seal import SEAL
from tunetseg.models import export
from tunetseg.models.companion import STRIDE, WEIGHTS, onnx_file
from tunetseg.models.engines import choose_engine
from tunetseg.models.engines.openvino import shared_core
from tunetseg.models.export import write_onnx, write_openvino
from tunetseg.models.store import load_network, read_spec, replace_spec, save_model, weights_hash

IMAGE = np.random.default_rng(0).normal(size=(4, 8, 12, 10)).astype(np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Path]) -> Path:
    """A model of few weights, stored in bfloat16, with its ONNX file next to it."""
    path = make_model(tmp_path_factory.mktemp("exported") / "model.safetensors", patch_size=(8, 8, 8))
    network, spec = load_network(path)
    save_model(path, network, spec, torch.bfloat16)
    assert write_onnx(path) == path.with_suffix(".onnx")
    return path


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """A copy of both files, which a test may change."""
    for path in (exported, onnx_file(exported)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / exported.name


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_engines_agree_with_pytorch(name: str, exported: Path) -> None:
    """At another shape than the one that was exported."""
    expected = choose_engine("torch", device="cpu", precision="32").load(exported)(IMAGE)
    network = choose_engine(name, precision="32").load(exported)
    assert network.stride == 2
    for image in (IMAGE, IMAGE[:, :, :8], IMAGE):
        assert network(image).shape == (3, *image.shape[1:])
    assert network(IMAGE) == pytest.approx(expected, abs=1e-5)
    network.release()
    assert network(IMAGE[:, :, ::-1]) != pytest.approx(expected, abs=1e-3)
    assert network(IMAGE) == pytest.approx(expected, abs=1e-5)


def test_openvino_in_bfloat16_is_near(exported: Path) -> None:
    engine = choose_engine("openvino")
    if engine.precision == "32":
        pytest.skip("this processor has no bfloat16")
    expected = choose_engine("torch", device="cpu", precision="32").load(exported)(IMAGE)
    found = engine.load(exported)(IMAGE)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=0.05)
    assert found != pytest.approx(expected, abs=1e-6)


def test_weights_are_stored_as_in_the_model(exported: Path) -> None:
    graph = onnx.load(onnx_file(exported))
    onnx.checker.check_model(graph)
    kinds = {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) == 5}
    assert kinds == {onnx.TensorProto.BFLOAT16}
    facts = {entry.key: entry.value for entry in graph.metadata_props}
    assert facts.pop(SEAL) != "0" * 64
    assert facts == {STRIDE: "2", WEIGHTS: weights_hash(exported)}
    assert onnx_file(exported).stat().st_size < 3 * exported.stat().st_size
    assert not any(node.metadata_props or node.doc_string for node in graph.graph.node)


def test_a_damaged_onnx_file_is_found_when_the_model_is_opened(exported: Path, tmp_path: Path) -> None:
    for path in (exported, onnx_file(exported)):
        shutil.copy(path, tmp_path)
    model = tmp_path / exported.name
    content = onnx_file(model).read_bytes()
    load_model(model, engine="openvino")
    for place in (10, len(content) // 2, len(content) - 3):
        onnx_file(model).write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(InputError, match=r"\.onnx: damaged, its checksum is not that of its content"):
            load_model(model, engine="openvino")


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_file_of_other_weights_is_refused(name: str, copy: Path) -> None:
    spec = read_spec(copy)
    spec.training["note"] = "tuned"
    replace_spec(copy, spec)
    assert choose_engine(name).load(copy)(IMAGE).shape == (3, 8, 12, 10), "the weights are the same"
    network, spec = load_network(copy)
    with torch.no_grad():
        network.output_layers[0].bias.add_(1)
    save_model(copy, network, spec, torch.bfloat16)
    with pytest.raises(
        InputError, match=r"model\.onnx: does not belong to .*model\.safetensors; make it again with 't"
    ):
        choose_engine(name).load(copy)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_damaged_or_missing_file(name: str, copy: Path) -> None:
    onnx_file(copy).write_bytes(onnx_file(copy).read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.onnx: not a readable ONNX file") as caught:
        choose_engine(name).load(copy)
    assert "\n" not in str(caught.value)
    onnx_file(copy).unlink()
    with pytest.raises(InputError, match=r"has no ONNX file next to it; make it with 'tunet export"):
        choose_engine(name).load(copy)


def test_openvino_files(exported: Path, tmp_path: Path) -> None:
    path = write_openvino(exported, tmp_path / "ir.xml")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ir.bin", "ir.xml"]
    compiled = shared_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    logits = compiled([IMAGE[None]])[0][0]
    expected = choose_engine("torch", device="cpu", precision="32").load(exported)(IMAGE)
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(expected, abs=1e-4)


def test_openvino_files_are_not_made_of_other_weights(
    copy: Path, tmp_path: Path, make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(copy, seed=1, patch_size=(8, 8, 8))
    with pytest.raises(InputError, match=r"model\.onnx: does not belong to"):
        write_openvino(copy, tmp_path / "ir.xml")
    onnx_file(copy).unlink()
    earlier = tmp_path / "ir.onnx"
    earlier.write_bytes(b"of someone")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no operator for this")

    monkeypatch.setattr(torch.onnx, "export", fail)
    monkeypatch.setattr(export, "write_onnx", write_onnx)
    with pytest.raises(InputError, match="cannot be written as ONNX"):
        write_openvino(copy, tmp_path / "ir.xml")
    assert earlier.read_bytes() == b"of someone"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ir.onnx", "model.safetensors"]


def test_a_network_that_cannot_be_written(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no operator for this\nand a long report")

    monkeypatch.setattr(torch.onnx, "export", fail)
    before = onnx_file(copy).read_bytes()
    with pytest.raises(InputError, match=r"network 'tunet-seb' cannot be written as ONNX \(no operator for this\)$"):
        write_onnx(copy)
    assert onnx_file(copy).read_bytes() == before


def test_the_command(
    exported: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def written(model: Path, target: Path) -> Path:
        assert model == copy
        target.write_bytes(onnx_file(exported).read_bytes())
        return target

    monkeypatch.setattr(export, "write_onnx", written)
    onnx_file(copy).unlink()
    assert main(["export", str(copy)]) == 0
    assert onnx_file(copy).is_file()
    assert main(["export", str(copy), "--openvino", "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / f"{tmp_path.name}.bin").is_file()
    assert capsys.readouterr().out.count("wrote ") == 2
    assert main(["export", str(copy), str(copy)]) == 2
    assert "same file" in capsys.readouterr().err
