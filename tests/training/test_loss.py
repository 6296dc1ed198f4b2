"""Eq. 5 and 6 against values worked out by hand."""

import pytest
import torch

from tunetseg.training.loss import RegionLoss, soft_dice


def test_soft_dice_by_hand() -> None:
    # Two samples of two voxels: overlap 0.8 + 0.6 = 1.4, sums 2.0 and 2, so Dice = 2.8 / 4.
    probabilities = torch.tensor([[0.8, 0.2], [0.6, 0.4]]).reshape(2, 1, 2, 1, 1)
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).reshape(2, 1, 2, 1, 1)
    assert soft_dice(probabilities, targets).item() == pytest.approx(2.8 / 4.00001)


def test_loss_is_minus_the_sum_over_regions() -> None:
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).reshape(1, 3, 2, 1, 1)
    logits = torch.tensor([[100.0, -100.0], [0.0, 0.0], [100.0, -100.0]]).reshape(1, 3, 2, 1, 1)
    # Perfect: 2 * 1 / 2; undecided: 2 * 0.5 / (1 + 1); wrong: 0.
    assert RegionLoss()(logits, targets).item() == pytest.approx(-(1 + 0.5 + 0), abs=1e-4)


def test_cross_entropy_is_added_per_region() -> None:
    targets, logits = torch.zeros(1, 2, 4, 1, 1), torch.zeros(1, 2, 4, 1, 1)
    assert RegionLoss(0.5)(logits, targets).item() == pytest.approx(0.5 * 2 * 0.693147, abs=1e-5)


def test_empty_region_is_finite() -> None:
    logits = torch.full((1, 3, 4, 4, 4), -200.0, requires_grad=True)
    loss = RegionLoss(1.0)(logits, torch.zeros(1, 3, 4, 4, 4))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
