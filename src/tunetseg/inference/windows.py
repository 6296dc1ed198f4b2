"""A network over a whole patient: overlapping, Gaussian-weighted windows, or one pass."""

import math
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunetseg.limits import check_memory
from tunetseg.models.device import Precision, uses_bfloat16
from tunetseg.networks import SegmentationNetwork
from tunetseg.progress import Progress, silent

__all__ = ["gaussian_weights", "predict_windows", "window_starts"]


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """Return the first voxels of evenly spread windows that cover an axis and overlap by at least a share of it."""
    if size <= window:
        return [0]
    count = math.ceil((size - window) / (window * (1 - overlap)) - 1e-9) + 1
    return [round(n * (size - window) / (count - 1)) for n in range(count)]


def gaussian_weights(window: tuple[int, int, int]) -> Tensor:
    """Return how much each voxel of a window counts: 1 in the middle, little at the rim, never 0.

    The standard deviation is an eighth of the side, as in nnU-Net.

    Returns:
        float32, shape ``window``.
    """
    axes = [torch.exp(-0.5 * ((torch.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in window]
    weights = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    return weights.clamp(min=1e-3)


@torch.inference_mode()
def predict_windows(
    network: SegmentationNetwork,
    array: NDArray[np.float32],
    *,
    patch_size: tuple[int, int, int],
    whole_volume: bool,
    overlap: float = 0.5,
    mirror: bool = False,
    precision: Precision = "auto",
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Return region probabilities at the working spacing of a model.

    Args:
        network: In evaluation mode, on the device to use.
        array: Normalised, shape (channel, x, y, z).
        patch_size: Voxels that the network was trained on, along x, y, z.
        whole_volume: The network was trained on whole volumes: one window holds everything.
        overlap: Least overlap of two neighbouring windows, as a share of their length.
        mirror: Average with the prediction of the left-right mirror image; takes twice as long.
        precision: Of the convolutions; probabilities are float32 always.
        progress: Called after each window.

    Returns:
        float32, shape (region, x, y, z).
    """
    device = next(network.parameters()).device
    low = uses_bfloat16(precision, device)
    sides = array.shape[1:]
    window = _grown(sides, patch_size, network.stride) if whole_volume else patch_size
    _check_window(network, window, sides)
    image = torch.from_numpy(np.ascontiguousarray(array)).to(device)
    image, offset = _pad(image, window)
    padded = image.shape[1:]
    starts = list(product(*(window_starts(n, w, overlap) for n, w in zip(padded, window, strict=True))))
    weights = gaussian_weights(window).to(device) if len(starts) > 1 else torch.ones(window, device=device)
    total = torch.zeros((len(network.regions), *padded), device=device)
    weight = torch.zeros(padded, device=device)
    for done, (x, y, z) in enumerate(starts, start=1):
        place = (slice(x, x + window[0]), slice(y, y + window[1]), slice(z, z + window[2]))
        total[(slice(None), *place)] += _probabilities(network, image[(slice(None), *place)], mirror, low) * weights
        weight[place] += weights
        progress("windows", done, len(starts))
    inner = tuple(slice(o, o + n) for o, n in zip(offset, sides, strict=True))
    return (total / weight)[(slice(None), *inner)].cpu().numpy()


def _check_window(network: SegmentationNetwork, window: tuple[int, int, int], sides: tuple[int, ...]) -> None:
    """Raise InputError where a window takes more memory than there is, by the least that a network can need.

    That is the input and the output of one convolution at full resolution, and the probabilities of the patient.
    """
    padded = math.prod(max(n, w) for n, w in zip(sides, window, strict=True))
    kernels = network.penalised_kernels()
    channels = sum(kernels[0].shape[:2]) if kernels else 1
    needed = 2 * channels * math.prod(window) + 4 * (2 * len(network.regions) + 1) * padded
    check_memory(f"a window of {' x '.join(map(str, window))} voxels", needed)


def _probabilities(network: SegmentationNetwork, image: Tensor, mirror: bool, low: bool) -> Tensor:
    """Map (channel, x, y, z) to probabilities (region, x, y, z)."""
    flips = ([], [1]) if mirror else ([],)
    result = torch.zeros((), device=image.device)
    for axes in flips:
        with torch.autocast(image.device.type, torch.bfloat16, enabled=low):
            logits = network(image.flip(axes)[None])[0]
        result = result + torch.sigmoid(logits.float()).flip(axes) / len(flips)
    return result


def _grown(sides: tuple[int, ...], patch_size: tuple[int, int, int], stride: int) -> tuple[int, int, int]:
    """Return the sides of one window that holds a whole volume.

    It is never smaller than the training patches: instance normalisation depends on the size of the window.
    """
    x, y, z = (max(w, math.ceil(n / stride) * stride) for n, w in zip(sides, patch_size, strict=True))
    return x, y, z


def _pad(image: Tensor, window: tuple[int, int, int]) -> tuple[Tensor, list[int]]:
    """Return an image with zeros around it, at least as large as the window, and where the image begins in it."""
    missing = [max(0, w - n) for w, n in zip(window, image.shape[1:], strict=True)]
    before = [m // 2 for m in missing]
    both = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    return torch.nn.functional.pad(image, [side for pair in reversed(both) for side in pair]), before
