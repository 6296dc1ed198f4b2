"""SegResNet with a variational autoencoder in training."""

import torch
from monai.networks import nets
from torch import Tensor, nn
from torch.nn import functional as F

from tunetseg.errors import InputError
from tunetseg.networks.protocol import Criterion, LossTerms
from tunetseg.networks.rivals.base import Rival, last_convolution

__all__ = ["SegResNetVAE"]

RECONSTRUCTION_WEIGHT = 0.1
KL_WEIGHT = 0.1
GROUPS = 8


class SegResNetVAE(Rival):
    """Residual encoder-decoder with a VAE branch (Myronenko 2018, arXiv 1810.11654, winner of BraTS 2018), by MONAI.

    32 filters, encoder blocks 1, 2, 2, 4, group normalisation, dropout 0.2 after the first convolution, trilinear
    up-sampling, one sigmoid per region. In training, a variational autoencoder of 128 latent variables reconstructs
    the image from the encoder's last features.

    The branch has fully connected layers, which belong to one size of input. Any other size is brought to theirs by
    average pooling and back by interpolation; at the size of the options nothing is changed. Set ``input_size`` to the
    size of training patches to follow the paper.

    Args:
        in_channels: Channels of the image.
        regions: Names of the regions, outermost first.
        base_filters: Filters at full resolution, a multiple of 8.
        input_size: Size of training patches along x, y, z, in voxels; 160x192x128 in Myronenko's paper.

    Raises:
        InputError: ``base_filters`` is not a multiple of 8, or a side is below 16.
    """

    def __init__(
        self,
        in_channels: int,
        regions: tuple[str, ...],
        *,
        base_filters: int = 32,
        input_size: tuple[int, int, int] = (160, 192, 128),
    ) -> None:
        if base_filters % GROUPS:
            raise InputError(
                f"base_filters must be a multiple of {GROUPS} for network 'segresnet-vae', not {base_filters}"
            )
        if min(input_size) < 16:
            raise InputError(f"input_size must be at least 16 voxels for network 'segresnet-vae', not {input_size}")
        options = {"base_filters": base_filters, "input_size": input_size}
        super().__init__(in_channels, regions, stride=8, options=options)
        self.body = nets.SegResNetVAE(
            input_image_size=input_size,
            vae_estimate_std=True,
            vae_nz=128,
            spatial_dims=3,
            init_filters=base_filters,
            in_channels=in_channels,
            out_channels=len(regions),
            dropout_prob=0.2,
            norm=("GROUP", {"num_groups": GROUPS}),
            blocks_down=(1, 2, 2, 4),
            blocks_up=(1, 1, 1),
        )
        self.set_prior(0.0)

    @property
    def output_layers(self) -> list[nn.Conv3d]:
        """The last 1x1x1 convolution of the segmentation."""
        return [last_convolution(self.body.conv_final)]

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, channel, x, y, z) to logits (batch, region, x, y, z)."""
        return self._segment(image)[0]

    def loss_terms(self, image: Tensor, masks: Tensor, criterion: Criterion) -> LossTerms:
        """Return logits and the terms ``segmentation``, ``reconstruction`` and ``kl``.

        The weights, 0.1 for both terms of the autoencoder, are the paper's. Its squared norm of the reconstruction's
        error is taken per voxel and channel, its KL divergence per voxel.
        """
        logits, features = self._segment(image)
        reconstruction, mean, deviation = self._autoencode(features)
        error = F.mse_loss(reconstruction.float(), image.float())
        variance = deviation.square() + 1e-8
        voxels = image[0, 0].numel()
        divergence = (mean.square() + variance - variance.log() - 1).sum(dim=1).mean() / voxels
        terms = {
            "segmentation": criterion(logits, masks),
            "reconstruction": RECONSTRUCTION_WEIGHT * error,
            "kl": KL_WEIGHT * divergence,
        }
        return LossTerms(logits, terms)

    def _segment(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and the encoder's last features."""
        self.check_sides(image)
        features, skips = self.body.encode(image)
        return self.body.decode(features, skips[::-1]), features

    def _autoencode(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstructed image, and mean and standard deviation of the latent variables in float32."""
        body = self.body
        squeezed = F.adaptive_avg_pool3d(body.vae_down(features), tuple(body.fc_insize)).flatten(1)
        mean = body.vae_fc1(squeezed).float()
        deviation = F.softplus(body.vae_fc2(squeezed).float())
        drawn = mean + deviation * torch.randn_like(mean)
        grid = F.relu(body.vae_fc3(drawn)).unflatten(1, (body.smallest_filters, *body.fc_insize))
        grown = body.vae_fc_up_sample(grid)
        if grown.shape[2:] != features.shape[2:]:
            grown = F.interpolate(grown, features.shape[2:], mode="trilinear")
        for upsample, block in zip(body.up_samples, body.up_layers, strict=True):
            grown = block(upsample(grown))
        return body.vae_conv_final(grown), mean, deviation
