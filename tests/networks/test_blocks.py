"""The paper's blocks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tunetseg.networks.blocks import (
    ConvBlock,
    InstanceNorm,
    JoinedSqueezeExcite,
    PostActivationResBlock,
    PreActivationResBlock,
    SqueezeExcite,
    conv,
)


def test_normalisation_is_instance_normalisation() -> None:
    features = torch.randn(2, 3, 4, 5, 6) * 3 + 1
    expected = torch.nn.functional.instance_norm(features)
    assert torch.allclose(InstanceNorm(3)(features), expected, atol=1e-5)
    for batch in (features, features[:1]):
        assert torch.allclose(InstanceNorm(3).by_sample(batch), expected[: len(batch)], atol=1e-5), "as on a GPU"


@pytest.mark.parametrize("size", [1, 3])
def test_convolutions_keep_the_size_and_have_biases(size: int) -> None:
    layer = conv(2, 3, size)
    assert type(layer) is nn.Conv3d, "workarounds for one device do not belong in the blocks"
    assert layer.bias is not None
    assert layer(torch.zeros(1, 2, 3, 4, 5)).shape == (1, 3, 3, 4, 5)


@pytest.mark.parametrize(
    ("block", "channels"),
    [(ConvBlock(2, 5), 5), (PostActivationResBlock(2, 5), 5), (PreActivationResBlock(2), 2), (SqueezeExcite(2), 2)],
)
def test_blocks_keep_the_spatial_size(block: nn.Module, channels: int) -> None:
    assert block(torch.randn(2, 2, 3, 4, 5)).shape == (2, channels, 3, 4, 5)


def test_squeeze_excite_weights_channels_between_0_and_1() -> None:
    block = SqueezeExcite(32)
    features = torch.rand(2, 32, 3, 3, 3) + 0.5
    ratio = block(features) / features
    assert torch.allclose(ratio, ratio[:, :, :1, :1, :1].expand_as(ratio))
    assert ((ratio > 0) & (ratio < 1)).all()
    assert [tuple(weight.shape) for weight in block.parameters()] == [(2, 32), (32, 2)], "a reduction by 16, no biases"


def test_residual_blocks_add_their_input() -> None:
    features = torch.randn(1, 3, 4, 4, 4)
    block = PreActivationResBlock(3)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(features), features.relu())


@pytest.mark.parametrize("size", [1, 3])
def test_a_joined_convolution_is_the_convolution_of_the_concatenation(size: int) -> None:
    torch.manual_seed(0)
    layer = conv(7, 4, size, joined=True).double()
    coarse = torch.randn(2, 5, 3, 4, 2, dtype=torch.float64, requires_grad=True)
    fine = torch.randn(2, 2, 6, 8, 4, dtype=torch.float64, requires_grad=True)
    wanted = F.conv3d(_concatenate(coarse, fine), layer.weight, layer.bias, padding=size // 2)
    found = layer((coarse, fine))
    torch.testing.assert_close(found, wanted)
    inputs = (coarse, fine, layer.weight, layer.bias)
    upstream = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, upstream), torch.autograd.grad(wanted, inputs, upstream)
    )


def test_joined_squeeze_and_excitation_is_that_of_the_concatenation() -> None:
    torch.manual_seed(0)
    joined = JoinedSqueezeExcite(20).double()
    plain = SqueezeExcite(20).double()
    plain.load_state_dict(joined.state_dict())
    coarse = torch.randn(2, 16, 2, 3, 2, dtype=torch.float64)
    fine = torch.randn(2, 4, 4, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(_concatenate(*joined((coarse, fine))), plain(_concatenate(coarse, fine)))


@pytest.mark.parametrize("block", [SqueezeExcite(20), JoinedSqueezeExcite(20), conv(20, 4, 3, joined=True)])
def test_what_is_exported_computes_the_same(block: nn.Module) -> None:
    torch.manual_seed(0)
    coarse, fine = torch.randn(2, 16, 2, 3, 2), torch.randn(2, 4, 4, 6, 4)
    features = _concatenate(coarse, fine) if type(block) is SqueezeExcite else (coarse, fine)
    expected = block(features)
    weights = {name: weight.ravel() for name, weight in block.state_dict().items()}
    block.simplify()
    torch.testing.assert_close(block(features), expected)
    assert weights.keys() == block.state_dict().keys()
    assert all(torch.equal(weights[name], weight.ravel()) for name, weight in block.state_dict().items())


def _concatenate(coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    return torch.cat([F.interpolate(coarse, scale_factor=2, mode="nearest"), fine], dim=1)
