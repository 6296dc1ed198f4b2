"""Building blocks of the sub-networks (paper, Figures 2 and 3).

Every block maps (batch, channel, x, y, z) to the same spatial size. What the paper leaves open here follows
its author's earlier code: convolutions have biases and "same" padding, normalisation is affine, the
squeeze-and-excitation layers have no biases and reduce by 16.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "ConvBlock",
    "InstanceNorm",
    "PostActivationResBlock",
    "PreActivationResBlock",
    "SqueezeExcite",
    "conv",
]


def conv(in_channels: int, out_channels: int, size: int) -> nn.Conv3d:
    """Return a convolution with a bias that keeps the spatial size."""
    return nn.Conv3d(in_channels, out_channels, size, padding=size // 2)


class InstanceNorm(nn.Module):
    """Instance normalisation with a learned scale and shift per channel.

    Written as group normalisation with one channel per group: the same numbers as ``nn.InstanceNorm3d``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each channel of each sample over space."""
        return F.group_norm(features, self.channels, self.weight, self.bias)


class ConvBlock(nn.Sequential):
    """3x3x3 convolution, instance normalisation, ReLU: the block of plain TuNet."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(conv(in_channels, out_channels, 3), InstanceNorm(out_channels), nn.ReLU(inplace=True))


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation: each channel weighted by what all channels hold on average (paper, 2.4)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Scale every channel by a weight between 0 and 1."""
        means = features.mean(dim=(2, 3, 4))
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(means))))
        return features * weights[:, :, None, None, None].to(features.dtype)


class PostActivationResBlock(nn.Module):
    """REB1: 1x1x1, 3x3x3, 1x1x1 convolutions, each normalised; 1x1x1 shortcut; ReLU after the addition."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(in_channels, out_channels, 1),
            InstanceNorm(out_channels),
            nn.ReLU(inplace=True),
            conv(out_channels, out_channels, 3),
            InstanceNorm(out_channels),
            nn.ReLU(inplace=True),
            conv(out_channels, out_channels, 1),
            InstanceNorm(out_channels),
        )
        self.shortcut = nn.Sequential(conv(in_channels, out_channels, 1), InstanceNorm(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, in_channels, ...) to (batch, out_channels, ...)."""
        return F.relu(self.body(features) + self.shortcut(features))


class PreActivationResBlock(nn.Module):
    """REB2: normalisation, ReLU and 3x3x3 convolution twice; identity shortcut; ReLU after the addition."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            InstanceNorm(channels),
            nn.ReLU(inplace=True),
            conv(channels, channels, 3),
            InstanceNorm(channels),
            nn.ReLU(inplace=True),
            conv(channels, channels, 3),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, channels, ...) to the same shape."""
        return F.relu(self.body(features) + features)
