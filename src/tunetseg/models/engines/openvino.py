"""OpenVINO: fast and small on CPUs, needs no PyTorch."""

from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.models.companion import check_companion, needed_onnx_file
from tunetseg.models.device import Precision
from tunetseg.models.engines.proof import GRAPH, is_right, stored
from tunetseg.models.engines.protocol import sigmoid, thread_limit
from tunetseg.models.engines.sharing import Weight, graph_key, weights_of, weights_to_inputs
from tunetseg.models.engines.simplify import simplify
from tunetseg.models.engines.upsampling import convolve_before_upsampling

__all__ = ["OpenVinoEngine", "shared_core"]

_GROWTH = 12
"""Bytes of a compiled network per byte of its file, nearly; its code takes more than its weights."""


@cache
def shared_core() -> openvino.Core:
    """Return the only core of the process.

    Each core gives the thread a stack for signal handlers; two that end in the order in which they began leave it one
    that is freed, and the next signal is a crash (OpenVINO 2026.4).
    """
    return openvino.Core()


class OpenVinoEngine:
    """Runs the ONNX file of a model on the CPU.

    Args:
        precision: ``auto`` is bf16 where the processor has it.

    Raises:
        InputError: The processor has no bfloat16, but it is asked for.
    """

    name = "openvino"
    device = "cpu"
    reads_onnx = True

    def __init__(self, precision: Precision = "auto") -> None:
        self._core = shared_core()
        able = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not able:
            raise InputError("precision bf16: this processor has none that OpenVINO uses; choose 32")
        self.precision: Literal["bf16", "32"] = "bf16" if able and precision != "32" else "32"
        self._graphs: dict[bytes, _Graph] = {}

    @property
    def version(self) -> str:
        """Name and version of the library."""
        return f"openvino {openvino.__version__.split('-')[0]}"

    @cached_property
    def _settings(self) -> dict[str, Any]:
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # other processes may work on the same cores
        }
        return settings | ({"INFERENCE_NUM_THREADS": thread_limit()} if thread_limit() else {})

    def load(self, path: Path, *, shared: bool = False) -> "_Network":
        """Return the network of a model file, which must have its ONNX file next to it."""
        shared = shared and self.shares
        key = graph_key(path) if shared else b""
        graph = self._graphs.get(key)
        values = weights_of(path, graph.weights) if graph is not None else None
        if graph is None or values is None:
            model = self.read(needed_onnx_file(path))
            stride = check_companion(path, _metadata(model))  # before anything is done with weights of another model
            graph, values = self._graph(model, shared=shared)
            graph.stride = stride
            if shared:
                self._graphs[key] = graph
        return _Network(graph, values, sum(array.nbytes for array in values) or _GROWTH * path.stat().st_size)

    def _graph(self, model: openvino.Model, *, shared: bool) -> "tuple[_Graph, list[NDArray[np.float32]]]":
        """Return a graph, and its weights where these are inputs of it."""
        simplify(model)
        parts = convolve_before_upsampling(model)
        weights, values = weights_to_inputs(model, parts) if shared else ([], [])
        return _Graph(self, model, weights), values

    def read(self, graph: Path) -> openvino.Model:
        """Return the graph of an ONNX file."""
        try:
            return self._core.read_model(graph)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"{graph}: not a readable ONNX file ({reason}); make it again with 'tunet export'"
            ) from None

    def compile(self, model: openvino.Model, shape: tuple[int, int, int, int]) -> openvino.CompiledModel:
        """Return a graph ready to run on images of a shape."""
        model.reshape({model.input(0): [1, *shape]})
        return self._core.compile_model(model, "CPU", self._settings)

    def release(self) -> None:
        """Forget what is compiled and shared."""
        for graph in self._graphs.values():
            graph.forget()

    def prove(self) -> bool:
        """Return whether it computes the stored step of a decoder rightly."""
        return self._is_right(shared=False)

    @cached_property
    def shares(self) -> bool:
        """Whether networks share what is compiled: where it computes rightly with weights that are inputs."""
        try:
            return self._is_right(shared=True)
        except RuntimeError:
            return False

    def _is_right(self, *, shared: bool) -> bool:
        network = _Network(*self._graph(self.read(GRAPH), shared=shared))
        return is_right(network.logits(stored()["image"]), self.precision)


class _Graph:
    """One graph, compiled for the shape of the last image: a graph of any shape needs twice the memory and time.

    Args:
        engine: Compiles it.
        model: The graph.
        weights: What its inputs after the first take. It takes 5 % longer to run then.
    """

    def __init__(self, engine: OpenVinoEngine, model: openvino.Model, weights: list[Weight]) -> None:
        self._engine = engine
        self._model = model
        self._shape: tuple[int, int, int, int] | None = None
        self.compiled: openvino.CompiledModel | None = None
        self.weights = weights
        self.stride = 1

    def ready(self, shape: tuple[int, int, int, int]) -> openvino.CompiledModel:
        """Return it compiled for images of a shape."""
        if self.compiled is None or shape != self._shape:
            self.forget()  # before another takes memory
            self.compiled, self._shape = self._engine.compile(self._model, shape), shape
        return self.compiled

    def forget(self) -> None:
        """Free what is compiled."""
        self.compiled = None


class _Network:
    """A graph and, where it is shared, weights for it."""

    def __init__(self, graph: _Graph, weights: list[NDArray[np.float32]], size: int = 0) -> None:
        self._graph = graph
        self._weights = weights
        self.size = size

    @property
    def stride(self) -> int:
        """Sides of an image must be multiples of this many voxels."""
        return self._graph.stride

    def compile(self, shape: tuple[int, int, int, int], /) -> None:
        """Compile for images of a shape, (channel, x, y, z)."""
        self._graph.ready(shape)

    def logits(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, shape (region, x, y, z)."""
        channels, x, y, z = image.shape
        request = self._graph.ready((channels, x, y, z)).create_infer_request()
        request.infer([np.ascontiguousarray(image[None]), *self._weights], share_inputs=True)
        return np.array(request.get_output_tensor(0).data[0])

    def __call__(self, image: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return probabilities, shape (region, x, y, z), of an image, shape (channel, x, y, z)."""
        return sigmoid(self.logits(image))

    def release(self) -> None:
        """Free what only a run needs."""
        if self._graph.compiled is not None:
            self._graph.compiled.release_memory()


def _metadata(model: openvino.Model) -> dict[str, str]:
    """Return what an ONNX file says of itself."""
    facts = model.rt_info
    if "framework" not in facts:  # which is not a dictionary and has no get
        return {}
    return {key: facts["framework"][key].astype(str) for key in facts["framework"]}
