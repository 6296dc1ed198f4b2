"""What an engine is: something that runs the network of a model file over an image."""

import os
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Engine", "RunnableNetwork", "sigmoid", "thread_limit"]


class RunnableNetwork(Protocol):
    """The network of one model, in memory."""

    @property
    def stride(self) -> int:
        """Sides of an image must be multiples of this many voxels."""

    @property
    def size(self) -> int:
        """Bytes of memory that it takes between runs, nearly."""

    def __call__(self, image: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return probabilities, shape (region, x, y, z), of an image, shape (channel, x, y, z)."""

    def compile(self, shape: tuple[int, int, int, int], /) -> None:
        """Do what takes long before the first image of a shape, (channel, x, y, z); else the first call does it."""

    def release(self) -> None:
        """Free what only a run needs; the weights stay."""


class Engine(Protocol):
    """Runs networks on one device, in one precision."""

    @property
    def name(self) -> str:
        """Name by which it is chosen."""

    @property
    def version(self) -> str:
        """Name and version of its library, for manifests."""

    @property
    def device(self) -> str:
        """Where it computes."""

    @property
    def precision(self) -> Literal["bf16", "32"]:
        """Precision of its convolutions."""

    @property
    def reads_onnx(self) -> bool:
        """Whether it runs the ONNX file next to a model, not the model file itself."""

    @property
    def shares(self) -> bool:
        """Whether networks of one architecture share what is compiled."""

    def load(self, path: Path, *, shared: bool = False) -> RunnableNetwork:
        """Return the network of a model file.

        Args:
            path: The model file.
            shared: Other models run in turn with this one. Networks of one architecture may then share what is
                compiled.

        Raises:
            InputError: The file, or its ONNX file where the engine needs that, is missing or damaged.
        """

    def release(self) -> None:
        """Free what networks share; they stay usable."""

    def prove(self) -> bool:
        """Return whether it computes one stored step of a decoder rightly."""


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities of logits, float32 of the same shape."""
    with np.errstate(over="ignore"):  # infinity, whose inverse is the 0 that is meant
        result = np.exp(-logits)
    result += 1
    return np.reciprocal(result, out=result)


def thread_limit() -> int:
    """Return the threads that ``OMP_NUM_THREADS`` allows, which PyTorch takes too; 0 where it says nothing."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() else 0
