"""A network over a whole patient: overlapping, Gaussian-weighted windows, or one pass."""

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tunetseg.limits import check_memory
from tunetseg.models.engines import RunnableNetwork
from tunetseg.progress import Progress, silent

__all__ = ["gaussian_weights", "predict_windows", "window_sides", "window_starts"]


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """Return the first voxels of evenly spread windows that cover an axis and overlap by at least a share of it."""
    if size <= window:
        return [0]
    count = math.ceil((size - window) / (window * (1 - overlap)) - 1e-9) + 1
    return [round(n * (size - window) / (count - 1)) for n in range(count)]


def gaussian_weights(window: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return how much each voxel of a window counts: 1 in the middle, little at the rim, never 0.

    The standard deviation is an eighth of the side, as in nnU-Net.

    Returns:
        float32, shape ``window``.
    """
    x, y, z = (np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2).astype(np.float32) for n in window)
    return np.maximum(x[:, None, None] * y[None, :, None] * z, np.float32(1e-3))


def window_sides(
    shape: tuple[int, ...], patch_size: tuple[int, int, int], stride: int, *, whole_volume: bool
) -> tuple[int, int, int]:
    """Return the voxels of a window along x, y, z: those of a patch, or of one window that holds a whole volume.

    The latter is never smaller than the training patches: instance normalisation depends on the size of the window.

    Args:
        shape: Of the image, (channel, x, y, z).
        patch_size: Voxels that the network was trained on.
        stride: Sides of a window for a whole volume are multiples of it.
        whole_volume: The network was trained on whole volumes.

    Raises:
        InputError: A window takes more memory than there is, by the least that a network can need: the padded image,
            and a few feature maps at full resolution.
    """
    channels, *sides = shape
    window = patch_size
    if whole_volume:
        x, y, z = (max(w, math.ceil(n / stride) * stride) for n, w in zip(sides, patch_size, strict=True))
        window = x, y, z
    padded = math.prod(max(n, w) for n, w in zip(sides, window, strict=True))
    needed = 4 * channels * padded + 4 * (channels + 4) * math.prod(window)
    check_memory(f"a window of {' x '.join(map(str, window))} voxels", needed)
    return window


def predict_windows(
    network: RunnableNetwork,
    array: NDArray[np.float32],
    *,
    patch_size: tuple[int, int, int],
    whole_volume: bool,
    overlap: float = 0.5,
    mirror: bool = False,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Return region probabilities at the working spacing of a model.

    Windows in which every voxel of every channel is 0, as outside a brain, are not computed; probabilities are 0 where
    no other window reaches.

    Args:
        network: As an engine returns it.
        array: Normalised, shape (channel, x, y, z).
        patch_size: Voxels that the network was trained on, along x, y, z.
        whole_volume: The network was trained on whole volumes: one window holds everything.
        overlap: Least overlap of two neighbouring windows, as a share of their length.
        mirror: Average with the prediction of the left-right mirror image; takes twice as long.
        progress: Called after each window.

    Returns:
        float32, shape (region, x, y, z).
    """
    sides = array.shape[1:]
    window = window_sides(array.shape, patch_size, network.stride, whole_volume=whole_volume)
    image, offset = _pad(array, window)
    starts = list(product(*(window_starts(n, w, overlap) for n, w in zip(image.shape[1:], window, strict=True))))
    if len(starts) == 1:
        total = _probabilities(network, image, mirror)
        progress("windows", 1, 1)
    else:
        total = _blended(network, image, window, starts, mirror, progress)
    inner = tuple(slice(o, o + n) for o, n in zip(offset, sides, strict=True))
    return total[(slice(None), *inner)]


def _blended(
    network: RunnableNetwork,
    image: NDArray[np.float32],
    window: tuple[int, int, int],
    starts: list[tuple[int, ...]],
    mirror: bool,
    progress: Progress,
) -> NDArray[np.float32]:
    """Return the weighted mean of the probabilities of windows, shape (region, x, y, z)."""
    weights = gaussian_weights(window)
    places = [tuple(slice(o, o + n) for o, n in zip(start, window, strict=True)) for start in starts]
    filled = [place for place in places if image[(slice(None), *place)].any()] or places[:1]
    weight = np.zeros(image.shape[1:], np.float32)
    total: NDArray[np.float32] | None = None
    for done, place in enumerate(filled, start=1):
        found = _probabilities(network, image[(slice(None), *place)], mirror)
        found *= weights
        if total is None:
            total = np.zeros((len(found), *image.shape[1:]), np.float32)
        total[(slice(None), *place)] += found
        weight[place] += weights
        progress("windows", done, len(filled))
    assert total is not None
    total /= np.where(weight == 0, 1, weight)
    return total


def _probabilities(network: RunnableNetwork, image: NDArray[np.float32], mirror: bool) -> NDArray[np.float32]:
    """Map (channel, x, y, z) to probabilities (region, x, y, z)."""
    found = network(image)
    if mirror:
        found += network(image[:, ::-1])[:, ::-1]
        found /= 2
    return found


def _pad(image: NDArray[np.float32], window: tuple[int, int, int]) -> tuple[NDArray[np.float32], list[int]]:
    """Return an image with zeros around it, at least as large as the window, and where the image begins in it."""
    missing = [max(0, w - n) for w, n in zip(window, image.shape[1:], strict=True)]
    before = [m // 2 for m in missing]
    if not any(missing):
        return image, before
    return np.pad(image, [(0, 0), *((b, m - b) for b, m in zip(before, missing, strict=True))]), before
