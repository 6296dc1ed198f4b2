"""One step of a decoder with a stored answer: libraries have shipped 3-D convolutions that were silently wrong."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRAPH", "is_right", "stored"]

GRAPH = Path(__file__).parent / "proof.onnx"
"""Image, and its maximum over 2x2x2 voxels upsampled again, convolved to 16 channels: the logits of `stored`."""

_TOLERANCE = {"32": 1e-4, "bf16": 5e-2}
"""Largest error, relative to the answer's standard deviation. Rounding to bf16 alone makes 0.018; cuDNN, which rounds
once more before it adds the bias, 0.020; a kernel that misses one of its 27 weights 1.2."""


def stored() -> dict[str, NDArray[np.float32]]:
    """Return ``image`` (channel, x, y, z), ``weight``, ``bias``, and ``answer`` (region, x, y, z).

    The answer was computed with SciPy in double precision.
    """
    with np.load(GRAPH.with_suffix(".npz"), allow_pickle=False) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def is_right(found: NDArray[np.float32], precision: str) -> bool:
    """Return whether logits of the stored step are those of the answer, as closely as a precision allows."""
    answer = stored()["answer"]
    return found.shape == answer.shape and bool(np.abs(found - answer).max() <= _TOLERANCE[precision] * answer.std())
