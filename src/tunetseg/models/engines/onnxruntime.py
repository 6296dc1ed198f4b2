"""ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.models.companion import check_companion, needed_onnx_file
from tunetseg.models.device import Precision
from tunetseg.models.engines.proof import GRAPH, is_right, stored
from tunetseg.models.engines.protocol import sigmoid, thread_limit

__all__ = ["OnnxRuntimeEngine"]


class OnnxRuntimeEngine:
    """Runs the ONNX file of a model on the CPU, in float32.

    Args:
        precision: ``auto`` or ``32``.

    Raises:
        InputError: bfloat16 is asked for.
    """

    name = "onnxruntime"
    device = "cpu"
    precision: Literal["bf16", "32"] = "32"
    reads_onnx = True
    shares = False

    def __init__(self, precision: Precision = "auto") -> None:
        if precision == "bf16":
            raise InputError("precision bf16: ONNX Runtime computes in float32 on a CPU; choose 32, or another engine")

    @property
    def version(self) -> str:
        """Name and version of the library."""
        return f"onnxruntime {onnxruntime.__version__}"

    def load(self, path: Path, *, shared: bool = False) -> "_Network":
        """Return the network of a model file, which must have its ONNX file next to it."""
        graph = needed_onnx_file(path)
        network = _Network(graph)
        network.stride = check_companion(path, network.metadata)
        network.size = path.stat().st_size
        return network

    def release(self) -> None:
        """Do nothing: networks share nothing."""

    def prove(self) -> bool:
        """Return whether it computes the stored step of a decoder rightly."""
        return is_right(_Network(GRAPH).logits(stored()["image"]), self.precision)


class _Network:
    def __init__(self, graph: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False  # which keeps what it took
        options.intra_op_num_threads = thread_limit()
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no other class in common
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"{graph}: not a readable ONNX file ({reason}); make it again with 'tunet export'"
            ) from None
        self.stride = 1
        self.size = 0

    @property
    def metadata(self) -> dict[str, str]:
        """What the ONNX file says of itself."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def logits(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, shape (region, x, y, z)."""
        return self._session.run(None, {"image": np.ascontiguousarray(image[None])})[0][0]

    def __call__(self, image: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return probabilities, shape (region, x, y, z), of an image, shape (channel, x, y, z)."""
        return sigmoid(self.logits(image))

    def compile(self, shape: tuple[int, int, int, int], /) -> None:
        """Do nothing: one graph serves every shape."""

    def release(self) -> None:
        """Do nothing: without an arena nothing stays."""
