"""A cascade of anisotropic networks trained apart, written from the description in its paper.

Wang, Li, Ourselin, Vercauteren: "Automatic Brain Tumor Segmentation using Cascaded Anisotropic Convolutional Neural
Networks" (BraTS 2017, arXiv 1709.00382), called "the paper" in this module.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunetseg.errors import InputError
from tunetseg.networks.protocol import Criterion, LossTerms, region_terms
from tunetseg.networks.rivals.base import Rival

__all__ = ["AnisotropicCascade", "AnisotropicNetwork", "bounding_box"]

THROUGH_PLANE = {"axial": 4, "coronal": 3, "sagittal": 2}
"""View -> axis of a (batch, channel, x, y, z) tensor that slices are stacked along."""

OUTSIDE = -20.0
"""Logit of an inner region outside the bounding box of its outer region."""

DILATIONS = ((1, 1), (1, 1), (1, 2, 3), (3, 2, 1))
"""Of the residual blocks in each of the four groups."""

CLASSES = 2
"""Channels of an intermediate prediction: the paper's foreground and background."""


def bounding_box(mask: Tensor) -> Tensor:
    """Return the smallest box around each sample's mask.

    Args:
        mask: Boolean, shape (batch, 1, x, y, z).

    Returns:
        Boolean, same shape: true inside the box, false everywhere if the mask is empty.
    """
    box = torch.ones_like(mask)
    for axis in (2, 3, 4):
        others = tuple({2, 3, 4} - {axis})
        profile = mask.float().amax(others, keepdim=True)
        after_first = profile.cumsum(axis) > 0
        before_last = profile.flip(axis).cumsum(axis).flip(axis) > 0
        box = box & after_first & before_last
    return box


def _activated(convolution: nn.Conv3d) -> nn.Sequential:
    """Return a convolution followed by batch normalisation and PReLU."""
    return nn.Sequential(convolution, nn.BatchNorm3d(convolution.out_channels), nn.PReLU(convolution.out_channels))


def _intra_slice(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Conv3d:
    """Return a 3x3x1 convolution that keeps the spatial size."""
    steps = (dilation, dilation, 1)
    return nn.Conv3d(in_channels, out_channels, (3, 3, 1), padding=(dilation, dilation, 0), dilation=steps)


def _inter_slice(channels: int) -> nn.Conv3d:
    """Return a 1x1x3 convolution that keeps the spatial size."""
    return nn.Conv3d(channels, channels, (1, 1, 3), padding=(0, 0, 1))


class _ResidualBlock(nn.Module):
    """Two intra-slice (3x3x1) convolutions whose input is added to their output."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _activated(_intra_slice(in_channels, out_channels, dilation)),
            _activated(_intra_slice(out_channels, out_channels, dilation)),
        )
        # The image has other channels than the features, so it cannot be added as it is.
        self.shortcut = nn.Conv3d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        return self.body(features) + self.shortcut(features)


class AnisotropicNetwork(nn.Module):
    """One network of the cascade; slices lie in the first two spatial axes.

    Ten residual blocks in four groups of 2, 2, 3 and 3 (20 intra-slice convolutions), each group closed by an
    inter-slice (1x1x3) convolution; in-plane down-sampling after the first and the second group; dilations of 1, 2, 3
    and 3, 2, 1 after it. Predictions after the last three groups are up-sampled, and a last 3x3x1 convolution merges
    them. The 20 intra-slice layers see 217x217 voxels with two down-samplings, and 113x113 with one, the four
    inter-slice ones 9 slices, as in the paper.

    Args:
        in_channels: Channels of the image.
        filters: Channels of all features.
        downsamplings: 2, or 1 for a small region (the paper's network of the enhancing tumour), which goes without
            the first.
    """

    def __init__(self, in_channels: int, filters: int, downsamplings: int) -> None:
        super().__init__()
        self.groups = nn.ModuleList()
        channels = in_channels
        for dilations in DILATIONS:
            blocks = []
            for dilation in dilations:
                blocks.append(_ResidualBlock(channels, filters, dilation))
                channels = filters
            self.groups.append(nn.Sequential(*blocks, _activated(_inter_slice(filters))))
        self.factors = (2 if downsamplings > 1 else 1, 2)
        self.predictions = nn.ModuleList(_intra_slice(filters, CLASSES) for _ in DILATIONS[1:])
        self.head = _intra_slice(CLASSES * len(self.predictions), 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, channel, x, y, z) to logits (batch, 1, x, y, z)."""
        features = self.groups[0](image)
        maps = []
        for index, (group, predict) in enumerate(zip(self.groups[1:], self.predictions, strict=True)):
            if index < len(self.factors) and self.factors[index] > 1:
                features = F.max_pool3d(features, (2, 2, 1))
            features = group(features)
            maps.append(F.interpolate(predict(features), image.shape[2:], mode="trilinear"))
        return self.head(torch.cat(maps, dim=1))


class AnisotropicCascade(Rival):
    """One anisotropic network per region, trained apart; each sees the image in the bounding box of the outer region.

    In training the box is that of the reference, at inference that of the predicted outer region (p > 0.5). Each
    network has a loss term of its own and learns nothing from the others. The paper trains one cascade for each of the
    axial, coronal and sagittal views and averages their probabilities: train three with ``view`` and segment with the
    three models together.

    Differences from the paper: the image is set to 0 outside the box in place of being cropped, and logits there to a
    constant, so that windows keep their size and the network can be exported; convolutions pad through the plane too;
    one sigmoid stands for a softmax over two classes; with any number of regions, the first two have two
    down-samplings and further ones one. Chosen here: max pooling for the in-plane down-sampling, trilinear up-sampling,
    a 1x1x1 convolution as the first block's shortcut.

    Args:
        in_channels: Channels of the image.
        regions: Names of the nested regions, outermost first.
        base_filters: Channels of all features (32 in the paper).
        view: ``axial``, ``coronal`` or ``sagittal``.

    Raises:
        InputError: Unknown view.
    """

    def __init__(
        self, in_channels: int, regions: tuple[str, ...], *, base_filters: int = 32, view: str = "axial"
    ) -> None:
        if view not in THROUGH_PLANE:
            raise InputError(f"unknown view {view!r}; choose from {', '.join(THROUGH_PLANE)}")
        super().__init__(in_channels, regions, stride=4, options={"base_filters": base_filters, "view": view})
        self.axis = THROUGH_PLANE[view]
        self.networks = nn.ModuleDict(
            {
                region: AnisotropicNetwork(in_channels, base_filters, 2 if outer < 2 else 1)
                for outer, region in enumerate(regions)
            }
        )
        self.set_prior(0.0)

    @property
    def output_layers(self) -> list[nn.Conv3d]:
        """The last convolution of each network."""
        return [network.head for network in self.networks.values() if isinstance(network, AnisotropicNetwork)]

    def forward(self, image: Tensor, outer: Tensor | None = None) -> Tensor:
        """Return logits of all regions.

        Args:
            image: Normalised image, shape (batch, channel, x, y, z).
            outer: Masks whose bounding boxes inner networks see in place of predicted ones, shape
                (batch, region, x, y, z).

        Returns:
            Logits, shape (batch, region, x, y, z).

        Raises:
            ValueError: A side is not a multiple of ``stride``.
        """
        self.check_sides(image)
        logits: list[Tensor] = []
        for index, network in enumerate(self.networks.values()):
            if index == 0:
                logits.append(self._run(network, image))
                continue
            box = bounding_box(logits[-1] > 0 if outer is None else outer[:, index - 1 : index] > 0)
            logits.append(self._run(network, image * box).masked_fill(~box, OUTSIDE))
        return torch.cat(logits, dim=1)

    def loss_terms(self, image: Tensor, masks: Tensor, criterion: Criterion) -> LossTerms:
        """Return logits inside the reference's boxes, and one term per region, named after it."""
        logits = self(image, outer=masks)
        return LossTerms(logits, region_terms(logits, masks, self.regions, criterion))

    def _run(self, network: nn.Module, image: Tensor) -> Tensor:
        """Return a network's logits with slices in this cascade's view."""
        return network(image.transpose(self.axis, 4)).transpose(self.axis, 4)
