"""The cascade and its couplings."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

import tunetseg
from tunetseg.errors import InputError
from tunetseg.networks import Cascade, create_network
from tunetseg.networks.cascade import Coupling
from tunetseg.networks.subnetwork import PlainDesign

REGIONS = ("whole", "core", "enhancing")


def cascade(coupling: Coupling = "joint") -> Cascade:
    torch.manual_seed(0)
    return Cascade(4, REGIONS, 2, PlainDesign(2, squeeze_excite=True), coupling=coupling)


def image_and_masks() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 4, 8, 8, 8, generator=generator)
    level = torch.randint(0, 4, (1, 8, 8, 8), generator=generator)
    return image, torch.stack([level > outer for outer in range(3)], dim=1).float()


def gradients(network: Cascade, loss: Tensor, region: str) -> list[Tensor]:
    parameters = list(network.subnetworks[region].parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if grad is None else grad for p, grad in zip(parameters, found, strict=True)]


@pytest.mark.parametrize(
    ("name", "each"),
    [
        ("tunet", (4_107_537, 4_107_969, 4_108_401)),
        ("tunet-seb", (4_153_505, 4_153_937, 4_154_369)),
        ("tunet-reb1", (1_638_033, 1_638_065, 1_638_097)),
        ("tunet-reb2", (1_536_865, 1_537_297, 1_537_729)),
        # With squeeze-and-excitation after each residual block's last ReLU and after each concatenation.
        ("tunet-reb1-seb", (1_651_593, 1_651_625, 1_651_657)),
        ("tunet-reb2-seb", (1_547_705, 1_548_137, 1_548_569)),
    ],
)
def test_parameters_of_each_subnetwork(name: str, each: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = create_network(name)
    assert isinstance(network, Cascade)
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in network.subnetworks.values()]
    assert tuple(counts) == each


def test_packaged_weights_fit() -> None:
    path = Path(tunetseg.__file__).parent / "models" / "packaged" / "fast" / "model.safetensors"
    network = create_network("tunet-seb", base_filters=8)
    network.load_state_dict({key: tensor.float() for key, tensor in load_file(path).items()})
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_outer_region_ignores_inner_networks() -> None:
    network = cascade().eval()
    image, _ = image_and_masks()
    before = network(image)
    with torch.no_grad():
        network.output_layers[2].get_parameter("bias").add_(1)
    after = network(image)
    assert torch.equal(before[:, :2], after[:, :2])
    assert torch.allclose(before[:, 2] + 1, after[:, 2], atol=1e-5)


@pytest.mark.parametrize(("coupling", "flows"), [("joint", True), ("detached", False), ("separate", False)])
def test_only_a_joint_cascade_teaches_outer_networks_by_inner_ones(coupling: Coupling, flows: bool) -> None:
    network = cascade(coupling)
    image, masks = image_and_masks()
    logits, _ = network.loss_terms(image, masks, F.binary_cross_entropy_with_logits)
    for outer, inner in ((0, 1), (0, 2), (1, 2)):
        reached = any(bool(grad.any()) for grad in gradients(network, logits[:, inner].square().sum(), REGIONS[outer]))
        assert reached == flows
    assert any(bool(grad.any()) for grad in gradients(network, logits[:, 2].square().sum(), "enhancing"))


def test_joint_and_detached_predict_alike() -> None:
    image, masks = image_and_masks()
    joint, detached = cascade("joint"), cascade("detached")
    assert torch.equal(joint(image), detached(image))
    for network in (joint, detached):
        logits, terms = network.loss_terms(image, masks, F.binary_cross_entropy_with_logits)
        assert list(terms) == ["segmentation"]
        assert torch.equal(logits, network(image))


def test_separate_networks_train_on_the_reference_and_predict_from_predictions() -> None:
    network = cascade("separate")
    image, masks = image_and_masks()
    logits, terms = network.loss_terms(image, masks, F.binary_cross_entropy_with_logits)
    predicted = network(image)
    assert list(terms) == list(REGIONS)
    assert torch.equal(logits[:, 0], predicted[:, 0])
    assert not torch.allclose(logits[:, 1:], predicted[:, 1:])
    # What was predicted, given as the reference, is what inner networks see at inference.
    again, _ = network.loss_terms(image, (predicted > 0).float(), F.binary_cross_entropy_with_logits)
    assert torch.equal(again, predicted)
    # Inner terms do not depend on outer networks at all.
    with torch.no_grad():
        for parameter in network.subnetworks["whole"].parameters():
            parameter.add_(1)
    _, changed = network.loss_terms(image, masks, F.binary_cross_entropy_with_logits)
    assert changed["whole"] != terms["whole"]
    assert changed["core"] == terms["core"]
    assert changed["enhancing"] == terms["enhancing"]


def test_separate_training_is_three_trainings() -> None:
    """One loop over the cascade gives the weights of a training of one sub-network alone."""
    image, masks = image_and_masks()
    together = cascade("separate")
    alone = cascade("separate")
    for network, wanted in ((together, REGIONS), (alone, ("core",))):
        optimizer = torch.optim.Adam(network.parameter_groups(1e-3), lr=1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            _, terms = network.loss_terms(image, masks, F.binary_cross_entropy_with_logits)
            torch.stack([terms[region] for region in wanted]).sum().backward()
            optimizer.step()
    weights = zip(together.subnetworks["core"].parameters(), alone.subnetworks["core"].parameters(), strict=True)
    assert all(torch.allclose(ours, theirs, atol=1e-6) for ours, theirs in weights)


def test_penalty_leaves_out_heads_normalisation_and_squeeze_excitation() -> None:
    network = cascade()
    penalised = {id(kernel) for kernel in network.parameter_groups(1e-5)[0]["params"]}
    names = {key for key, parameter in network.named_parameters() if id(parameter) in penalised}
    assert names
    assert all(key.endswith(".weight") and "head" not in key and "squeeze" not in key for key in names)
    kernels = {key for key, p in network.named_parameters() if p.ndim == 5 and not key.endswith("head.weight")}
    assert names == kernels


def test_biases_start_at_zero_and_heads_at_the_prior() -> None:
    network = cascade()
    network.reset_parameters(-3.0)
    for key, parameter in network.named_parameters():
        if key.endswith("bias"):
            assert bool((parameter == (-3 if "head" in key else 0)).all()), key


def test_invalid_arguments() -> None:
    design = PlainDesign(2, squeeze_excite=False)
    with pytest.raises(InputError, match="unknown coupling 'loose'; choose from joint, detached, separate"):
        create_network("tunet", base_filters=2, levels=2, coupling="loose")
    with pytest.raises(ValueError, match="at least one region"):
        Cascade(4, (), 2, design)
    with pytest.raises(ValueError, match="at least one channel"):
        Cascade(0, REGIONS, 2, design)
