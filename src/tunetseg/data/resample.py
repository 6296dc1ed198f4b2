"""Resampling between a patient's grid and a model's working spacing, axis by axis."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["resample", "resampled_shape"]


def resampled_shape(shape: tuple[int, ...], spacing: tuple[float, ...], target: float) -> tuple[int, ...]:
    """Voxels needed to cover the same field of view at ``target`` mm.

    A thousandth of a voxel is not worth one: a file's spacing is only as exact as its float32 header.
    """
    return tuple(max(1, math.ceil(n * s / target - 1e-3)) for n, s in zip(shape, spacing, strict=True))


def _weights(inputs: int, outputs: int, step: float) -> NDArray[np.float32]:
    """Interpolation matrix of one axis, shape (outputs, inputs), rows summing to 1.

    Both grids begin at the same corner; one output voxel is ``step`` input voxels long. The kernel is a
    triangle, widened to the output voxel when that is the larger, so that nothing is aliased.
    """
    centres = (np.arange(outputs) + 0.5) * step - 0.5
    distances = np.abs(np.clip(centres, 0, inputs - 1)[:, None] - np.arange(inputs)[None])
    weights = np.clip(1 - distances / max(step, 1.0), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def resample(
    array: NDArray[np.float32], steps: tuple[float, float, float], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Linear interpolation, anti-aliased when shrinking.

    Args:
        array: Shape (channel, x, y, z).
        steps: Length of an output voxel in input voxels along x, y, z.
        shape: Voxels of the output along x, y, z.

    Returns:
        float32, shape (channel, *shape).
    """
    result = array.astype(np.float32, copy=False)
    for axis, (step, outputs) in enumerate(zip(steps, shape, strict=True), start=1):
        inputs = result.shape[axis]
        if step == 1 and outputs == inputs:
            continue
        weights = _weights(inputs, outputs, step)
        result = np.moveaxis(np.tensordot(result, weights, axes=(axis, 1)), -1, axis)
    return np.ascontiguousarray(result)
