"""Augmentation: masks stay masks, background stays background, one seed gives one change."""

import dataclasses

import pytest
import torch

from tunetseg.training.augment import augment, rotation_matrix
from tunetseg.training.recipes import RECIPES, Augmentation

STRONG = RECIPES["quick"].stages[-1].augmentation
ALWAYS = dataclasses.replace(STRONG, intensity=1.0, blur=1.0)


def sample(*, batch: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images inside a ball, three nested off-centre masks."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in (20, 24, 16)), indexing="ij")
    inside = sum((axis - c) ** 2 for axis, c in zip(axes, (9.5, 11.5, 7.5), strict=True)) < 49
    place = sum((axis - c) ** 2 for axis, c in zip(axes, (7, 12, 8), strict=True))
    image = torch.randn(batch, 4, 20, 24, 16, generator=generator) * inside
    masks = torch.stack([place < radius**2 for radius in (5, 4, 3)]).float().expand(batch, -1, -1, -1, -1)
    return image, masks.clone()


def test_nothing_asked_nothing_changed() -> None:
    image, masks = sample()
    changed, turned = augment(image, masks, torch.tensor([1, 2]), Augmentation())
    assert torch.equal(changed, image)
    assert torch.equal(turned, masks)


@pytest.mark.parametrize("seed", range(8))
def test_masks_stay_nested_masks_of_about_their_size(seed: int) -> None:
    image, masks = sample(batch=1)
    _, turned = augment(image, masks, torch.tensor([seed]), STRONG)
    assert set(turned.unique().tolist()) <= {0.0, 1.0}
    assert (turned[:, 1] <= turned[:, 0]).all()
    assert (turned[:, 2] <= turned[:, 1]).all()
    volume = turned.sum((0, 2, 3, 4)) / masks.sum((0, 2, 3, 4))
    assert ((volume > 0.6) & (volume < 1.5)).all(), volume


def test_a_seed_is_a_change_and_batches_do_not_matter() -> None:
    image, masks = sample()
    together, _ = augment(image, masks, torch.tensor([5, 6]), STRONG)
    alone, _ = augment(image[1:], masks[1:], torch.tensor([6]), STRONG)
    other, _ = augment(image[1:], masks[1:], torch.tensor([7]), STRONG)
    assert torch.equal(together[1:], alone)
    assert not torch.equal(other, alone)


@pytest.mark.parametrize("seed", range(4))
def test_intensity_changes_leave_background_and_place_alone(seed: int) -> None:
    image, masks = sample(batch=1)
    settings = dataclasses.replace(ALWAYS, flip=(0, 0, 0), rotation=(0, 0, 0), scale=0.0)
    changed, turned = augment(image, masks, torch.tensor([seed]), settings)
    assert torch.equal(turned, masks)
    assert (changed[image == 0] == 0).all()
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, image)


def test_flip_turns_image_and_masks_alike() -> None:
    image, masks = sample()
    changed, turned = augment(image, masks, torch.tensor([0, 1]), Augmentation(flip=(1.0, 0, 0)))
    assert torch.equal(changed, image.flip(2))
    assert torch.equal(turned, masks.flip(2))


def test_rotation_by_hand() -> None:
    quarter = rotation_matrix(torch.tensor([0.0, 0.0, torch.pi / 2]))
    assert torch.allclose(quarter @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6)
    any_turn = rotation_matrix(torch.tensor([0.3, -0.5, 1.1]))
    assert torch.allclose(any_turn @ any_turn.T, torch.eye(3), atol=1e-6)
    assert torch.det(any_turn) == pytest.approx(1, abs=1e-6)


def test_rotation_does_not_shear_a_patch_with_unequal_sides() -> None:
    """A ball turned about its centre is the same ball."""
    image, _ = sample(batch=1)
    ball = (image[:, :1] != 0).float()
    _, turned = augment(image, ball, torch.tensor([3]), Augmentation(rotation=(0, 0, 40)))
    overlap = 2 * (turned * ball).sum() / (turned.sum() + ball.sum())
    assert overlap > 0.95


def test_drop_blanks_one_channel() -> None:
    image, masks = sample(batch=1)
    changed, _ = augment(image, masks, torch.tensor([0]), Augmentation(drop=1.0))
    assert sorted(bool(channel.any()) for channel in changed[0]) == [False, True, True, True]


def test_tumour_contrast_changes_regions_alone() -> None:
    """Each region's own voxels move along the line to the healthy mean, all by one factor a channel."""
    image, masks = sample(batch=1)
    changed, turned = augment(image, masks, torch.tensor([0]), Augmentation(tumour=0.6))
    assert torch.equal(turned, masks)
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
