"""nnU-Net's network from MONAI's parts."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

nets = pytest.importorskip("monai.networks.nets", reason="network 'dynunet' needs monai")

from tunetseg.networks.rivals.dynunet import DynUNet  # noqa: E402


def test_outputs_are_monais() -> None:
    torch.manual_seed(0)
    ours = DynUNet(2, ("a", "b"), base_filters=2, max_filters=8, levels=5)
    theirs = nets.DynUNet(
        spatial_dims=3,
        in_channels=2,
        out_channels=2,
        kernel_size=[3] * 5,
        strides=[1, 2, 2, 2, 2],
        upsample_kernel_size=[2] * 4,
        filters=[2, 4, 8, 8, 8],
        deep_supervision=True,
        deep_supr_num=2,
    )
    pairs = [
        (ours.encoders, torch.nn.ModuleList([theirs.input_block, *theirs.downsamples])),
        (ours.bottleneck, theirs.bottleneck),
        (ours.decoders, theirs.upsamples),
        (ours.heads, torch.nn.ModuleList([theirs.output_block, *theirs.deep_supervision_heads])),
    ]
    for mine, original in pairs:
        original.load_state_dict(mine.state_dict())
    image = torch.randn(1, 2, 16, 32, 16)
    expected = theirs.train()(image).unbind(1)
    seen: list[Tensor] = []

    def remember(logits: Tensor, masks: Tensor) -> Tensor:
        seen.append(F.interpolate(logits, image.shape[2:]))  # as MONAI hands out coarse logits
        return logits.mean()

    logits, terms = ours.loss_terms(image, torch.zeros_like(expected[0]), remember)
    assert torch.allclose(logits, expected[0], atol=1e-5)
    assert torch.allclose(ours(image), expected[0], atol=1e-5)
    assert list(terms) == ["segmentation", "coarse_1", "coarse_2"]
    for mine, original in zip(seen, expected, strict=True):
        assert torch.allclose(mine, original, atol=1e-5)


def test_weights_of_resolutions_halve_and_sum_to_1() -> None:
    network = DynUNet(1, ("a",), base_filters=2, max_filters=4, levels=6)
    shapes = []

    def one(logits: Tensor, masks: Tensor) -> Tensor:
        assert logits.shape == masks.shape
        shapes.append(tuple(logits.shape[2:]))
        return logits.mean() * 0 + 1

    image = torch.randn(1, 1, 32, 64, 32)
    _, terms = network.loss_terms(image, torch.zeros(1, 1, 32, 64, 32), one)
    weights = [term.item() for term in terms.values()]
    assert shapes == [(32, 64, 32), (16, 32, 16), (8, 16, 8), (4, 8, 4)], "all but the two lowest of six resolutions"
    assert weights == pytest.approx([8 / 15, 4 / 15, 2 / 15, 1 / 15])


def test_without_coarse_outputs() -> None:
    network = DynUNet(1, ("a",), base_filters=2, levels=3)
    image = torch.randn(1, 1, 8, 8, 8)
    _, terms = network.loss_terms(image, torch.zeros(1, 1, 8, 8, 8), F.binary_cross_entropy_with_logits)
    assert list(terms) == ["segmentation"]
