"""All six networks: parameter counts, shapes, gradients."""

import pytest
import torch

from tunetseg.errors import InputError
from tunetseg.networks import VARIANTS, Architecture, build_network
from tunetseg.networks.blocks import conv


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("variant", "each", "total"),
    [
        ("tunet", (4_107_537, 4_107_969, 4_108_401), 12_323_907),
        ("tunet-seb", (4_153_505, 4_153_937, 4_154_369), 12_461_811),
        ("tunet-reb1", (1_638_033, 1_638_065, 1_638_097), 4_914_195),
        ("tunet-reb2", (1_536_865, 1_537_297, 1_537_729), 4_611_891),
        # With squeeze-and-excitation after each residual block's last ReLU and after each concatenation.
        ("tunet-reb1-seb", (1_651_593, 1_651_625, 1_651_657), 4_954_875),
        ("tunet-reb2-seb", (1_547_705, 1_548_137, 1_548_569), 4_644_411),
    ],
)
def test_parameter_counts(variant: str, each: tuple[int, ...], total: int) -> None:
    with torch.device("meta"):
        network = build_network(Architecture(variant))
    assert tuple(parameters(subnetwork) for subnetwork in network.subnetworks.values()) == each
    assert parameters(network) == total


@pytest.mark.parametrize("variant", VARIANTS)
def test_any_regions_channels_and_levels(variant: str) -> None:
    architecture = Architecture(variant, image_channels=1, regions=("kidney", "tumour"), base_filters=4, levels=3)
    network = build_network(architecture)
    logits = network(torch.randn(2, 1, 8, 12, 16))
    assert logits.shape == (2, 2, 8, 12, 16)
    logits[:, 1].sum().backward()
    outer = network.subnetworks["kidney"].get_parameter("head.weight")
    assert outer.grad is not None
    assert outer.grad.abs().sum() > 0, "the inner region must teach the outer one through its probability"


def test_outer_region_ignores_inner_networks() -> None:
    torch.manual_seed(0)
    network = build_network(Architecture("tunet-seb", base_filters=2, levels=2)).eval()
    image = torch.randn(1, 4, 8, 8, 8)
    before = network(image)
    with torch.no_grad():
        network.subnetworks["enhancing"].get_parameter("head.bias").add_(1)
    after = network(image)
    assert torch.equal(before[:, :2], after[:, :2])
    assert torch.allclose(before[:, 2] + 1, after[:, 2], atol=1e-5)


def test_normalisation_is_instance_normalisation() -> None:
    network = build_network(Architecture("tunet", base_filters=2, levels=2))
    norm = network.subnetworks["whole"].get_submodule("encoders.0.0.1")
    features = torch.randn(2, 2, 4, 5, 6) * 3 + 1
    assert torch.allclose(norm(features), torch.nn.functional.instance_norm(features), atol=1e-5)


@pytest.mark.parametrize("sides", [(6, 8, 6), (7, 4, 5), (2, 2, 2), (1, 3, 2)])
def test_a_convolution_in_halves_is_the_whole_one(sides: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    halved = conv(3, 5, 3).double()
    whole = torch.nn.Conv3d(3, 5, 3, padding=1).double()
    whole.load_state_dict(halved.state_dict())
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
def test_small_convolutions_are_onednns(batch: int) -> None:
    layer = conv(8, 8, 3)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        layer(torch.randn(batch, 8, 16, 16, 16))
    called = {event.key for event in profile.key_averages()}
    assert "aten::mkldnn_convolution" in called
    assert not {name for name in called if "slow_conv" in name}


def test_faults_are_said() -> None:
    with pytest.raises(InputError, match="'unet'"):
        Architecture("unet")
    with pytest.raises(ValueError, match="multiples of 2"):
        build_network(Architecture("tunet", base_filters=2, levels=2))(torch.zeros(1, 4, 7, 8, 8))
