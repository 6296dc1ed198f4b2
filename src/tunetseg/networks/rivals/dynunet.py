"""nnU-Net's network for BraTS."""

from monai.networks import nets
from torch import Tensor, nn
from torch.nn import functional as F

from tunetseg.errors import InputError
from tunetseg.networks.protocol import Criterion, LossTerms
from tunetseg.networks.rivals.base import Rival, last_convolution

__all__ = ["DynUNet"]


class DynUNet(Rival):
    """nnU-Net's 3-D network in its configuration for BraTS (Isensee et al. 2020, arXiv 2011.00848), from MONAI's parts.

    Six levels by strided convolutions, 32 filters doubled at each level up to 320, instance normalisation, leaky
    ReLU, transposed convolutions. In training, all resolutions but the two lowest have a loss of their own, each with
    half the weight of the one above it; the weights sum to 1.

    MONAI's ``DynUNet`` keeps its coarse outputs as state, which cannot be copied after a forward pass, and holds each
    parameter under two names, which safetensors refuses; so only its blocks are taken and called here.

    Args:
        in_channels: Channels of the image.
        regions: Names of the regions, outermost first.
        base_filters: Filters at full resolution.
        max_filters: The most filters of any level.
        levels: Resolutions, at least 3.

    Raises:
        InputError: Fewer than 3 levels.
    """

    def __init__(
        self,
        in_channels: int,
        regions: tuple[str, ...],
        *,
        base_filters: int = 32,
        max_filters: int = 320,
        levels: int = 6,
    ) -> None:
        if levels < 3:
            raise InputError(f"levels must be at least 3 for network 'dynunet', not {levels}")
        options = {"base_filters": base_filters, "max_filters": max_filters, "levels": levels}
        super().__init__(in_channels, regions, stride=2 ** (levels - 1), options=options)
        coarse = levels - 3
        parts = nets.DynUNet(
            spatial_dims=3,
            in_channels=in_channels,
            out_channels=len(regions),
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=[min(base_filters * 2**level, max_filters) for level in range(levels)],
            deep_supervision=coarse > 0,
            deep_supr_num=max(coarse, 1),
        )
        self.encoders = nn.ModuleList([parts.input_block, *parts.downsamples])
        self.bottleneck = parts.bottleneck
        self.decoders = parts.upsamples
        self.heads = nn.ModuleList([parts.output_block, *(parts.deep_supervision_heads if coarse else [])])
        self.set_prior(0.0)

    @property
    def output_layers(self) -> list[nn.Conv3d]:
        """The heads, the full resolution's first."""
        return [last_convolution(head) for head in self.heads]

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, channel, x, y, z) to logits (batch, region, x, y, z)."""
        return self.heads[0](self._decode(image)[0])

    def loss_terms(self, image: Tensor, masks: Tensor, criterion: Criterion) -> LossTerms:
        """Return logits and one term per supervised resolution: ``segmentation``, ``coarse_1``, ``coarse_2``, ..."""
        outputs = [head(features) for head, features in zip(self.heads, self._decode(image), strict=False)]
        weights = [0.5**index for index in range(len(outputs))]
        terms = {}
        for index, (logits, weight) in enumerate(zip(outputs, weights, strict=True)):
            reference = F.interpolate(masks, logits.shape[2:], mode="nearest") if index else masks
            name = f"coarse_{index}" if index else "segmentation"
            terms[name] = weight / sum(weights) * criterion(logits, reference)
        return LossTerms(outputs[0], terms)

    def _decode(self, image: Tensor) -> list[Tensor]:
        """Return the decoder's features, the full resolution's first."""
        self.check_sides(image)
        skips = [image]
        for encoder in self.encoders:
            skips.append(encoder(skips[-1]))
        features = [self.bottleneck(skips[-1])]
        for decoder, skip in zip(self.decoders, reversed(skips[1:]), strict=True):
            features.append(decoder(features[-1], skip))
        return features[:0:-1]
