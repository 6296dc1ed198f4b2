"""A network over a whole patient: overlapping, Gaussian-weighted windows, or one pass."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunetseg.models.device import Precision, uses_bfloat16
from tunetseg.models.store import ModelSpec
from tunetseg.networks import Cascade

__all__ = ["gaussian_weights", "predict", "window_starts"]


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """First voxels of evenly spread windows that cover an axis and overlap by at least a share of their length."""
    if size <= window:
        return [0]
    count = math.ceil((size - window) / (window * (1 - overlap)) - 1e-9) + 1
    return [round(n * (size - window) / (count - 1)) for n in range(count)]


def gaussian_weights(window: tuple[int, int, int]) -> Tensor:
    """How much a voxel counts by its place in a window: 1 in the middle, little at the rim, never 0.

    The standard deviation is an eighth of the side, as nnU-Net has it.

    Returns:
        float32, shape ``window``.
    """
    axes = [torch.exp(-0.5 * ((torch.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in window]
    weights = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    return weights.clamp(min=1e-3)


@torch.inference_mode()
def predict(
    network: Cascade,
    spec: ModelSpec,
    array: NDArray[np.float32],
    *,
    overlap: float = 0.5,
    mirror: bool = False,
    precision: Precision = "auto",
    progress: Callable[[float], None] = lambda share: None,
) -> NDArray[np.float32]:
    """Region probabilities at the model's working spacing.

    Args:
        network: In evaluation mode, on the device to use.
        spec: Says the window, and whether a window is a whole volume.
        array: Normalised, shape (channel, x, y, z) at the working spacing.
        overlap: Least overlap of two neighbouring windows, as a share of their length.
        mirror: Average with the prediction of the left-right mirror image; takes twice as long.
        precision: Of the convolutions; probabilities are float32 always.
        progress: Told the share done so far, 0 to 1.

    Returns:
        float32, shape (region, x, y, z).
    """
    device = next(network.parameters()).device
    low = uses_bfloat16(precision, device)
    sides = array.shape[1:]
    window = _window(sides, spec, network.stride)
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
        progress(done / len(starts))
    inner = tuple(slice(o, o + n) for o, n in zip(offset, sides, strict=True))
    return (total / weight)[(slice(None), *inner)].cpu().numpy()


def _probabilities(network: Cascade, image: Tensor, mirror: bool, low: bool) -> Tensor:
    """Shape (channel, x, y, z) to (region, x, y, z)."""
    flips = ([], [1]) if mirror else ([],)
    result = torch.zeros((), device=image.device)
    for axes in flips:
        with torch.autocast(image.device.type, torch.bfloat16, enabled=low):
            logits = network(image.flip(axes)[None])[0]
        result = result + torch.sigmoid(logits.float()).flip(axes) / len(flips)
    return result


def _window(sides: tuple[int, ...], spec: ModelSpec, stride: int) -> tuple[int, int, int]:
    """The trained window; where that held whole volumes, one that holds this volume.

    Instance normalisation sees the window, so a network is shown the kind of window that it was trained on.
    """
    if not spec.whole_volume:
        return spec.window
    x, y, z = (max(w, math.ceil(n / stride) * stride) for n, w in zip(sides, spec.window, strict=True))
    return x, y, z


def _pad(image: Tensor, window: tuple[int, int, int]) -> tuple[Tensor, list[int]]:
    """Zeros around an image that is smaller than the window, and where the image then begins."""
    missing = [max(0, w - n) for w, n in zip(window, image.shape[1:], strict=True)]
    before = [m // 2 for m in missing]
    both = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    return torch.nn.functional.pad(image, [side for pair in reversed(both) for side in pair]), before
