"""Swin UNETR."""

from typing import Any

import torch
from monai.networks import nets
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tunetseg.errors import InputError
from tunetseg.networks.rivals.base import Rival, last_convolution

__all__ = ["SwinUNETR"]


class _NumbersOnCpu(TorchFunctionMode):
    """Let ``torch.linspace`` hold numbers on the meta device too: MONAI reads its drop rates from it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        changed = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **{**(kwargs or {}), **changed})


class SwinUNETR(Rival):
    """Swin transformer encoder with a convolutional decoder (Hatamizadeh et al. 2022, arXiv 2201.01266), by MONAI.

    The settings for BraTS 2021: 48 features, depths 2, 2, 2, 2, heads 3, 6, 12, 24, windows of 7, no dropout.

    Args:
        in_channels: Channels of the image.
        regions: Names of the regions, outermost first.
        base_filters: Features at the first level (``feature_size`` in MONAI), a multiple of 12.

    Raises:
        InputError: ``base_filters`` is not a multiple of 12.
    """

    def __init__(self, in_channels: int, regions: tuple[str, ...], *, base_filters: int = 48) -> None:
        if base_filters % 12:
            raise InputError(f"base_filters must be a multiple of 12 for network 'swin-unetr', not {base_filters}")
        super().__init__(in_channels, regions, stride=32, options={"base_filters": base_filters})
        with _NumbersOnCpu():
            self.body = nets.SwinUNETR(in_channels=in_channels, out_channels=len(regions), feature_size=base_filters)
        self.set_prior(0.0)

    @property
    def output_layers(self) -> list[nn.Conv3d]:
        """The last 1x1x1 convolution."""
        return [last_convolution(self.body.out)]

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, channel, x, y, z) to logits (batch, region, x, y, z)."""
        self.check_sides(image)
        return self.body(image)
