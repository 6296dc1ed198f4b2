"""Models as ONNX: the same results without PyTorch, weights stored as they are, files that belong to each other."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tunetseg.cli.main import main
from tunetseg.errors import InputError
from tunetseg.inference.predictor import load_model
from tunetseg.io.seal import SEAL
from tunetseg.models import export
from tunetseg.models.companion import SOURCE, STRIDE, WEIGHTS, onnx_file
from tunetseg.models.engines import choose_engine
from tunetseg.models.engines.openvino import shared_core
from tunetseg.models.export import write_companion, write_onnx, write_openvino
from tunetseg.models.store import load_network, read_spec, replace_spec, save_model, stored_tensors, weights_hash

IMAGE = np.random.default_rng(0).normal(size=(4, 8, 12, 10)).astype(np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Path]) -> Path:
    """A model of few weights, stored in bfloat16, with its ONNX file next to it."""
    path = make_model(tmp_path_factory.mktemp("exported") / "model.safetensors", patch_size=(8, 8, 8))
    network, spec = load_network(path)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():  # as trained, so that no bias is 0 and no two are the same
            parameter.add_(0.01 * torch.randn(parameter.shape))
    save_model(path, network, spec, torch.bfloat16)
    assert write_companion(path) == path.with_suffix(".onnx")
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
    assert facts == {STRIDE: "2", WEIGHTS: weights_hash(exported), SOURCE: "model.safetensors:65536"}
    assert not any(node.metadata_props or node.doc_string for node in graph.graph.node)


def test_normalisation_and_excitation_are_written_in_few_operations(exported: Path) -> None:
    kinds = {node.op_type for node in onnx.load(onnx_file(exported)).graph.node}
    assert kinds >= {"Conv", "InstanceNormalization"}
    assert not kinds & {"GroupNormalization", "Gemm", "MatMul", "Unsqueeze"}


def test_the_weights_are_stored_once(exported: Path, tmp_path: Path) -> None:
    """A file for other programs holds them; both give the same results."""
    alone = write_onnx(exported, tmp_path / "alone.onnx")
    graph, whole = (onnx.load(path, load_external_data=False).graph for path in (onnx_file(exported), alone))
    kernels = [tensor for tensor in graph.initializer if len(tensor.dims) == 5]
    assert len(kernels) > 20
    for tensor in kernels:
        places = {entry.key: entry.value for entry in tensor.external_data}
        assert places["location"] == exported.name
        assert int(places["offset"]) == stored_tensors(exported)[tensor.name.removesuffix(".stored")][0]
        assert not tensor.raw_data
    assert not any(tensor.external_data for tensor in whole.initializer)
    outputs = [
        onnxruntime.InferenceSession(path).run(None, {"image": IMAGE[None]})[0] for path in (alone, onnx_file(exported))
    ]
    assert np.array_equal(*outputs)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_files_that_were_renamed(name: str, exported: Path, copy: Path, make_model: Callable[..., Path]) -> None:
    """The graph would take the weights of what has the old name now."""
    renamed = copy.with_name("mine.safetensors")
    copy.rename(renamed)
    onnx_file(copy).rename(onnx_file(renamed))
    with pytest.raises(InputError, match=r"mine\.onnx: not a readable ONNX file .*; make it again with 'tunet export"):
        choose_engine(name).load(renamed)
    network, spec = load_network(exported)
    with torch.no_grad():
        network.output_layers[0].bias.add_(1)
    save_model(copy, network, spec, torch.bfloat16)
    with pytest.raises(InputError, match=r"mine\.onnx: does not belong to .*mine\.safetensors; make it again"):
        choose_engine(name).load(renamed)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_spec_that_moves_the_weights(name: str, copy: Path) -> None:
    spec = read_spec(copy)
    replace_spec(copy, replace(spec, training={"note": "x" * 2**16}))
    with pytest.raises(InputError, match=r"model\.onnx: does not belong to|not a readable ONNX file"):
        choose_engine(name).load(copy)
    write_companion(copy)
    assert choose_engine(name).load(copy)(IMAGE).shape == (3, 8, 12, 10)


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
        write_companion(copy)
    assert onnx_file(copy).read_bytes() == before


def test_the_command(
    exported: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def written(model: Path) -> Path:
        assert model == copy
        onnx_file(copy).write_bytes(onnx_file(exported).read_bytes())
        return onnx_file(copy)

    monkeypatch.setattr(export, "write_companion", written)
    onnx_file(copy).unlink()
    assert main(["export", str(copy)]) == 0
    assert onnx_file(copy).is_file()
    assert main(["export", str(copy), "--openvino", "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / f"{tmp_path.name}.bin").is_file()
    assert capsys.readouterr().out.count("wrote ") == 2
    assert main(["export", str(copy), str(copy)]) == 2
    assert "same file" in capsys.readouterr().err
