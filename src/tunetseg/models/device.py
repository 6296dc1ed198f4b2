"""Where to compute, and in which precision."""

from typing import TYPE_CHECKING, Literal

from tunetseg.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["Precision", "choose_device", "has_fast_bfloat16", "uses_bfloat16"]

_KINDS = ("cpu", "cuda", "mps")

Precision = Literal["auto", "bf16", "32"]
"""``auto`` is bf16 where the hardware has it."""


def choose_device(name: str = "auto") -> "torch.device":
    """Return a device by its name; ``auto`` takes a CUDA device where there is one, else the CPU.

    Raises:
        InputError: The device is unknown or not available.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reason = f"choose from auto, {', '.join(_KINDS)}"
    try:
        device = torch.device(name)
        if device.type in _KINDS:
            torch.empty(1, device=device)
            return device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        if name.partition(":")[0] in _KINDS:
            reason = str(error).splitlines()[0]
    raise InputError(f"device {name!r}: cannot be used here ({reason}); the device 'cpu' always works")


def has_fast_bfloat16(device: "torch.device") -> bool:
    """Return whether the hardware multiplies bfloat16 natively."""
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    # Torch before 2.7 cannot tell; then float32 is safe.
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device.type == "cpu" and bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def uses_bfloat16(precision: Precision, device: "torch.device") -> bool:
    """Return whether a precision means bfloat16 on a device."""
    return precision == "bf16" or (precision == "auto" and has_fast_bfloat16(device))
