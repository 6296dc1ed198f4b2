"""A faster path for small 3-D convolutions on a CPU."""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["HalvedConv3d", "speed_up_on_cpu"]

Network = TypeVar("Network", bound=nn.Module)


class HalvedConv3d(nn.Conv3d):
    """3x3x3 convolution that computes a small single float32 volume on a CPU as a batch of two overlapping halves.

    PyTorch 2.13 leaves such a volume to a kernel of its own, up to six times slower than oneDNN's, if batch, channels
    and the first two sides multiply to 20480 or less (``use_mkldnn`` in its ``Convolution.cpp``); a batch of two goes
    to oneDNN. The halves overlap by what the kernel reaches, so the sums are the same.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, in_channels, x, y, z) to (batch, out_channels, x, y, z)."""
        if (
            features.device.type != "cpu"
            or features.shape[0] > 1
            or math.prod(features.shape[:4]) > 20480
            or torch.is_autocast_enabled("cpu")
        ):
            return super().forward(features)
        side = features.shape[2]
        half = (side + 1) // 2
        padded = F.pad(features, (0, 0, 0, 0, 1, 1))
        halves = torch.cat([padded[:, :, : half + 2], padded[:, :, side - half :]])
        first, second = F.conv3d(halves, self.weight, self.bias, padding=(0, 1, 1))
        return torch.cat([first, second[:, 2 * half - side :]], dim=1)[None]


def speed_up_on_cpu(network: Network) -> Network:
    """Let the 3x3x3 convolutions of a network take PyTorch's fast kernels for small volumes on a CPU.

    Changes the class of each eligible ``nn.Conv3d`` in place: parameters, state-dict keys, hooks and results stay.
    On other devices the layers act as before. Apply it to a network that is about to train or predict, not to one
    that is about to be exported: the exported graph would hold the halves.

    Args:
        network: Changed in place.

    Returns:
        The same network.

    Examples:
        >>> layer = speed_up_on_cpu(nn.Conv3d(1, 2, 3, padding=1))
        >>> type(layer).__name__, sorted(layer.state_dict())
        ('HalvedConv3d', ['bias', 'weight'])
    """
    for module in network.modules():
        if type(module) is nn.Conv3d and _is_eligible(module):
            module.__class__ = HalvedConv3d
    return network


def _is_eligible(layer: nn.Conv3d) -> bool:
    return (
        layer.kernel_size == (3, 3, 3)
        and layer.padding == (1, 1, 1)
        and layer.stride == (1, 1, 1)
        and layer.dilation == (1, 1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    )
