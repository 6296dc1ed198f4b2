"""A plain 3-D U-Net over regions."""

from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from tunetseg.networks.rivals.base import Rival

__all__ = ["UNet"]


class UNet(Rival):
    """3-D U-Net in the settings of Isensee et al., "No New-Net" (BraTS 2018, arXiv 1809.10483), by MONAI.

    Five levels, 30 filters at full resolution, doubled at each level; instance normalisation and leaky ReLU (slope
    0.01); max pooling; the decoder halves the channels before trilinear up-sampling; one sigmoid per region.

    Args:
        in_channels: Channels of the image.
        regions: Names of the regions, outermost first.
        base_filters: Filters at full resolution.
    """

    def __init__(self, in_channels: int, regions: tuple[str, ...], *, base_filters: int = 30) -> None:
        super().__init__(in_channels, regions, stride=16, options={"base_filters": base_filters})
        self.body = BasicUNet(
            spatial_dims=3,
            in_channels=in_channels,
            out_channels=len(regions),
            features=(*(base_filters * 2**level for level in range(5)), base_filters),
            act=("LeakyReLU", {"negative_slope": 0.01, "inplace": True}),
            norm=("instance", {"affine": True}),
            upsample="nontrainable",
        )
        self.set_prior(0.0)

    @property
    def output_layers(self) -> list[nn.Conv3d]:
        """The last 1x1x1 convolution."""
        return [self.body.final_conv]

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, channel, x, y, z) to logits (batch, region, x, y, z)."""
        self.check_sides(image)
        return self.body(image)
