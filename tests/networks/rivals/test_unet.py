"""The plain U-Net."""

import pytest
import torch
from torch import nn

pytest.importorskip("monai.networks.nets", reason="network 'unet' needs monai")

from tunetseg.networks.rivals.unet import UNet


def test_settings_are_no_new_nets() -> None:
    with torch.device("meta"):
        network = UNet(4, ("whole", "core", "enhancing"))
    layers = list(network.modules())
    assert {layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)} == {0.01}
    assert all(layer.affine for layer in layers if isinstance(layer, nn.InstanceNorm3d))
    assert len([layer for layer in layers if isinstance(layer, nn.MaxPool3d)]) == 4
    assert {layer.mode for layer in layers if isinstance(layer, nn.Upsample)} == {"trilinear"}
    assert not [layer for layer in layers if isinstance(layer, nn.ConvTranspose3d)]
    widths = {layer.out_channels for layer in layers if isinstance(layer, nn.Conv3d) and layer.kernel_size == (3, 3, 3)}
    assert widths == {30, 60, 120, 240, 480}
