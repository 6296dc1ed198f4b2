"""Patches: the grid covers, random ones depend on seed, epoch and position only, tumour is found when asked."""

import dataclasses
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.preparation.cache import CachedCase
from tunetseg.training.patches import EpochSampler, PatchDataset, cut, grid_starts, paste_tumour
from tunetseg.training.recipes import Augmentation, Stage

FOLDER = tempfile.TemporaryDirectory()
STAGE = Stage(patch=(8, 8, 8), sampling="random", samples_per_case=3, batch=1)


def case(name: str = "a", shape: tuple[int, int, int] = (14, 18, 9)) -> CachedCase:
    image = np.random.default_rng(len(name)).normal(size=(4, *shape)).astype(np.float16)
    depth = np.zeros(shape, np.uint8)
    depth[10:13, 2:5, 5:8], depth[11, 3, 6] = 1, 3
    folder = Path(tempfile.mkdtemp(dir=FOLDER.name))
    np.save(folder / "image.npy", image)
    np.save(folder / "depth.npy", depth)
    return CachedCase(name, folder)


def keys(dataset: PatchDataset, epoch: int) -> list[tuple[int, int]]:
    sampler = EpochSampler(len(dataset))
    sampler.set_epoch(epoch)
    return list(sampler)


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
    array = case().depth + np.uint8(1)
    padded = np.pad(array, 20)
    wanted = padded[tuple(slice(20 + s, 20 + s + 8) for s in start)]
    assert np.array_equal(cut(array, start, (8, 8, 8)), wanted)


def test_grid_sampling_shows_every_voxel_once_or_more() -> None:
    stage = dataclasses.replace(STAGE, sampling="grid")
    dataset = PatchDataset([case()], stage, 4, 0, training=True)
    assert len(dataset) == 2 * 3 * 2
    shown = [dataset[key]["depth"].numpy() for key in keys(dataset, 0)]
    assert max(patch.max() for patch in shown) == 3


def test_an_epoch_is_what_its_number_says() -> None:
    cases = [case("a"), case("bb"), case("ccc")]
    one, same = (PatchDataset(cases, STAGE, 4, 0, training=True) for _ in range(2))
    first = [one[key] for key in keys(one, 4)]
    again = [same[key] for key in reversed(keys(same, 4))][::-1]
    assert [sample["seed"] for sample in first] == [sample["seed"] for sample in again]
    assert all(np.array_equal(a["image"], b["image"]) for a, b in zip(first, again, strict=True))
    assert sorted(sample["case"] for sample in first) == [0] * 3 + [1] * 3 + [2] * 3
    assert [sample["seed"] for sample in first] != [one[key]["seed"] for key in keys(one, 5)]


def test_cases_are_neither_held_open_nor_copied_to_workers() -> None:
    one = case()
    one.image.sum()
    assert len(pickle.dumps(one)) < 1000
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not say what is mapped")
    assert FOLDER.name not in maps.read_text()


def test_tumour_share_centres_on_tumour() -> None:
    stage = dataclasses.replace(STAGE, tumour_share=1.0, samples_per_case=40)
    dataset = PatchDataset([case()], stage, 4, 0, training=True)
    assert all(dataset[key]["depth"].any() for key in keys(dataset, 0))


@pytest.mark.parametrize(("whole_volume", "sides"), [(True, (16, 20, 12)), (False, (8, 8, 8))])
def test_validation_shows_what_inference_will_see(whole_volume: bool, sides: tuple[int, int, int]) -> None:
    stage = dataclasses.replace(STAGE, whole_volume=whole_volume)
    dataset = PatchDataset([case()], stage, 4, 0, training=False)
    samples = [dataset[key] for key in keys(dataset, 0)]
    assert {sample["image"].shape for sample in samples} == {(4, *sides)}
    own = [sample["depth"][tuple(slice(n, None) for n in sample["seen"])] for sample in samples]
    assert sum(part.sum() for part in own) == case().depth.sum()


def test_a_patient_smaller_than_the_patch_is_shown_whole() -> None:
    stage = dataclasses.replace(STAGE, patch=(24, 24, 24), whole_volume=True)
    dataset = PatchDataset([case()], stage, 4, 0, training=True)
    for key in keys(dataset, 0):
        assert dataset[key]["depth"].sum() == case().depth.sum()


def test_pasting_lays_the_tumour_where_both_have_brain() -> None:
    host, donor = (np.full((4, 6, 6, 6), value, np.float32) for value in (1, 2))
    host[:, 0] = 0
    host_depth, donor_depth = np.zeros((2, 6, 6, 6), np.uint8)
    host_depth[5, 5, 5] = 1
    donor_depth[0:2, 2:4, 2:4] = 1
    donor_depth[1, 2, 2] = 3
    image, depth = paste_tumour(host, host_depth, donor, donor_depth, 0)
    assert not image[:, 0].any()
    assert (depth[0] == 0).all()
    assert np.array_equal(depth[1], donor_depth[1])
    assert np.array_equal(image[0] == 2, depth * (np.arange(6)[:, None, None] < 5) > 0)
    assert depth[5, 5, 5] == 1
    wider, same = paste_tumour(host, host_depth, donor, donor_depth, 1)
    assert np.array_equal(same, depth)
    assert (wider[0] == 2).sum() == 4 + 8 + 4


def test_pasting_is_asked_for_and_drawn_from_the_position() -> None:
    stage = dataclasses.replace(STAGE, augmentation=Augmentation(paste=1.0))
    cases = [case("a"), case("bb", (16, 16, 10))]
    plain, pasted, again = (PatchDataset(cases, s, 4, 0, training=True) for s in (STAGE, stage, stage))
    found = [[dataset[key] for key in keys(dataset, 0)] for dataset in (plain, pasted, again)]
    for before, after, same in zip(*found, strict=True):
        assert (before["seed"], before["case"]) == (after["seed"], after["case"])
        assert np.array_equal(after["image"], same["image"])
        assert np.array_equal(after["depth"], same["depth"])
    assert any(not np.array_equal(before["image"], after["image"]) for before, after in zip(*found[:2], strict=True))


def test_a_grid_tells_what_its_patches_before_have_shown() -> None:
    """Without that, each voxel is there once: volumes counted over the grid are the volumes."""
    stage = dataclasses.replace(STAGE, sampling="grid")
    dataset = PatchDataset([case()], stage, 4, 0, training=False)
    total = 0
    for key in keys(dataset, 0):
        sample = dataset[key]
        x, y, z = sample["seen"].tolist()
        total += int((sample["depth"][x:, y:, z:] > 0).sum())
    assert total == int((case().depth > 0).sum())
