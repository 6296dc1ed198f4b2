"""Resampling between a patient's grid and a model's working spacing, axis by axis."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["covered", "resample", "resampled_shape"]


def resampled_shape(shape: tuple[int, ...], spacing: tuple[float, ...], target: float) -> tuple[int, ...]:
    """Voxels needed to cover the same field of view at ``target`` mm.

    A thousandth of a voxel is not worth one: a file's spacing is only as exact as its float32 header.
    """
    return tuple(max(1, math.ceil(n * s / target - 1e-3)) for n, s in zip(shape, spacing, strict=True))


def _triangle(inputs: int, outputs: int, step: float) -> NDArray[np.float32]:
    """Interpolation matrix of one axis, shape (outputs, inputs), rows summing to 1.

    Both grids begin at the same corner; one output voxel is ``step`` input voxels long. The kernel is a
    triangle, widened to the output voxel when that is the larger, so that nothing is aliased.
    """
    centres = (np.arange(outputs) + 0.5) * step - 0.5
    distances = np.abs(np.clip(centres, 0, inputs - 1)[:, None] - np.arange(inputs)[None])
    weights = np.clip(1 - distances / max(step, 1.0), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _overlap(inputs: int, outputs: int, step: float) -> NDArray[np.float32]:
    """Share of each output voxel that each input voxel covers, of one axis, shape (outputs, inputs), rows summing to 1.

    What of an output voxel reaches beyond the last input voxel does not count.
    """
    begins = (np.arange(outputs) * step)[:, None]
    voxels = np.arange(inputs)[None]
    weights = np.clip(np.minimum(begins + step, voxels + 1) - np.maximum(begins, voxels), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _along_axes(
    array: NDArray[np.float32],
    scale: tuple[float, float, float],
    shape: tuple[int, int, int],
    kernel: Callable[[int, int, float], NDArray[np.float32]],
) -> NDArray[np.float32]:
    x, y, z = (
        None if step == 1 and outputs == inputs else kernel(inputs, outputs, step)
        for inputs, step, outputs in zip(array.shape[1:], scale, shape, strict=True)
    )
    result = np.empty((len(array), *shape), np.float32)
    for channel, target in zip(array, result, strict=True):  # one at a time, so that copies are small
        moved = channel.astype(np.float32, copy=False)
        moved = moved if x is None else np.tensordot(x, moved, 1)
        moved = moved if y is None else np.matmul(y, moved)
        target[...] = moved if z is None else np.matmul(moved, z.T)
    return result


def resample(
    array: NDArray[np.float32], scale: tuple[float, float, float], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Linear interpolation, anti-aliased when shrinking.

    Args:
        array: Shape (channel, x, y, z).
        scale: Length of an output voxel in input voxels along x, y, z.
        shape: Voxels of the output along x, y, z.

    Returns:
        float32, shape (channel, *shape).
    """
    return _along_axes(array, scale, shape, _triangle)


def covered(
    masks: NDArray[np.bool_], scale: tuple[float, float, float], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Share of each output voxel's volume that lies in a mask, 0 to 1.

    Args:
        masks: Shape (region, x, y, z).
        scale: Length of an output voxel in input voxels along x, y, z.
        shape: Voxels of the output along x, y, z.

    Returns:
        float32, shape (region, *shape).
    """
    return _along_axes(masks.astype(np.float32), scale, shape, _overlap)
