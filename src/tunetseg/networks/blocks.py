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
    "JoinedConv3d",
    "JoinedSqueezeExcite",
    "PostActivationResBlock",
    "PreActivationResBlock",
    "SqueezeExcite",
    "conv",
]


def conv(in_channels: int, out_channels: int, size: int, *, joined: bool = False) -> nn.Conv3d:
    """Return a convolution with a bias that keeps the spatial size; ``joined``: of a coarse and a fine map."""
    kind = JoinedConv3d if joined else nn.Conv3d
    return kind(in_channels, out_channels, size, padding=size // 2)


class JoinedConv3d(nn.Conv3d):
    """Convolution of a coarse map upsampled by 2 (nearest neighbour) and concatenated with a fine one.

    Same parameters and results as ``nn.Conv3d`` on the concatenation, which is never made. A convolution is linear, so
    each part has its own. The upsampled voxels repeat: a 3x3x3 convolution of them is a transposed 4x4x4 convolution of
    the coarse map with stride 2, whose kernel holds sums of neighbouring weights: 8/27 of the multiplications.
    A 1x1x1 convolution is computed on the coarse map and upsampled afterwards.
    """

    def forward(self, joined: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        """Map a coarse (batch, channel, x, y, z) and a fine (batch, channel, 2x, 2y, 2z) map to the fine size."""
        coarse, fine = joined
        channels = coarse.shape[1]
        from_fine = F.conv3d(fine, self.weight[:, channels:], self.bias, padding=self.padding)
        kernel = self.weight[:, :channels]
        if self.kernel_size == (1, 1, 1):
            return F.interpolate(F.conv3d(coarse, kernel), scale_factor=2, mode="nearest") + from_fine
        return F.conv_transpose3d(coarse, _upsampling_kernel(kernel), stride=2, padding=1) + from_fine

    def simplify(self) -> None:
        """Work on the concatenation from now on, so that an exported file holds the weights as they are."""
        self.__dict__["forward"] = self._plain

    def _plain(self, joined: tuple[Tensor, Tensor]) -> Tensor:
        coarse, fine = joined
        upsampled = F.interpolate(coarse, scale_factor=2, mode="nearest")
        return super().forward(torch.cat([upsampled, fine], dim=1))


def _upsampling_kernel(kernel: Tensor) -> Tensor:
    """Return the transposed 4x4x4 kernel that acts as upsampling by 2 followed by a 3x3x3 kernel."""
    kernel = kernel.transpose(0, 1).flip(2, 3, 4)
    for axis in (2, 3, 4):
        edge = torch.zeros_like(kernel.narrow(axis, 0, 1))
        kernel = torch.cat([kernel, edge], axis) + torch.cat([edge, kernel], axis)
    return kernel


class InstanceNorm(nn.Module):
    """Instance normalisation with a learned scale and shift per channel.

    The same numbers as ``nn.InstanceNorm3d``. On a CPU it is group normalisation with one channel per group. On a GPU
    it is batch normalisation of each sample alone, which has kernels for bf16 and for channels last. Group
    normalisation converts both, which takes a third of a training step.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each channel of each sample over space."""
        if features.device.type == "cuda":
            return self.by_sample(features)
        return F.group_norm(features, self.channels, self.weight, self.bias)

    def by_sample(self, features: Tensor) -> Tensor:
        """Do the same as batch normalisation of one sample after the other."""
        samples = [F.batch_norm(one, None, None, self.weight, self.bias, training=True) for one in features.split(1)]
        return samples[0] if len(samples) == 1 else torch.cat(samples)


class ConvBlock(nn.Sequential):
    """3x3x3 convolution, instance normalisation, ReLU: the block of plain TuNet."""

    def __init__(self, in_channels: int, out_channels: int, *, joined: bool = False) -> None:
        first = conv(in_channels, out_channels, 3, joined=joined)
        super().__init__(first, InstanceNorm(out_channels), nn.ReLU(inplace=True))


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation: each channel weighted by what all channels hold on average (paper, 2.4)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze: nn.Module = nn.Linear(channels, hidden, bias=False)
        self.excite: nn.Module = nn.Linear(hidden, channels, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Scale every channel by a weight between 0 and 1."""
        return features * self.weights(features).to(features.dtype)

    def weights(self, *maps: Tensor) -> Tensor:
        """Return the weights of the channels of one or more maps, shape (batch, channel, 1, 1, 1)."""
        means = torch.cat([features.mean(dim=(2, 3, 4)) for features in maps], dim=1)
        return torch.sigmoid(self.excite(F.relu(self.squeeze(means))))[:, :, None, None, None]

    def simplify(self) -> None:
        """Convolve maps of one voxel from now on, of which an exported file needs half as many operations."""
        self.squeeze, self.excite = _of_one_voxel(self.squeeze), _of_one_voxel(self.excite)
        self.__dict__["weights"] = self._plain

    def _plain(self, *maps: Tensor) -> Tensor:
        means = torch.cat([features.mean(dim=(2, 3, 4), keepdim=True) for features in maps], dim=1)
        return torch.sigmoid(self.excite(F.relu(self.squeeze(means))))


def _of_one_voxel(layer: nn.Module) -> nn.Conv3d:
    """Return the convolution that does to a map of one voxel what a linear layer does to a vector."""
    assert isinstance(layer, nn.Linear)
    result = nn.Conv3d(layer.in_features, layer.out_features, 1, bias=False)
    result.weight = nn.Parameter(layer.weight.detach()[:, :, None, None, None], requires_grad=False)
    return result


class JoinedSqueezeExcite(SqueezeExcite):
    """Squeeze-and-excitation of a coarse map, upsampled by 2, and a fine one, concatenated; they stay apart."""

    def forward(  # type: ignore[override]
        self, joined: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Scale the channels of both maps; the mean of a map does not change when it is upsampled."""
        coarse, fine = joined
        weights = self.weights(coarse, fine)
        of_coarse, of_fine = weights.to(coarse.dtype).split([coarse.shape[1], fine.shape[1]], dim=1)
        return coarse * of_coarse, fine * of_fine


class PostActivationResBlock(nn.Module):
    """REB1: 1x1x1, 3x3x3, 1x1x1 convolutions, each normalised; 1x1x1 shortcut; ReLU after the addition."""

    def __init__(self, in_channels: int, out_channels: int, *, joined: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(in_channels, out_channels, 1, joined=joined),
            InstanceNorm(out_channels),
            nn.ReLU(inplace=True),
            conv(out_channels, out_channels, 3),
            InstanceNorm(out_channels),
            nn.ReLU(inplace=True),
            conv(out_channels, out_channels, 1),
            InstanceNorm(out_channels),
        )
        self.shortcut = nn.Sequential(conv(in_channels, out_channels, 1, joined=joined), InstanceNorm(out_channels))

    def forward(self, features: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Map (batch, in_channels, ...), or a coarse and a fine map joined, to (batch, out_channels, ...)."""
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
