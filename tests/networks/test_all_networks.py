"""One test for every network by name, the paper's and the rivals."""

import json
import pickle
from dataclasses import asdict
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from tunetseg.networks import (
    NetworkSpec,
    SegmentationNetwork,
    build_network,
    create_network,
    missing_packages,
    network_names,
)

REGIONS = ("organ", "tumour")
SMALL_TUNET: tuple[dict[str, Any], tuple[int, int, int]] = ({"base_filters": 2, "levels": 2}, (4, 6, 8))
# Options and the sides of an input: multiples of the stride that leave more than one voxel at the lowest resolution.
SMALL: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "unet": ({"base_filters": 4}, (16, 32, 16)),
    "segresnet-vae": ({"base_filters": 8, "input_size": (16, 16, 32)}, (16, 24, 16)),
    "anisotropic-cascade": ({"base_filters": 4}, (8, 12, 8)),
    "dynunet": ({"base_filters": 4, "max_filters": 16, "levels": 4}, (8, 16, 8)),
    "swin-unetr": ({"base_filters": 12}, (32, 32, 64)),
}


def spec_of(name: str) -> NetworkSpec:
    return NetworkSpec(name, 2, REGIONS, SMALL.get(name, SMALL_TUNET)[0])


def image_for(name: str, batch: int = 1) -> Tensor:
    return torch.randn(batch, 2, *SMALL.get(name, SMALL_TUNET)[1], generator=torch.Generator().manual_seed(1))


def masks_for(image: Tensor) -> Tensor:
    """Nested boxes, shape (batch, 2, x, y, z)."""
    masks = torch.zeros(len(image), 2, *image.shape[2:])
    x, y, z = (side // 2 for side in image.shape[2:])
    masks[:, 0, :x, :y, :z] = 1
    masks[:, 1, : x // 2, : y // 2 + 1, : z // 2 + 1] = 1
    return masks


def criterion(logits: Tensor, masks: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, masks)


@pytest.fixture(params=network_names())
def name(request: pytest.FixtureRequest) -> str:
    missing = missing_packages(request.param)
    if missing:
        pytest.skip(f"network {request.param!r} needs {' and '.join(missing)}")
    torch.manual_seed(0)
    return request.param


@pytest.fixture
def network(name: str) -> SegmentationNetwork:
    return build_network(spec_of(name))


def test_logits_have_one_channel_per_region(name: str, network: SegmentationNetwork) -> None:
    image = image_for(name, batch=2)
    for mode in (True, False):
        with torch.no_grad():
            logits = network.train(mode)(image)
        assert logits.shape == (2, 2, *image.shape[2:])
        assert logits.isfinite().all()


def test_sides_must_be_multiples_of_the_stride(name: str, network: SegmentationNetwork) -> None:
    image = image_for(name)
    assert not any(side % network.stride for side in image.shape[2:])
    for axis in (2, 3, 4):
        with pytest.raises(ValueError, match=f"multiples of {network.stride}"):
            network(image.narrow(axis, 0, image.shape[axis] - 1))
    with pytest.raises(ValueError, match=f"multiples of {network.stride}"):
        network.loss_terms(image[..., 1:], masks_for(image)[..., 1:], criterion)


def test_two_steps_lower_the_loss_and_reach_every_parameter(name: str, network: SegmentationNetwork) -> None:
    image = image_for(name)
    masks = masks_for(image)
    optimizer = torch.optim.Adam(network.parameter_groups(1e-5), lr=1e-3)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        torch.manual_seed(0)  # the same dropout and latent variables at each step
        logits, terms = result = network.loss_terms(image, masks, criterion)
        assert logits.shape == masks.shape
        assert all(term.shape == () for term in terms.values())
        assert result.total.item() == pytest.approx(sum(term.item() for term in terms.values()))
        result.total.backward()
        losses.append(result.total.item())
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None, f"{key} has no gradient"
            assert parameter.grad.isfinite().all(), key
        optimizer.step()
    assert losses[2] < losses[0]


def test_trains_in_bfloat16(name: str, network: SegmentationNetwork) -> None:
    image = image_for(name)
    # oneDNN's bfloat16 gradients of kernels are now and then not finite over so few voxels (torch 2.13, AVX512-BF16).
    with torch.backends.mkldnn.flags(enabled=False):
        with torch.autocast("cpu", torch.bfloat16):
            result = network.loss_terms(image, masks_for(image), criterion)
        result.total.backward()
    assert result.total.isfinite()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())


def test_parameter_groups_hold_each_parameter_once(network: SegmentationNetwork) -> None:
    penalised, others = network.parameter_groups(1e-5)
    assert penalised["weight_decay"] == 2e-5
    assert others["weight_decay"] == 0
    assert all(kernel.ndim == 5 for kernel in penalised["params"])
    held = [id(parameter) for group in (penalised, others) for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in network.parameters())


def test_weights_survive_safetensors_and_the_meta_device(name: str, network: SegmentationNetwork) -> None:
    image = image_for(name)
    network.loss_terms(image, masks_for(image), criterion)  # after training, as models are stored
    weights = load(save(network.state_dict()))  # refuses tensors that share memory
    with torch.device("meta"):
        copy = build_network(spec_of(name))
    copy.load_state_dict(weights, assign=True)
    assert not any(tensor.is_meta for tensor in (*copy.parameters(), *copy.buffers()))
    with torch.no_grad():
        assert torch.equal(network.eval()(image), copy.eval()(image))


def test_exports(name: str, network: SegmentationNetwork) -> None:
    image = image_for(name)
    program = torch.export.export(network.eval(), (image,))
    with torch.no_grad():
        assert torch.allclose(program.module()(image), network(image), atol=1e-5)


def test_evaluation_changes_nothing_and_repeats(name: str, network: SegmentationNetwork) -> None:
    image = image_for(name)
    network.train()
    assert all(module.training for module in network.modules())
    network.eval()
    assert not any(module.training for module in network.modules())
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with torch.no_grad():
        assert torch.equal(network(image), network(image))
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_reset_draws_again_and_sets_the_prior(name: str, network: SegmentationNetwork) -> None:
    assert all(bool((layer.bias == 0).all()) for layer in network.output_layers)
    torch.manual_seed(5)
    network.reset_parameters(-3.0)
    first = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    assert all(bool((layer.bias == -3).all()) for layer in network.output_layers)
    network.reset_parameters()
    assert any(not torch.equal(tensor, first[key]) for key, tensor in network.state_dict().items())
    torch.manual_seed(5)
    network.reset_parameters(-3.0)
    assert all(torch.equal(tensor, first[key]) for key, tensor in network.state_dict().items())


def test_copies_after_a_step(name: str, network: SegmentationNetwork) -> None:
    image = image_for(name)
    network.loss_terms(image, masks_for(image), criterion).total.backward()
    average = torch.optim.swa_utils.AveragedModel(network.eval())
    with torch.no_grad():
        assert torch.equal(average(image), network(image))


def test_specs_pickle_and_pass_through_json(name: str) -> None:
    spec = spec_of(name)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert NetworkSpec(**json.loads(json.dumps(asdict(spec)))) == spec


@pytest.mark.parametrize(
    ("name", "parameters", "stride"),
    [
        ("tunet", 12_323_907, 8),
        ("tunet-seb", 12_461_811, 8),
        ("tunet-reb1", 4_914_195, 8),
        ("tunet-reb1-seb", 4_954_875, 8),
        ("tunet-reb2", 4_611_891, 8),
        ("tunet-reb2-seb", 4_644_411, 8),
        ("unet", 18_801_333, 16),
        ("segresnet-vae", 24_828_439, 8),
        ("anisotropic-cascade", 580_695, 4),
        ("dynunet", 31_193_388, 32),
        ("swin-unetr", 62_191_941, 32),
    ],
    indirect=["name"],
)
def test_defaults_are_for_brats(name: str, parameters: int, stride: int) -> None:
    with torch.device("meta"):
        network = create_network(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network.stride == stride
    assert network.regions == ("whole", "core", "enhancing")
