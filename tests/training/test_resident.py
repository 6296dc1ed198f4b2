"""Training whose cases lie on the device: the same patches, the same weights, and no waiting on a GPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tunetseg.errors import InputError
from tunetseg.models.store import load_network, read_spec
from tunetseg.networks import create_network
from tunetseg.preparation.pack import PackedCase
from tunetseg.training import Recipe, TrainConfig
from tunetseg.training.module import TrainingModule
from tunetseg.training.patches import TrainingPatches, ValidationPatches, collate, cut
from tunetseg.training.recipes import recipe_from_dict
from tunetseg.training.resident import to_device
from tunetseg.training.sampling import Key
from tunetseg.training.transforms import augment

Tiny = Callable[..., Recipe]


def case(seed: int, shape: tuple[int, int, int] = (14, 12, 10), levels: int = 3) -> PackedCase:
    generator = np.random.default_rng(seed)
    image = generator.normal(size=(2, *shape)).astype(np.float16) * (generator.random(shape) > 0.2)
    nesting = np.zeros(shape, np.uint8)
    for level in range(levels):
        nesting[3 + level : 11 - level, 3:9, 2 + level : 8] = level + 1
    return PackedCase(str(seed), image.astype(np.float16), nesting)


def stage(**changes: object):
    raw = {"patch_size": [8, 16, 8], "samples_per_case": 6, "foreground_probability": 0.7, **changes}
    return recipe_from_dict({"stages": [raw]}).stages[0]


CASES = [case(0), case(1), case(2, levels=0)]


@pytest.mark.parametrize(
    "changes",
    [{}, {"sampling": "grid"}, {"augmentation": {"carvemix": {"probability": 0.8, "margin": 3}}}],
    ids=["random", "grid", "carvemix"],
)
def test_the_same_patches(changes: dict) -> None:
    own = TrainingPatches(CASES, stage(**changes), (7,), 1)
    there = TrainingPatches(to_device(CASES, torch.device("cpu")), stage(**changes), (7,), 1)
    assert len(own) == len(there)
    for sample in range(len(own)):
        expected, found = own[Key(2, sample, sample)], there[Key(2, sample, sample)]
        assert expected["seed"] == found["seed"]
        for name in ("image", "nesting"):
            assert expected[name].dtype == found[name].dtype
            assert torch.equal(expected[name], found[name]), (sample, name)


def test_the_same_validation() -> None:
    for whole in (True, False):
        settings = stage(whole_volume=whole)
        own = ValidationPatches(CASES, settings, 4)
        there = ValidationPatches(to_device(CASES, torch.device("cpu")), settings, 4)
        for number in range(len(own)):
            expected, found = own[Key(0, number, number)], there[Key(0, number, number)]
            assert torch.equal(expected["image"], found["image"])
            assert expected["seen"] == found["seen"]


def test_a_patch_does_not_share_memory_with_the_case() -> None:
    (there,) = to_device(CASES[:1], torch.device("cpu"))
    patch = cut(there.image, (0, 0, 0), (14, 12, 10))
    patch.zero_()
    assert there.image.any()


def test_the_same_weights(run: Callable[..., Path], tiny: Tiny) -> None:
    models = [
        load_network(run(name, recipe=tiny(stages=2), data_on_device=there))[0].state_dict()
        for name, there in (("plain", False), ("there", True))
    ]
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_channels_last_trains_the_same_network(run: Callable[..., Path], tiny: Tiny) -> None:
    plain, last = (
        load_network(run(name, recipe=tiny(), channels_last=flag))[0].state_dict()
        for name, flag in (("plain", False), ("last", True))
    )
    assert all(torch.allclose(value, last[name], atol=2e-2) for name, value in plain.items())


def test_snapshots(run: Callable[..., Path], tiny: Tiny, tmp_path: Path, kill_after, killed: type[Exception]) -> None:
    kill_after(5)
    with pytest.raises(killed):
        run(recipe=tiny(stage={"validate_every": 2, "schedule": "cosine"}), snapshot_minutes=1e-9)
    snapshot = tmp_path / "run/snapshot.safetensors"
    assert read_spec(snapshot).training["validation"] is None
    assert read_spec(snapshot).training["steps"] in {4, 5}
    load_network(snapshot)
    run(recipe=tiny(stage={"validate_every": 2, "schedule": "cosine"}), snapshot_minutes=1e-9, resume=True)
    assert not snapshot.exists(), "the model is there"


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be 0 where the data are held on the device"):
        TrainConfig(cohort="c", out="o", data_on_device=True, workers=2)
    with pytest.raises(InputError, match="snapshot_minutes is 0; must be above 0"):
        TrainConfig(cohort="c", out="o", snapshot_minutes=0.0)


@pytest.mark.needs_gpu
def test_patches_of_a_gpu_are_those_of_the_cpu() -> None:
    settings = stage(augmentation={"carvemix": {"probability": 0.8}})
    own = TrainingPatches(CASES, settings, (7,), 1)
    there = TrainingPatches(to_device(CASES, torch.device("cuda")), settings, (7,), 1)
    for sample in range(len(own)):
        found = there[Key(0, sample, sample)]
        assert found["image"].device.type == "cuda"
        assert torch.equal(found["image"].cpu(), own[Key(0, sample, sample)]["image"])


@pytest.mark.needs_gpu
def test_no_step_waits_for_the_gpu() -> None:
    """Cutting, augmentation, forward and backward pass only put work into the queue of the device."""
    device = torch.device("cuda")
    recipe = recipe_from_dict({"extends": "robust"})
    settings = stage(augmentation={"carvemix": {"probability": 0.5}})
    patches = TrainingPatches(to_device(CASES, device), settings, (7,), 1)
    network = create_network("tunet-seb", in_channels=2, base_filters=2, levels=2)
    module = TrainingModule(network, recipe, recipe.stages[-1], 10, channels=("t1", "t2")).to(device)
    module.on_train_epoch_start()
    batches = [[Key(0, n, n), Key(0, n + 1, n + 1)] for n in range(0, 6, 2)]

    def step(keys: list[Key]) -> None:
        batch = collate([patches[key] for key in keys])
        image, masks = augment(
            batch["image"].float(), module._masks(batch["nesting"]), batch["seed"], recipe.stages[-1].augmentation
        )
        module.loss_terms(image, masks, module.criterion).total.backward()

    step(batches[0])  # what is set up once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        for keys in batches[1:]:
            step(keys)
    finally:
        torch.cuda.set_sync_debug_mode("default")
