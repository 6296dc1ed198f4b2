"""The faster path for small convolutions on a CPU."""

import pytest
import torch
from torch import nn

from tunetseg.networks import create_network, speed_up_on_cpu
from tunetseg.networks.cpu import HalvedConv3d


@pytest.mark.parametrize("sides", [(6, 8, 6), (7, 4, 5), (2, 2, 2), (1, 3, 2)])
def test_a_convolution_in_halves_is_the_whole_one(sides: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    whole = nn.Conv3d(3, 5, 3, padding=1).double()
    halved = speed_up_on_cpu(nn.Conv3d(3, 5, 3, padding=1).double())
    assert type(halved) is HalvedConv3d
    halved.load_state_dict(whole.state_dict())
    image = torch.randn(1, 3, *sides, dtype=torch.float64, requires_grad=True)
    outputs = [layer(image) for layer in (halved, whole)]
    assert torch.allclose(*outputs, atol=1e-12)
    upstream = torch.randn_like(outputs[0])
    for ours, plain in zip(
        torch.autograd.grad(outputs[0], (image, *halved.parameters()), upstream),
        torch.autograd.grad(outputs[1], (image, *whole.parameters()), upstream),
        strict=True,
    ):
        assert torch.allclose(ours, plain, atol=1e-12)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
@pytest.mark.parametrize("batch", [1, 2])
def test_small_convolutions_are_computed_by_onednn(batch: int) -> None:
    layer = speed_up_on_cpu(nn.Conv3d(8, 8, 3, padding=1))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        layer(torch.randn(batch, 8, 16, 16, 16))
    called = {event.key for event in profile.key_averages()}
    assert "aten::mkldnn_convolution" in called
    assert not {name for name in called if "slow_conv" in name}


def test_a_network_keeps_its_weights_keys_and_results() -> None:
    network = create_network("tunet-seb", base_filters=2, levels=2)
    image = torch.randn(1, 4, 8, 8, 8)
    before, weights = network(image), {key: tensor.clone() for key, tensor in network.state_dict().items()}
    parameters = [id(parameter) for parameter in network.parameters()]
    assert speed_up_on_cpu(network) is network
    assert any(type(module) is HalvedConv3d for module in network.modules())
    assert [id(parameter) for parameter in network.parameters()] == parameters
    assert list(network.state_dict()) == list(weights)
    assert torch.allclose(network(image), before, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv3d(2, 2, 1),
        nn.Conv3d(2, 2, 3),
        nn.Conv3d(2, 2, 3, padding=1, stride=2),
        nn.Conv3d(2, 2, 3, padding=2, dilation=2),
        nn.Conv3d(2, 2, 3, padding=1, groups=2),
        nn.Conv3d(2, 2, 3, padding=1, padding_mode="reflect"),
        nn.Conv3d(2, 2, (3, 3, 1), padding=(1, 1, 0)),
        nn.ConvTranspose3d(2, 2, 3, padding=1),
    ],
)
def test_other_convolutions_stay(layer: nn.Module) -> None:
    kind = type(layer)
    speed_up_on_cpu(nn.Sequential(layer))
    assert type(layer) is kind
