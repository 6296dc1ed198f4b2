"""Which engine runs a model, and that none is taken that computes wrongly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tunetseg.errors import InputError
from tunetseg.models.engines import ENGINES, choice, choose_engine
from tunetseg.models.engines.openvino import OpenVinoEngine
from tunetseg.models.engines.proof import is_right, stored
from tunetseg.models.engines.protocol import sigmoid, thread_limit
from tunetseg.models.engines.torch import TorchEngine
from tunetseg.models.zoo import find_models


@pytest.mark.parametrize("name", ENGINES)
def test_each_engine_proves_itself(name: str) -> None:
    engine = choose_engine(name, device="cpu", precision="32")
    assert (engine.name, engine.device, engine.precision) == (name, "cpu", "32")
    assert engine.version.startswith(f"{name} ")
    assert engine.prove()


def test_the_proof_sees_what_is_wrong() -> None:
    answer = stored()["answer"]
    assert is_right(answer, "32")
    assert not is_right(answer + 0.01, "32")
    assert is_right(answer + 0.01, "bf16")
    assert not is_right(answer[:, ::-1], "bf16")
    assert not is_right(np.full_like(answer, np.nan), "bf16")
    assert not is_right(answer[..., 1:], "bf16")


def _step(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The stored step, from operands in bf16 to a result that is rounded to bf16."""
    image = torch.from_numpy(stored()["image"]).bfloat16().float()[None]
    joined = torch.cat([F.interpolate(F.max_pool3d(image, 2), scale_factor=2), image], dim=1)
    return F.conv3d(joined, weight, bias, padding=1)[0].bfloat16().float()


def test_the_proof_allows_the_rounding_of_a_gpu() -> None:
    """cuDNN rounds to bf16 before the bias is added and after; with the former tolerance no H200 could segment."""
    weight, bias = (torch.from_numpy(stored()[name]).bfloat16().float() for name in ("weight", "bias"))
    twice = (_step(weight, None) + bias[:, None, None, None]).bfloat16().float().numpy()
    answer = stored()["answer"]
    assert np.abs(twice - answer).max() > 0.02 * answer.std()
    assert is_right(twice, "bf16")
    weight[:, :, 0, 0, 0] = 0
    assert not is_right(_step(weight, bias).numpy(), "bf16")


def test_auto_takes_openvino_where_it_works(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    monkeypatch.setattr(choice, "_has_gpu", lambda: False)
    assert choose_engine(models=find_models()).name == "openvino"
    assert choose_engine(models=[*find_models(), tiny_model]).name == "torch", "a model without an ONNX file"
    monkeypatch.setattr(OpenVinoEngine, "prove", lambda self: False)
    assert choose_engine(models=find_models()).name == "torch"
    with pytest.raises(
        InputError, match=r"^openvino .*: computes a convolution wrongly on cpu; install another version"
    ):
        choose_engine("openvino")
    monkeypatch.setattr(TorchEngine, "prove", lambda self: False)
    assert choose_engine(models=find_models()).name == "onnxruntime"


def test_auto_goes_on_where_an_engine_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_has_gpu", lambda: False)

    def fail(_: object) -> bool:
        raise RuntimeError("not on this processor")

    monkeypatch.setattr(OpenVinoEngine, "prove", fail)
    assert choose_engine(models=find_models()).name == "torch"
    monkeypatch.setattr(choice, "_is_installed", lambda package: package == "openvino")
    with pytest.raises(RuntimeError, match="not on this processor"):
        choose_engine(models=find_models())


def test_auto_takes_pytorch_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_has_gpu", lambda: True)
    assert choose_engine(models=find_models()).name == "torch"
    assert choose_engine(device="cpu", models=find_models()).name == "openvino"


def test_auto_goes_on_where_a_gpu_fails(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(choice, "_has_gpu", lambda: True)
    monkeypatch.setattr(TorchEngine, "prove", lambda self: False)
    assert choose_engine(models=find_models()).name == "openvino"
    assert "the GPU is not used: torch" in caplog.text

    def fail(_: object) -> bool:
        raise RuntimeError("CUDA error: no kernel image is available\nmore")

    monkeypatch.setattr(TorchEngine, "prove", fail)
    assert choose_engine(models=find_models()).name == "openvino"
    assert "the GPU is not used: CUDA error: no kernel image is available\n" in caplog.text


def test_what_is_not_installed(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    installed = {"openvino"}
    monkeypatch.setattr(choice, "_is_installed", lambda package: package in installed)
    assert choose_engine(models=find_models()).name == "openvino"
    with pytest.raises(InputError, match=r"no ONNX file next to it, and PyTorch, which needs none, is not installed"):
        choose_engine(models=[tiny_model])
    with pytest.raises(InputError, match=r"engine 'torch': is not installed; run: pip install 'tunetseg\[train\]'"):
        choose_engine("torch")
    with pytest.raises(InputError, match="engine 'torch': is not installed"):
        choose_engine(device="cuda")
    installed.clear()
    with pytest.raises(InputError, match="no engine that works is installed; install openvino"):
        choose_engine(models=find_models())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "caffe"}, "unknown engine 'caffe'; choose from auto, openvino, onnxruntime, torch"),
        ({"name": "openvino", "device": "cuda"}, "engine 'openvino': computes on the CPU alone"),
        ({"name": "onnxruntime", "precision": "bf16"}, "precision bf16: ONNX Runtime computes in float32"),
    ],
)
def test_what_does_not_go_together(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_engine(**arguments)


def test_sigmoid_of_any_logit() -> None:
    found = sigmoid(np.float32([-200, -5, 0, 5, 200]))
    assert found.dtype == np.float32
    assert found == pytest.approx([0, 0.0066929, 0.5, 0.9933071, 1], abs=1e-6)


@pytest.mark.parametrize(("said", "threads"), [("3", 3), ("", 0), ("many", 0), ("-1", 0)])
def test_threads_as_pytorch_takes_them(said: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert thread_limit() == threads
    assert choose_engine("openvino").prove()
