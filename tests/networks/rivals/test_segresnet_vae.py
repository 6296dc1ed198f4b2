"""SegResNet with its autoencoder."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("monai.networks.nets", reason="network 'segresnet-vae' needs monai")

from tunetseg.networks.rivals.segresnet_vae import SegResNetVAE


def small() -> SegResNetVAE:
    torch.manual_seed(0)
    return SegResNetVAE(1, ("a",), base_filters=8, input_size=(16, 32, 16))


def loss(network: SegResNetVAE, image: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return network.loss_terms(image, torch.zeros_like(image), F.binary_cross_entropy_with_logits).terms


def test_terms_are_the_papers() -> None:
    network = small().eval()
    image = torch.randn(2, 1, 16, 32, 16)
    terms = loss(network, image)
    assert list(terms) == ["segmentation", "reconstruction", "kl"]
    torch.manual_seed(0)
    features = network.body.encode(image)[0]
    reconstruction, mean, deviation = network._autoencode(features)
    assert reconstruction.shape == image.shape
    assert terms["reconstruction"].item() == pytest.approx(0.1 * F.mse_loss(reconstruction, image).item(), rel=1e-5)
    latent = torch.distributions.Normal(mean, deviation)
    prior = torch.distributions.Normal(0.0, 1.0)
    divergence = 2 * torch.distributions.kl_divergence(latent, prior).sum(1).mean() / image[0, 0].numel()
    assert terms["kl"].item() == pytest.approx(0.1 * divergence.item(), rel=1e-4)


def test_at_its_own_size_the_autoencoder_is_monais() -> None:
    network = small().eval()
    image = torch.randn(1, 1, 16, 32, 16)
    terms = loss(network, image)
    network.body.vae_estimate_std = True
    torch.manual_seed(0)
    features = network.body.encode(image)[0]
    theirs = network.body._get_vae_loss(image, features)
    mean, deviation = _latent(network, features)
    regularisation = 0.5 * (mean.square() + deviation.square() - (1e-8 + deviation.square()).log() - 1).mean()
    assert terms["reconstruction"].item() == pytest.approx(0.1 * (theirs - regularisation).item(), rel=1e-4)


def _latent(network: SegResNetVAE, features: Tensor) -> tuple[Tensor, Tensor]:
    flat = network.body.vae_down(features).flatten(1)
    return network.body.vae_fc1(flat), F.softplus(network.body.vae_fc2(flat))


def test_any_size_of_patch() -> None:
    network = small()
    for sides in ((16, 16, 16), (24, 32, 8), (32, 48, 16)):
        terms = loss(network, torch.randn(1, 1, *sides))
        assert all(term.isfinite() for term in terms.values())


def test_dropout_in_training_mode_only() -> None:
    network = small()
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network.train()(image), network(image))
        assert torch.equal(network.eval()(image), network(image))
