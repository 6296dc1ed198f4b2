"""Choosing an engine by name, or the best one that is here and works."""

import ctypes
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from tunetseg.errors import InputError
from tunetseg.models.companion import onnx_file
from tunetseg.models.device import Precision
from tunetseg.models.engines.protocol import Engine

__all__ = ["ENGINES", "choose_engine"]

ENGINES = ("openvino", "onnxruntime", "torch")
"""Names; ``auto`` prefers OpenVINO to PyTorch, and PyTorch to ONNX Runtime, on a CPU."""

_PACKAGES = {"openvino": "openvino", "onnxruntime": "tunetseg[onnxruntime]", "torch": "tunetseg[train]"}
"""Engine -> what to install for it."""

_LOG = logging.getLogger(__name__)


def choose_engine(
    name: str = "auto", *, device: str = "auto", precision: Precision = "auto", models: Sequence[Path] = ()
) -> Engine:
    """Return an engine.

    ``auto`` is PyTorch on a GPU where there is one, else OpenVINO where it is installed and every model has its ONNX
    file, else PyTorch; each only where a decoder step with a stored answer comes out right.

    Args:
        name: One of `ENGINES`, or ``auto``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``; all but ``cpu`` need PyTorch.
        precision: ``bf16``, ``32``, or ``auto``, which is bf16 where the hardware has it.
        models: Model files that it shall run.

    Raises:
        InputError: The engine is unknown, not installed, computes wrongly, or cannot have the device or precision; or
            no engine that is installed can run the models.
    """
    if name not in ("auto", *ENGINES):
        raise InputError(f"unknown engine {name!r}; choose from auto, {', '.join(ENGINES)}")
    if name != "auto":
        return _proven(_named(name, device, precision))
    if device not in {"auto", "cpu"}:
        return _proven(_named("torch", device, precision))
    if device == "auto" and _has_gpu():
        try:
            return _proven(_named("torch", device, precision))
        except (InputError, RuntimeError) as error:  # a GPU that this PyTorch has no kernels for, one without memory
            _LOG.warning("the GPU is not used: %s", str(error).splitlines()[0])
    bare = [path for path in models if not onnx_file(path).is_file()]
    candidates = [engine for engine in ENGINES if _is_installed(engine) and not (bare and engine != "torch")]
    fault: Exception | None = None
    for candidate in sorted(candidates, key=["openvino", "torch", "onnxruntime"].index):
        try:
            engine = _named(candidate, "cpu", precision)
            if engine.prove():
                return engine
            _LOG.warning("%s computes a convolution wrongly on this machine and is not used", engine.version)
        except (InputError, ImportError, RuntimeError) as error:  # a precision that it lacks, a broken installation
            fault = error
            _LOG.info("%s is not used: %s", candidate, error)
    if fault is not None:
        raise fault
    if bare and not _is_installed("torch"):
        raise InputError(
            f"{bare[0]}: has no ONNX file next to it, and PyTorch, which needs none, is not installed; make it with "
            f"'tunet export {bare[0]}' where PyTorch is, or install {_PACKAGES['torch']}"
        )
    raise InputError("no engine that works is installed; install openvino")


def _named(name: str, device: str, precision: Precision) -> Engine:
    if not _is_installed(name):
        raise InputError(f"engine {name!r}: is not installed; run: pip install '{_PACKAGES[name]}'")
    if name == "torch":
        from tunetseg.models.engines.torch import TorchEngine

        return TorchEngine(device, precision)
    if device not in {"auto", "cpu"}:
        raise InputError(f"engine {name!r}: computes on the CPU alone; choose the device cpu, or the engine torch")
    if name == "openvino":
        from tunetseg.models.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(precision)
    from tunetseg.models.engines.onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(precision)


def _proven(engine: Engine) -> Engine:
    if not engine.prove():
        raise InputError(
            f"{engine.version}: computes a convolution wrongly on {engine.device}; install another version"
        )
    return engine


def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def _has_gpu() -> bool:
    """Return whether PyTorch has a CUDA device; it is imported only where a driver is installed."""
    if not _is_installed("torch"):
        return False
    if "torch" not in sys.modules:
        with suppress(OSError):
            ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
            return _torch_has_gpu()
        return False
    return _torch_has_gpu()


def _torch_has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
