"""Augmentation: masks stay masks, background stays background, one seed gives one change."""

import msgspec
import pytest
import torch
from torch import Tensor

from tunetseg.training import find_recipe
from tunetseg.training.augmentation import (
    Affine,
    Augmentation,
    BiasField,
    Brightness,
    ChannelDropout,
    Contrast,
    Elastic,
    Flip,
    Gamma,
    LesionContrast,
    LowResolution,
    Noise,
)
from tunetseg.training.transforms import augment, rotation_matrix

CHANNELS = ("t1", "t1ce", "flair", "t2")
STRONG = find_recipe("robust").stages[-1].augmentation
INTENSITY = Augmentation(
    low_resolution=LowResolution(probability=1.0),
    gamma=Gamma(probability=1.0, log_range=0.4),
    bias_field=BiasField(probability=1.0, log_range=0.3),
    contrast=Contrast(probability=1.0, scale=0.3),
    brightness=Brightness(probability=1.0, shift=0.3),
    noise=Noise(probability=1.0, std=0.15),
)


def sample(*, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return images inside a ball, and three nested masks off its centre."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in (20, 24, 16)), indexing="ij")
    inside = sum((axis - c) ** 2 for axis, c in zip(axes, (9.5, 11.5, 7.5), strict=True)) < 49
    place = sum((axis - c) ** 2 for axis, c in zip(axes, (7, 12, 8), strict=True))
    image = torch.randn(batch, 4, 20, 24, 16, generator=generator) * inside
    masks = torch.stack([place < radius**2 for radius in (5, 4, 3)]).float().expand(batch, -1, -1, -1, -1)
    return image, masks.clone()


def test_nothing_asked_nothing_changed() -> None:
    image, masks = sample()
    changed, moved = augment(image, masks, [1, 2], Augmentation())
    assert torch.equal(changed, image)
    assert torch.equal(moved, masks)


@pytest.mark.parametrize("seed", range(8))
def test_masks_stay_nested_masks_of_about_their_size(seed: int) -> None:
    image, masks = sample(batch=1)
    _, moved = augment(image, masks, [seed], STRONG, CHANNELS)
    assert set(moved.unique().tolist()) <= {0.0, 1.0}
    assert (moved[:, 1] <= moved[:, 0]).all()
    assert (moved[:, 2] <= moved[:, 1]).all()
    volume = moved.sum((0, 2, 3, 4)) / masks.sum((0, 2, 3, 4))
    assert ((volume > 0.4) & (volume < 2)).all(), volume


def test_a_seed_is_a_change_and_batches_do_not_matter() -> None:
    image, masks = sample(batch=3)
    together, _ = augment(image, masks, [5, 6, 7], STRONG, CHANNELS)
    alone, _ = augment(image[1:2], masks[1:2], [6], STRONG, CHANNELS)
    other, _ = augment(image[1:2], masks[1:2], [8], STRONG, CHANNELS)
    assert torch.allclose(together[1:2], alone, atol=1e-5)
    assert not torch.allclose(other, alone, atol=0.1)


def test_one_change_leaves_the_streams_of_the_others() -> None:
    image, masks = sample(batch=1)
    with_noise, _ = augment(image, masks, [3], INTENSITY)
    quiet = msgspec.structs.replace(INTENSITY, gamma=Gamma(probability=0.0, log_range=0.4))
    without_gamma, _ = augment(image, masks, [3], quiet)
    only_noise = Augmentation(noise=INTENSITY.noise)
    noise = augment(image, masks, [3], only_noise)[0] - image
    louder = msgspec.structs.replace(only_noise, flip=Flip(probability=(0.0, 0.0, 0.0)))
    assert torch.equal(augment(image, masks, [3], louder)[0] - image, noise)
    assert not torch.equal(with_noise, without_gamma)


def test_global_random_state_is_left_alone() -> None:
    image, masks = sample(batch=1)
    before = torch.get_rng_state()
    augment(image, masks, [3], STRONG, CHANNELS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", range(4))
def test_intensity_changes_leave_background_and_place_alone(seed: int) -> None:
    image, masks = sample(batch=1)
    changed, moved = augment(image, masks, [seed], INTENSITY)
    assert torch.equal(moved, masks)
    assert (changed[image == 0] == 0).all()
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, image)


@pytest.mark.parametrize(
    "change",
    [
        {"gamma": Gamma(probability=0.3, log_range=0.4)},
        {"bias_field": BiasField(probability=0.3, log_range=0.3)},
        {"contrast": Contrast(probability=0.3, scale=0.3)},
        {"brightness": Brightness(probability=0.3, shift=0.3)},
        {"noise": Noise(probability=0.3, std=0.2)},
        {"channel_dropout": ChannelDropout(probability=0.3)},
        {"lesion_contrast": LesionContrast(probability=0.3, log_range=0.6)},
        {"affine": Affine(probability=0.3, rotation=(10.0, 0.0, 0.0), scale=0.0)},
        {"elastic": Elastic(probability=0.3, displacement=2.0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_probabilities_are_what_they_say(change: dict) -> None:
    """Alone and together with others: an earlier version multiplied some of them with that of another (B17)."""
    image, masks = sample(batch=1)
    image, masks = image[:, :, 4:16, 6:18, 4:12].repeat(300, 1, 1, 1, 1), masks[:, :, 4:16, 6:18, 4:12]
    masks = masks.repeat(300, 1, 1, 1, 1)
    changed, moved = augment(image, masks, range(300), Augmentation(**change))
    share = ((changed != image).flatten(1).any(1) | (moved != masks).flatten(1).any(1)).float().mean()
    assert 0.2 < share < 0.4


def test_low_resolution_acts_on_each_channel_by_its_probability() -> None:
    image, masks = sample(batch=1)
    image, masks = image[..., :8].repeat(100, 1, 1, 1, 1), masks[..., :8].repeat(100, 1, 1, 1, 1)
    coarse = LowResolution(probability=0.4, factor=20)
    changed, _ = augment(image, masks, range(100), Augmentation(low_resolution=coarse))
    share = (changed != image).flatten(2).any(2).float().mean()
    assert 0.3 < share < 0.48


def test_flip_mirrors_image_and_masks_alike() -> None:
    image, masks = sample()
    changed, moved = augment(image, masks, [0, 1], Augmentation(flip=Flip(probability=(1.0, 0.0, 0.0))))
    assert torch.equal(changed, image.flip(2))
    assert torch.equal(moved, masks.flip(2))


def test_rotation_by_hand() -> None:
    quarter, other = rotation_matrix(torch.tensor([[0.0, 0.0, torch.pi / 2], [0.3, -0.5, 1.1]]))
    assert torch.allclose(quarter @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6)
    assert torch.allclose(other @ other.T, torch.eye(3), atol=1e-6)
    assert torch.det(other) == pytest.approx(1, abs=1e-6)


def test_rotation_does_not_shear_a_patch_with_unequal_sides() -> None:
    """A ball turned about its centre is the same ball."""
    image, _ = sample(batch=1)
    ball = (image[:, :1] != 0).float()
    turn = Affine(probability=1.0, rotation=(0.0, 0.0, 40.0), scale=0.0)
    _, moved = augment(image, ball, [3], Augmentation(affine=turn))
    assert 2 * (moved * ball).sum() / (moved.sum() + ball.sum()) > 0.95


def test_elastic_moves_a_ramp_by_no_more_than_the_displacement() -> None:
    """An image of each voxel's place says where it came from, in voxels along every axis alike."""
    sides = (20, 28, 16)
    places = torch.meshgrid(*(torch.arange(1.0, n + 1) for n in sides), indexing="ij")
    image = torch.stack(places)[None]
    bend = Elastic(probability=1.0, displacement=1.5, nodes=5)
    changed, _ = augment(image, torch.zeros(1, 1, *sides), [4], Augmentation(elastic=bend))
    shift = (changed - image)[:, :, 3:-3, 3:-3, 3:-3]
    assert shift.abs().max() <= 1.5 + 1e-3
    assert (shift.abs().amax((0, 2, 3, 4)) > 0.3).all(), "along every axis"
    assert shift.diff(dim=2).abs().max() < 0.8, "smoothly, and nothing folds over"


def test_channel_dropout_drops_any_subset_but_none_and_all() -> None:
    image = torch.ones(2000, 4, 2, 2, 2)
    dropout = ChannelDropout(probability=1.0, keep=0.5, keep_by_name={"t1ce": 0.8})
    changed, _ = augment(image, image[:, :3], range(2000), Augmentation(channel_dropout=dropout), CHANNELS)
    kept = changed[..., 0, 0, 0] > 0
    patterns = {tuple(row) for row in kept.tolist()}
    assert len(patterns) == 2**4 - 2
    shares = kept.float().mean(0)
    assert shares[1] > 0.7
    assert all(0.4 < shares[channel] < 0.6 for channel in (0, 2, 3))


def test_the_only_channel_is_never_dropped() -> None:
    image = torch.ones(4, 1, 8, 8, 8)
    dropout = Augmentation(channel_dropout=ChannelDropout(probability=1.0))
    assert torch.equal(augment(image, image, range(4), dropout, ("ct",))[0], image)


def test_lesion_contrast_changes_regions_alone() -> None:
    """Each region's own voxels move along the line to the mean outside, all by one factor per channel."""
    image, masks = sample(batch=1)
    change = Augmentation(lesion_contrast=LesionContrast(probability=1.0, log_range=0.6))
    changed, moved = augment(image, masks, [0], change)
    assert torch.equal(moved, masks)
    healthy = (masks[0, 0] == 0) & (image[0] != 0)
    assert torch.allclose(changed[0][healthy], image[0][healthy], atol=1e-6)
    assert (changed[image == 0] == 0).all()
    found = []
    for region in range(3):
        own = masks[0, region] - (masks[0, region + 1] if region < 2 else 0)
        for channel in range(4):
            there = (own > 0) & (image[0, channel] != 0)
            mean = image[0, channel][healthy[channel]].mean()
            before, after = image[0, channel][there] - mean, changed[0, channel][there] - mean
            factor = float((before * after).sum() / (before * before).sum())
            assert torch.allclose(after, before * factor, atol=1e-4)
            found.append(factor)
    assert all(0.54 < factor < 1.83 for factor in found)
    assert len({round(factor, 4) for factor in found}) == 12
