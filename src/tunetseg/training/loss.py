"""Soft Dice loss over nested regions (paper, Eq. 5 and 6)."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["cascade_loss", "soft_dice"]

EPSILON = 1e-5
"""The small constant of Eq. 6; the paper gives no value, its author's earlier code has this one."""


def soft_dice(probabilities: Tensor, targets: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Soft Dice of each region, flattened over the whole batch (Eq. 6 without its sign).

    Args:
        probabilities: Shape (batch, region, x, y, z), 0 to 1.
        targets: Same shape, 0 or 1.
        epsilon: Added to the denominator only.

    Returns:
        Shape (region,): 0 where nothing overlaps, near 1 where all does.
    """
    space = (0, 2, 3, 4)
    overlap = (probabilities * targets).sum(space)
    return 2 * overlap / (probabilities.sum(space) + targets.sum(space) + epsilon)


def cascade_loss(logits: Tensor, targets: Tensor, cross_entropy: float = 0.0) -> Tensor:
    """Sum over the regions of negative soft Dice, equally weighted (Eq. 5).

    Args:
        logits: Shape (batch, region, x, y, z).
        targets: Region masks of the same shape, 0 or 1.
        cross_entropy: Weight of an added binary cross-entropy, averaged over voxels and summed over regions;
            0 in the paper. It goes on teaching where a region is empty, where Eq. 6 has no gradient.

    Returns:
        Scalar, at least minus the number of regions.
    """
    logits, targets = logits.float(), targets.float()
    loss = -soft_dice(torch.sigmoid(logits), targets).sum()
    if cross_entropy:
        entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        loss = loss + cross_entropy * entropy.mean((0, 2, 3, 4)).sum()
    return loss
