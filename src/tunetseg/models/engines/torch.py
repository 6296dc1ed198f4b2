"""PyTorch: every network, on a GPU or a CPU, without an ONNX file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tunetseg.models.device import Precision, choose_device, uses_bfloat16
from tunetseg.models.engines.proof import is_right, stored
from tunetseg.models.store import load_network
from tunetseg.networks import SegmentationNetwork, speed_up_on_cpu

__all__ = ["RunningNetwork", "TorchEngine"]


class TorchEngine:
    """Runs model files with PyTorch.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto`` is bf16 where the hardware has it.

    Raises:
        InputError: The device is unknown or not available.
    """

    name = "torch"
    reads_onnx = False
    shares = False

    def __init__(self, device: str = "auto", precision: Precision = "auto") -> None:
        self._device = choose_device(device)
        self.precision: Literal["bf16", "32"] = "bf16" if uses_bfloat16(precision, self._device) else "32"

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._device)

    @property
    def version(self) -> str:
        """Name and version of the library."""
        return f"torch {torch.__version__}"

    def load(self, path: Path, *, shared: bool = False) -> "RunningNetwork":
        """Return the network of a model file."""
        network, _ = load_network(path, self._device)
        return RunningNetwork(
            speed_up_on_cpu(network) if self._device.type == "cpu" else network, self.precision == "bf16"
        )

    def release(self) -> None:
        """Do nothing: networks share nothing."""

    @torch.inference_mode()
    def prove(self) -> bool:
        """Return whether it computes the stored step of a decoder rightly."""
        image, weight, bias = (
            torch.from_numpy(stored()[name]).to(self._device) for name in ("image", "weight", "bias")
        )
        with _precision(self._device, self.precision == "bf16"):
            coarse = torch.nn.functional.max_pool3d(image[None], 2)
            joined = torch.cat([torch.nn.functional.interpolate(coarse, scale_factor=2), image[None]], dim=1)
            found = torch.nn.functional.conv3d(joined, weight, bias, padding=1)
        return is_right(found[0].float().cpu().numpy(), self.precision)


@contextmanager
def _precision(device: torch.device, low: bool) -> Iterator[None]:
    """Compute in bfloat16, or in float32 that is not rounded to TF32, as cuDNN's convolutions are by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class RunningNetwork:
    """A network in evaluation mode, on the device to use.

    Args:
        network: The network.
        low: Compute convolutions in bfloat16.
    """

    def __init__(self, network: SegmentationNetwork, low: bool) -> None:
        self._network = network
        self._low = low
        self.stride = network.stride
        self.size = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return probabilities, shape (region, x, y, z), of an image, shape (channel, x, y, z)."""
        device = next(self._network.parameters()).device
        given = torch.from_numpy(np.ascontiguousarray(image[None])).to(device)
        with _precision(device, self._low):
            logits = self._network(given)[0]
        return torch.sigmoid(logits.float()).cpu().numpy()

    def compile(self, shape: tuple[int, int, int, int], /) -> None:
        """Do nothing: PyTorch chooses its kernels when it runs."""

    def release(self) -> None:
        """Do nothing: PyTorch frees what a run needed."""
