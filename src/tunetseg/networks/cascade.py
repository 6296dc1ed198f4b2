"""The cascade: one sub-network a nested region, each seeing the outer regions' probabilities (paper, 2.1)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunetseg.networks.subnetwork import LevelDesign, SubNetwork

__all__ = ["Cascade"]


class Cascade(nn.Module):
    """Sub-networks for nested regions, joined end to end.

    The first sub-network sees the image; each later one sees, before the image, the probabilities of all
    regions outside its own, the nearest first. Gradients flow through the probabilities, nothing is masked.

    Args:
        image_channels: Channels of the image: 4 for the MRI sequences of BraTS.
        regions: Names of the nested regions, outermost first; for BraTS whole, core, enhancing.
        levels: Resolutions of each sub-network; the sides of an input must be multiples of 2**(levels - 1).
        design: What stands at each level of a sub-network.

    Examples:
        >>> from tunetseg.networks.subnetwork import PlainDesign
        >>> network = Cascade(4, ("whole", "core", "enhancing"), 3, PlainDesign(2, squeeze_excite=False))
        >>> network(torch.zeros(1, 4, 8, 8, 8)).shape
        torch.Size([1, 3, 8, 8, 8])
    """

    def __init__(self, image_channels: int, regions: tuple[str, ...], levels: int, design: LevelDesign) -> None:
        super().__init__()
        if not regions or image_channels < 1 or levels < 1:
            raise ValueError(f"a cascade needs regions, channels and levels, not {regions}, {image_channels}, {levels}")
        self.regions = regions
        self.levels = levels
        self.subnetworks = nn.ModuleDict(
            {
                name: SubNetwork(image_channels + outer, image_channels, levels, design)
                for outer, name in enumerate(regions)
            }
        )
        self.reset_parameters()

    def reset_parameters(self, head_bias: float = 0.0) -> None:
        """Glorot-uniform kernels and zero biases, as Keras has them; heads start at ``head_bias`` (a logit)."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for head in self.heads:
            nn.init.constant_(head.get_parameter("bias"), head_bias)

    @property
    def heads(self) -> list[nn.Conv3d]:
        """The 1x1x1 convolutions that give each region's logits."""
        return [network.head for network in self.subnetworks.values() if isinstance(network, SubNetwork)]

    @property
    def stride(self) -> int:
        """Sides of an input must be multiples of this many voxels."""
        return 2 ** (self.levels - 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of all regions; their sigmoid is the probability (paper, 2.2).

        Args:
            image: Normalised image, shape (batch, channel, x, y, z).

        Returns:
            Logits, shape (batch, region, x, y, z).

        Raises:
            ValueError: A side is not a multiple of ``stride``.
        """
        if any(side % self.stride for side in image.shape[2:]):
            raise ValueError(f"sides {tuple(image.shape[2:])} must be multiples of {self.stride}")
        pyramid = [image]
        for _ in range(self.levels - 1):
            pyramid.append(F.max_pool3d(pyramid[-1], 2))
        logits: list[Tensor] = []
        inputs = image
        for subnetwork in self.subnetworks.values():
            logits.append(subnetwork(inputs, pyramid[1:]))
            inputs = torch.cat([torch.sigmoid(logits[-1]), inputs], dim=1)
        return torch.cat(logits, dim=1)
