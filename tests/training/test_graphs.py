"""CUDA graphs of a network's passes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tunetseg.errors import InputError
from tunetseg.models.store import load_network
from tunetseg.networks import create_network
from tunetseg.training import Recipe, TrainConfig
from tunetseg.training.graphs import capture

Tiny = Callable[..., Recipe]


def small() -> torch.nn.Module:
    torch.manual_seed(3)
    return create_network("tunet-seb", base_filters=4, levels=3).train()


def test_only_the_captured_shape_in_training_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = small(), torch.randn(2, 4, 8, 8, 8)
    expected = network(image)

    def fake(module: torch.nn.Module, sample: tuple[torch.Tensor, ...], **_: object) -> None:
        assert sample[0] is not image, "it is overwritten by each replay"
        assert torch.equal(sample[0], image)
        module.forward = lambda given: given[:, :3] * 0 + 7

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fake)
    capture(network, image)
    assert (network(image) == 7).all()
    assert network(image[:1]).shape == (1, 3, 8, 8, 8)
    assert not (network(image[:1]) == 7).any(), "a smaller batch"
    assert torch.allclose(network.eval()(image), expected, atol=1e-5)


def test_what_cannot_be_asked_for() -> None:
    for more in ({"compile": True}, {"devices": 2}):
        with pytest.raises(InputError, match="cuda_graphs: needs one device, and cannot be used with compile"):
            TrainConfig(cohort="c", out="o", cuda_graphs=True, **more)


def test_needs_cuda(run: Callable[..., Path], tiny: Tiny) -> None:
    with pytest.raises(InputError, match="cuda_graphs needs a CUDA device, not cpu; leave it out"):
        run(recipe=tiny(), device="cpu", cuda_graphs=True)


@pytest.mark.needs_gpu
@pytest.mark.parametrize("low", [False, True])
def test_the_same_gradients(low: bool) -> None:
    images = [torch.randn(2, 4, 16, 16, 16, device="cuda") for _ in range(3)]
    found = []
    for graphs in (False, True):
        network = small().cuda()
        for number, image in enumerate([*images, images[0][:1]]):
            network.zero_grad()
            with torch.autocast("cuda", torch.bfloat16, enabled=low):
                if graphs and not number:
                    capture(network, image)
                logits = network(image)
            F.binary_cross_entropy_with_logits(logits.float(), torch.ones_like(logits).float()).backward()
            # The next replay overwrites the results of this one.
            found.append([logits.detach().float().clone(), *(p.grad.clone() for p in network.parameters())])
    for plain, replayed in zip(found[:4], found[4:], strict=True):
        for expected, value in zip(plain, replayed, strict=True):
            assert torch.allclose(value, expected, atol=(5e-2 if low else 2e-3) * float(expected.abs().max()) + 1e-5)


@pytest.mark.needs_gpu
def test_trains_the_same_network(run: Callable[..., Path], tiny: Tiny) -> None:
    plain, replayed = (
        load_network(
            run(name, recipe=tiny(stages=2), device="cuda", data_on_device=True, channels_last=True, cuda_graphs=flag)
        )[0].eval()
        for name, flag in (("plain", False), ("graphs", True))
    )
    # Weights that do not matter, such as biases before a normalisation, follow rounding; what is found does not.
    image = torch.randn(1, 4, 16, 16, 16)
    with torch.inference_mode():
        expected, found = plain(image), replayed(image)
    assert (found - expected).abs().mean() < 0.05 * expected.std()
