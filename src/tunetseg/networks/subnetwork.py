"""One U-Net-like sub-network of the cascade (paper, 2.2 and Figure 2)."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunetseg.networks.blocks import (
    ConvBlock,
    JoinedSqueezeExcite,
    PostActivationResBlock,
    PreActivationResBlock,
    SqueezeExcite,
    conv,
)

__all__ = ["LevelDesign", "PlainDesign", "PostActivationDesign", "PreActivationDesign", "SubNetwork"]


class LevelDesign(ABC):
    """What stands at each level of a sub-network's encoder and decoder.

    Args:
        base_filters: Filters of the first level; they double at each level (paper, 2.2).
        squeeze_excite: Put a squeeze-and-excitation block after each convolution block and each
            concatenation (paper, 2.4). In residual blocks it follows the ReLU after the addition: the paper
            says "after each block", and the block ends there. The pre-activation design's stem and its
            1x1x1 convolutions are not blocks and get none.
    """

    def __init__(self, base_filters: int, squeeze_excite: bool) -> None:
        self.base_filters = base_filters
        self.squeeze_excite = squeeze_excite

    @abstractmethod
    def width(self, level: int) -> int:
        """Return the channels of the encoder's output at a level, 0 being the full resolution."""

    @abstractmethod
    def encoder(self, in_channels: int, level: int) -> nn.Sequential:
        """Return blocks from ``in_channels`` to ``width(level)``."""

    @abstractmethod
    def decoder(self, in_channels: int, level: int) -> nn.Sequential:
        """Return blocks from a coarse and a fine map, ``in_channels`` together, to ``width(level)``."""

    def after(self, *blocks: nn.Module, widths: Sequence[int]) -> nn.Sequential:
        """Return blocks in a row, each followed by squeeze-and-excitation where the design has it."""
        row: list[nn.Module] = []
        for block, width in zip(blocks, widths, strict=True):
            row += [block, SqueezeExcite(width)] if self.squeeze_excite else [block]
        return nn.Sequential(*row)

    def input_join(self, channels: int) -> nn.Module:
        """Return what follows the concatenation of the image and an encoder's output, channels together."""
        return SqueezeExcite(channels) if self.squeeze_excite else nn.Identity()

    def skip_join(self, channels: int) -> nn.Module:
        """Return what follows the joining of a decoder's output and a skip, channels together."""
        return JoinedSqueezeExcite(channels) if self.squeeze_excite else nn.Identity()


class PlainDesign(LevelDesign):
    """Two convolution blocks per level, the second twice as wide in the encoder: 16, 32; 32, 64; ..."""

    def width(self, level: int) -> int:
        return 2 * self.base_filters * 2**level

    def encoder(self, in_channels: int, level: int) -> nn.Sequential:
        wide = self.width(level)
        return self.after(ConvBlock(in_channels, wide // 2), ConvBlock(wide // 2, wide), widths=(wide // 2, wide))

    def decoder(self, in_channels: int, level: int) -> nn.Sequential:
        wide = self.width(level)
        return self.after(ConvBlock(in_channels, wide, joined=True), ConvBlock(wide, wide), widths=(wide, wide))


class PostActivationDesign(LevelDesign):
    """Two REB1 blocks per level: 16, 32, 64, 128."""

    def width(self, level: int) -> int:
        return self.base_filters * 2**level

    def encoder(self, in_channels: int, level: int) -> nn.Sequential:
        return self._blocks(in_channels, level, joined=False)

    def decoder(self, in_channels: int, level: int) -> nn.Sequential:
        return self._blocks(in_channels, level, joined=True)

    def _blocks(self, in_channels: int, level: int, *, joined: bool) -> nn.Sequential:
        wide = self.width(level)
        first = PostActivationResBlock(in_channels, wide, joined=joined)
        return self.after(first, PostActivationResBlock(wide, wide), widths=(wide, wide))


class PreActivationDesign(PostActivationDesign):
    """A convolution to the level's width, then one REB2 block; the decoder has two REB1 blocks."""

    def encoder(self, in_channels: int, level: int) -> nn.Sequential:
        wide = self.width(level)
        size = 3 if level == 0 else 1
        block = self.after(PreActivationResBlock(wide), widths=(wide,))
        return nn.Sequential(conv(in_channels, wide, size), *block)


class SubNetwork(nn.Module):
    """Encoder with the down-sampled input at every level, decoder with skips, one logit per voxel.

    Args:
        in_channels: Channels of the image and the outer regions' probabilities together.
        image_channels: Channels of the image alone; the down-sampled input holds only these.
        levels: Resolutions, the full one included; each is half the one before.
        design: What stands at each level.
    """

    def __init__(self, in_channels: int, image_channels: int, levels: int, design: LevelDesign) -> None:
        super().__init__()
        widths = [design.width(level) for level in range(levels)]
        inputs = [in_channels, *(image_channels + width for width in widths[:-1])]
        self.encoders = nn.ModuleList(design.encoder(n, level) for level, n in enumerate(inputs))
        self.input_joins = nn.ModuleList(design.input_join(n) for n in inputs[1:])
        joints = [below + skip for skip, below in itertools.pairwise(widths)]
        self.decoders = nn.ModuleList(design.decoder(n, level) for level, n in enumerate(joints))
        self.skip_joins = nn.ModuleList(design.skip_join(n) for n in joints)
        self.head = conv(widths[0], 1, 1)

    def forward(self, inputs: Tensor, pyramid: Sequence[Tensor]) -> Tensor:
        """Return logits of one region.

        Args:
            inputs: Image and outer probabilities, shape (batch, in_channels, x, y, z).
            pyramid: The image max-pooled once, twice, ...: one tensor per level below the first.

        Returns:
            Logits, shape (batch, 1, x, y, z).
        """
        features = self.encoders[0](inputs)
        skips = [features]
        for encoder, join, image in zip(self.encoders[1:], self.input_joins, pyramid, strict=True):
            features = encoder(join(torch.cat([image, F.max_pool3d(features, 2)], dim=1)))
            skips.append(features)
        for level in reversed(range(len(self.decoders))):
            features = self.decoders[level](self.skip_joins[level]((features, skips[level])))
        return self.head(features)
