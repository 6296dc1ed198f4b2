"""The training step and its schedule; networks are in training mode whenever they are trained."""

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tunetseg.datasets.phantom import make_patient
from tunetseg.models.store import load_network
from tunetseg.networks import SegmentationNetwork, create_network, speed_up_on_cpu
from tunetseg.networks.registry import _ENTRIES, register
from tunetseg.training import Recipe, Stage
from tunetseg.training.loss import RegionLoss
from tunetseg.training.module import TrainingModule

Run = Callable[..., Path]


class Dropped(SegmentationNetwork):
    """One convolution after dropout; it notes whether dropout was on in each training step."""

    active: ClassVar[list[bool]] = []

    def __init__(self, in_channels: int, regions: tuple[str, ...]) -> None:
        super().__init__(regions, 2)
        self.drop = nn.Dropout3d(0.5)
        self.norm = nn.BatchNorm3d(in_channels)
        self.head = nn.Conv3d(in_channels, len(regions), 1)

    def forward(self, image: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            Dropped.active.append(self.drop.training and self.norm.training)
        return self.head(self.drop(self.norm(image)))

    @property
    def output_layers(self) -> list[nn.Conv3d]:
        return [self.head]

    def reset_parameters(self, prior_logit: float = 0.0) -> None:
        self.head.reset_parameters()
        self.set_prior(prior_logit)


@pytest.fixture
def dropped() -> Iterator[list[bool]]:
    register("dropped")(Dropped)
    Dropped.active.clear()
    yield Dropped.active
    del _ENTRIES["dropped"]


def test_dropout_is_on_in_every_stage_and_from_pretrained_weights(
    run: Run, tiny: Callable[..., Recipe], dropped: list[bool], tmp_path: Path
) -> None:
    """Every stage after the first, and every run from a model's weights, trained in evaluation mode (B2)."""
    run("first", recipe=tiny(stages=2), network="dropped")
    run("second", recipe=tiny(), network="dropped", pretrained=tmp_path / "first")
    assert len(dropped) == 18
    assert all(dropped)


def test_dropout_of_a_resumed_run_is_that_of_an_undisturbed_one(
    run: Run,
    tiny: Callable[..., Recipe],
    dropped: list[bool],
    kill_after: Callable[..., None],
    killed: type[Exception],
) -> None:
    recipe = tiny(ema_decay=0.0)
    whole = run("whole", recipe=recipe, network="dropped")
    kill_after(5)
    with pytest.raises(killed):
        run(recipe=recipe, network="dropped")
    resumed = run(recipe=recipe, network="dropped", resume=True)
    ours, theirs = (load_network(path)[0].state_dict() for path in (resumed, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_cosine_rises_to_its_peak_and_ends_at_the_least_rate() -> None:
    stage = Stage(schedule="cosine", warmup_steps=4, min_lr_ratio=0.2, learning_rate=1.0)
    module = TrainingModule(create_network("tunet", base_filters=2, levels=2), Recipe(), stage, 104)
    found = [module.learning_rate(step) for step in (0, 3, 4, 54, 104, 200)]
    assert found == pytest.approx([0.25, 1, 1, 0.6, 0.2, 0.2])
    module.time_fraction = 0.5
    assert module.learning_rate(4) == pytest.approx(0.6)
    assert module.learning_rate(0) == pytest.approx(0.6), "the rise ends after a tenth of the time at the latest"
    module.time_fraction = 1.0
    assert module.learning_rate(10) == pytest.approx(0.2)


def test_the_average_starts_fast_and_follows_buffers(run: Run, tiny: Callable[..., Recipe], dropped: Any) -> None:
    """After one step it is the weights; later ones weigh less, up to the decay."""
    (one,) = (run("one", recipe=tiny(ema_decay=0.99, stage={"epochs": 1, "batch_size": 6}), network="dropped"),)
    (plain,) = (run("plain", recipe=tiny(ema_decay=0.0, stage={"epochs": 1, "batch_size": 6}), network="dropped"),)
    ours, theirs = (load_network(path)[0].state_dict() for path in (one, plain))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert ours["norm.num_batches_tracked"] == 1


def test_tiny_network_overfits_one_patient() -> None:
    patient = make_patient(0, shape=(16, 20, 16), spacing=13.0)
    images = torch.from_numpy(np.stack([patient.images[name] for name in ("t1", "t1ce", "flair", "t2")])).float()
    mean, std = images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True)
    image = ((images - mean) / std)[None]
    masks = torch.from_numpy(patient.scheme.masks(patient.label_map)).float()[None]
    torch.manual_seed(0)
    network = speed_up_on_cpu(create_network("tunet-seb", base_filters=4, levels=2))
    network.reset_parameters(-3.0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        RegionLoss()(network(image), masks).backward()
        optimizer.step()
    found = network(image) > 0
    dice = 2 * (found & (masks > 0)).sum((0, 2, 3, 4)) / (found.sum((0, 2, 3, 4)) + masks.sum((0, 2, 3, 4)))
    assert (dice > 0.9).all(), dice


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_gradients_are_the_same() -> None:
    torch.manual_seed(0)
    plain = create_network("tunet-seb", base_filters=2, levels=2)
    module = TrainingModule(copy.deepcopy(plain), Recipe(), Stage(), steps=1, compiled=True)
    image, masks = torch.randn(1, 4, 8, 12, 8), (torch.rand(1, 3, 8, 12, 8) > 0.5).float()
    for loss_terms in (plain.loss_terms, module.loss_terms):
        loss_terms(image, masks, RegionLoss(1.0)).total.backward()
    for (name, ours), theirs in zip(module.network.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5), name
