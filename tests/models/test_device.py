"""Devices by name, and where bfloat16 is taken."""

from contextlib import nullcontext

import pytest
import torch

from tunetseg.errors import InputError
from tunetseg.models.device import choose_device, has_fast_bfloat16, uses_bfloat16

CPU = torch.device("cpu")


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert choose_device().type == kind
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["tpu", "meta", "", "cuda:x"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"cannot be used here .*the device 'cpu' always works"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="device 'cuda': cannot be used here") as caught:
        choose_device("cuda")
    assert "\n" not in str(caught.value)


def test_emulated_bfloat16_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A V100 emulates it."""
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not uses_bfloat16("auto", torch.device("cuda"))
    assert uses_bfloat16("bf16", torch.device("cuda"))


@pytest.mark.parametrize(
    ("capabilities", "fast"), [({}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": 1}, True)]
)
def test_bfloat16_on_a_cpu(capabilities: dict[str, bool], fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_fast_bfloat16(CPU) is fast
    assert uses_bfloat16("auto", CPU) is fast
    assert not uses_bfloat16("32", CPU)
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not has_fast_bfloat16(CPU)
