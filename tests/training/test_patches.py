"""Patches: the grid covers, random ones depend on their key only, foreground is found when asked."""

import pickle
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tunetseg.preparation.cache import CachedCase, write_arrays
from tunetseg.training.augmentation import Augmentation, CarveMix
from tunetseg.training.patches import TrainingPatches, ValidationPatches, collate, cut, grid_starts, paste_lesion
from tunetseg.training.recipes import Stage
from tunetseg.training.sampling import Batches, OrderedBatches

FOLDER = tempfile.TemporaryDirectory()
STAGE = Stage(patch_size=(8, 8, 8), sampling="random", samples_per_case=3, batch_size=1)


def case(name: str = "a", shape: tuple[int, int, int] = (14, 18, 9)) -> CachedCase:
    image = np.random.default_rng(len(name)).normal(size=(4, *shape)).astype(np.float16)
    nesting = np.zeros(shape, np.uint8)
    nesting[10:13, 2:5, 5:8], nesting[11, 3, 6] = 1, 3
    path = Path(tempfile.mkdtemp(dir=FOLDER.name)) / "case.safetensors"
    write_arrays(path, {"image": image, "nesting": nesting}, {})
    return CachedCase(name, path)


def training(cases: list[CachedCase], **changes: Any) -> TrainingPatches:
    return TrainingPatches(cases, msgspec.structs.replace(STAGE, **changes), [0], 0)


def epoch_of(dataset: TrainingPatches, epoch: int = 0) -> list[dict[str, Any]]:
    batches = Batches(len(dataset), 1, entropy=[0])
    batches.set_epoch(epoch)
    return [dataset[key] for batch in batches for key in batch]


def all_of(dataset: ValidationPatches) -> list[dict[str, Any]]:
    return [dataset[key] for batch in OrderedBatches(len(dataset), 1) for key in batch]


@given(size=st.integers(1, 200), patch=st.integers(1, 96))
def test_grid_covers_an_axis(size: int, patch: int) -> None:
    starts = grid_starts(size, patch)
    covered = np.zeros(size, bool)
    for start in starts:
        covered[max(0, start) : start + patch] = True
    assert covered.all()
    assert len(starts) == max(1, -(-size // patch))


@given(start=st.tuples(*[st.integers(-7, 8)] * 3))
def test_cut_agrees_with_cutting_a_padded_array(start: tuple[int, int, int]) -> None:
    array = case().nesting + np.uint8(1)
    padded = np.pad(array, 20)
    wanted = padded[tuple(slice(20 + s, 20 + s + 8) for s in start)]
    assert np.array_equal(cut(array, start, (8, 8, 8)), wanted)


def test_grid_sampling_shows_every_voxel_once_or_more() -> None:
    dataset = training([case()], sampling="grid")
    assert len(dataset) == 2 * 3 * 2
    assert max(int(sample["nesting"].max()) for sample in epoch_of(dataset)) == 3


def test_a_sample_is_what_its_key_says() -> None:
    cases = [case("a"), case("bb"), case("ccc")]
    first, again = epoch_of(training(cases), 4), epoch_of(training(cases), 4)
    assert [sample["seed"] for sample in first] == [sample["seed"] for sample in again]
    assert all(np.array_equal(a["image"], b["image"]) for a, b in zip(first, again, strict=True))
    assert sorted(sample["case"] for sample in first) == [0] * 3 + [1] * 3 + [2] * 3
    assert len({sample["seed"] for sample in first} | {s["seed"] for s in epoch_of(training(cases), 5)}) == 18
    other_stage = TrainingPatches(cases, STAGE, [0], 1)
    assert {sample["seed"] for sample in epoch_of(other_stage, 4)}.isdisjoint(sample["seed"] for sample in first)


def test_cases_are_neither_held_open_nor_copied_to_workers() -> None:
    one = case()
    one.image.sum()
    assert len(pickle.dumps(one)) < 1000
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not say what is mapped")
    assert FOLDER.name not in maps.read_text()


def test_foreground_probability_centres_on_a_region() -> None:
    dataset = training([case()], foreground_probability=1.0, samples_per_case=40)
    assert all(sample["nesting"].any() for sample in epoch_of(dataset))


@pytest.mark.parametrize(("whole_volume", "sides"), [(True, (16, 20, 12)), (False, (8, 8, 8))])
def test_validation_shows_what_inference_will_see(whole_volume: bool, sides: tuple[int, int, int]) -> None:
    """Each voxel once, where what earlier patches have shown is left out: volumes over the grid are the volumes."""
    stage = msgspec.structs.replace(STAGE, whole_volume=whole_volume)
    samples = all_of(ValidationPatches([case()], stage, 4))
    assert {sample["image"].shape for sample in samples} == {(4, *sides)}
    own = [sample["nesting"][tuple(slice(n, None) for n in sample["seen"])] for sample in samples]
    assert sum(int(part.sum()) for part in own) == case().nesting.sum()


def test_a_patient_smaller_than_the_patch_is_shown_whole() -> None:
    for sample in epoch_of(training([case()], patch_size=(24, 24, 24), whole_volume=True)):
        assert sample["nesting"].sum() == case().nesting.sum()


def test_pasting_lays_the_lesion_where_both_have_foreground() -> None:
    host, donor = (np.full((4, 6, 6, 6), value, np.float32) for value in (1, 2))
    host[:, 0] = 0
    host_nesting, donor_nesting = np.zeros((2, 6, 6, 6), np.uint8)
    host_nesting[5, 5, 5] = 1
    donor_nesting[0:2, 2:4, 2:4] = 1
    donor_nesting[1, 2, 2] = 3
    both = [torch.from_numpy(array) for array in (host, host_nesting, donor, donor_nesting)]
    image, nesting = (result.numpy() for result in paste_lesion(*both, 0))
    assert not image[:, 0].any()
    assert (nesting[0] == 0).all()
    assert np.array_equal(nesting[1], donor_nesting[1])
    assert np.array_equal(image[0] == 2, nesting * (np.arange(6)[:, None, None] < 5) > 0)
    assert nesting[5, 5, 5] == 1
    wider, same = (result.numpy() for result in paste_lesion(*both, 1))
    assert np.array_equal(same, nesting)
    assert (wider[0] == 2).sum() == 4 + 8 + 4


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_the_margin_of_a_lesion_is_a_dilation(margin: int) -> None:
    lesion = np.random.default_rng(margin).random((9, 10, 11)) < 0.01
    host, donor = torch.ones(1, *lesion.shape), torch.full((1, *lesion.shape), 2.0)
    image, _ = paste_lesion(host, torch.zeros(lesion.shape), donor, torch.from_numpy(lesion), margin)
    wider = ndimage.binary_dilation(lesion, iterations=margin) if margin else lesion
    assert np.array_equal(image[0].numpy() == 2, wider)


def test_carvemix_leaves_all_else_that_is_drawn() -> None:
    cases = [case("a"), case("bb", (16, 16, 10))]
    pasting = Augmentation(carvemix=CarveMix(probability=1.0))
    found = [epoch_of(training(cases, augmentation=changes)) for changes in (Augmentation(), pasting, pasting)]
    for before, after, same in zip(*found, strict=True):
        assert (before["seed"], before["case"]) == (after["seed"], after["case"])
        assert np.array_equal(after["image"], same["image"])
        assert np.array_equal(after["nesting"], same["nesting"])
    assert any(not np.array_equal(before["image"], after["image"]) for before, after in zip(*found[:2], strict=True))


def test_collated_numbers_stay_on_the_cpu() -> None:
    batch = collate(epoch_of(training([case()])))
    assert batch["image"].shape == (3, 4, 8, 8, 8)
    assert batch["case"] == [0, 0, 0]
    assert all(isinstance(seed, int) for seed in batch["seed"])
