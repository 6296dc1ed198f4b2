"""One sub-network."""

import pytest
import torch

from tunetseg.networks.subnetwork import (
    LevelDesign,
    PlainDesign,
    PostActivationDesign,
    PreActivationDesign,
    SubNetwork,
)

DESIGNS = [PlainDesign, PostActivationDesign, PreActivationDesign]


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("squeeze_excite", [False, True])
@pytest.mark.parametrize("levels", [1, 3])
def test_one_logit_per_voxel(design: type[LevelDesign], squeeze_excite: bool, levels: int) -> None:
    network = SubNetwork(3, 2, levels, design(2, squeeze_excite))
    pyramid = [torch.randn(1, 2, *[8 // 2**level] * 3) for level in range(1, levels)]
    assert network(torch.randn(1, 3, 8, 8, 8), pyramid).shape == (1, 1, 8, 8, 8)


@pytest.mark.parametrize(
    ("design", "widths"),
    [
        (PlainDesign, [32, 64, 128, 256]),
        (PostActivationDesign, [16, 32, 64, 128]),
        (PreActivationDesign, [16, 32, 64, 128]),
    ],
)
def test_filters_double_at_each_level(design: type[LevelDesign], widths: list[int]) -> None:
    assert [design(16, False).width(level) for level in range(4)] == widths


def test_the_down_sampled_image_enters_each_level() -> None:
    network = SubNetwork(1, 1, 3, PlainDesign(2, squeeze_excite=False))
    image = torch.randn(1, 1, 8, 8, 8)
    pyramid = [torch.randn(1, 1, 4, 4, 4, requires_grad=True), torch.randn(1, 1, 2, 2, 2, requires_grad=True)]
    network(image, pyramid).square().sum().backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in pyramid)
