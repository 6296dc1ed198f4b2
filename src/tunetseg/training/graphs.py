"""Forward and backward pass of a network as CUDA graphs."""

from typing import Any

import torch
from torch import Tensor

from tunetseg.networks import SegmentationNetwork

__all__ = ["capture"]


def capture(network: SegmentationNetwork, image: Tensor) -> None:
    """Capture forward and backward pass for images of one shape, and let the network replay them.

    A small network on a fast GPU waits for the host, which launches thousands of kernels per step; a graph is launched
    at once. Images of another shape, and evaluation mode, take the usual path.

    Args:
        network: On a CUDA device, in training mode, without hooks; changed in place.
        image: What it will see, shape (batch, channel, x, y, z). The precision is that of the autocast around the call.
    """
    plain = network.forward
    kind = image.device.type
    # Casts of weights must be part of the graph, so they must not be cached.
    with torch.autocast(kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), cache_enabled=False):
        torch.cuda.make_graphed_callables(network, (image.detach().clone(),), allow_unused_input=True)
    replay = network.forward

    def forward(given: Tensor, *more: Any) -> Tensor:
        # A graph does not look at shapes: a smaller batch would be broadcast.
        if more or given.shape != image.shape or given.dtype != image.dtype or not network.training:
            return plain(given, *more)
        result = replay(given)
        assert isinstance(result, Tensor)
        return result

    network.forward = forward  # type: ignore[method-assign, assignment]
