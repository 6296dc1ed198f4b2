"""Wang et al.'s cascade."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tunetseg.networks.rivals.anisotropic import (
    OUTSIDE,
    AnisotropicCascade,
    AnisotropicNetwork,
    bounding_box,
)


def kernels(network: nn.Module) -> list[tuple[int, ...]]:
    return [module.kernel_size for module in network.modules() if isinstance(module, nn.Conv3d)]


@pytest.mark.parametrize(("downsamplings", "seen"), [(2, 217), (1, 113)])
def test_layers_and_receptive_field_are_the_papers(downsamplings: int, seen: int) -> None:
    network = AnisotropicNetwork(4, 2, downsamplings)
    convolutions = [layer for layer in network.groups.modules() if isinstance(layer, nn.Conv3d)]
    intra = [layer for layer in convolutions if layer.kernel_size == (3, 3, 1)]
    inter = [layer for layer in convolutions if layer.kernel_size == (1, 1, 3)]
    assert (len(intra), len(inter)) == (20, 4)
    # Voxels that the 20 intra-slice and the four inter-slice layers reach; pooling itself is not counted.
    scales = [1, network.factors[0], network.factors[0] * network.factors[1]]
    groups = [[layer for layer in group.modules() if layer in intra] for group in network.groups]
    reach = sum(2 * layer.dilation[0] * scales[min(index, 2)] for index, group in enumerate(groups) for layer in group)
    assert 1 + reach == seen
    assert 1 + 2 * len(inter) == 9
    assert kernels(network.predictions) == [(3, 3, 1)] * 3


def test_boxes() -> None:
    mask = torch.zeros(2, 1, 5, 6, 7, dtype=torch.bool)
    mask[0, 0, 1, 2, 3] = mask[0, 0, 3, 2, 5] = True
    expected = torch.zeros_like(mask)
    expected[0, 0, 1:4, 2:3, 3:6] = True
    assert torch.equal(bounding_box(mask), expected)


def test_inner_networks_see_only_the_box_of_the_outer_region() -> None:
    torch.manual_seed(0)
    network = AnisotropicCascade(1, ("organ", "tumour"), base_filters=2).eval()
    image = torch.randn(1, 1, 8, 8, 8)
    outer = torch.zeros(1, 2, 8, 8, 8)
    outer[:, 0, 2:5, 2:6, 1:4] = 1
    logits = network(image, outer=outer)
    box = outer[:, 0] > 0
    assert bool((logits[:, 1][~box] == OUTSIDE).all())
    assert bool((logits[:, 1][box] != OUTSIDE).all())
    elsewhere = torch.where(box[:, None], image, torch.randn_like(image))
    assert torch.equal(network(elsewhere, outer=outer)[:, 1], logits[:, 1])


def test_predicted_boxes_at_inference() -> None:
    torch.manual_seed(0)
    network = AnisotropicCascade(1, ("organ", "tumour"), base_filters=2).eval()
    image = torch.randn(1, 1, 8, 8, 8)
    predicted = network(image)
    assert torch.equal(network(image, outer=predicted > 0), predicted)
    network.set_prior(-1e3)
    assert bool((network(image)[:, 1] == OUTSIDE).all()), "without an outer region there is no inner one"


def test_networks_are_trained_apart() -> None:
    torch.manual_seed(0)
    network = AnisotropicCascade(1, ("organ", "tumour"), base_filters=2)
    masks = torch.zeros(1, 2, 8, 8, 8)
    masks[:, 0, 1:7, 1:7, 1:7] = 1
    masks[:, 1, 2:5, 2:5, 2:5] = 1
    _, terms = network.loss_terms(torch.randn(1, 1, 8, 8, 8), masks, F.binary_cross_entropy_with_logits)
    assert list(terms) == ["organ", "tumour"]
    terms["tumour"].backward()
    reached = {
        region: any(bool(parameter.grad.any()) for parameter in part.parameters() if parameter.grad is not None)
        for region, part in network.networks.items()
    }
    assert reached == {"organ": False, "tumour": True}


@pytest.mark.parametrize(("view", "axis"), [("axial", 4), ("coronal", 3), ("sagittal", 2)])
def test_views_look_through_different_planes(view: str, axis: int) -> None:
    torch.manual_seed(0)
    network = AnisotropicCascade(1, ("organ",), base_filters=2, view=view).eval()
    image = torch.randn(1, 1, 16, 16, 16).requires_grad_()
    network(image)[0, 0, 8, 8, 8].backward()
    assert image.grad is not None
    seen = [int(image.grad[0, 0].any(dim=other[0]).any(dim=other[1]).sum()) for other in ((2, 1), (2, 0), (1, 0))]
    assert seen[axis - 2] <= 9
    assert all(count > 9 for index, count in enumerate(seen) if index != axis - 2)
