"""Soft Dice loss over nested regions (paper, Eq. 5 and 6), over one process or several."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F

__all__ = ["EPSILON", "RegionLoss", "soft_dice"]

EPSILON = 1e-5
"""The small constant of Eq. 6; the paper gives no value, its author's earlier code has this one."""


def soft_dice(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return the soft Dice of each region over the whole batch (Eq. 6 without its sign).

    Args:
        probabilities: Shape (batch, region, x, y, z), 0 to 1.
        targets: Same shape, 0 or 1.

    Returns:
        Shape (region,): 0 where nothing overlaps, near 1 where all does.

    Examples:
        >>> mask = torch.ones(1, 2, 4, 4, 4)
        >>> [round(float(value), 3) for value in soft_dice(mask, mask)]
        [1.0, 1.0]
    """
    return _dice(*_sums(probabilities, targets))


def _sums(probabilities: Tensor, targets: Tensor) -> list[Tensor]:
    space = (0, 2, 3, 4)
    return [(probabilities * targets).sum(space), probabilities.sum(space), targets.sum(space)]


def _dice(overlap: Tensor, predicted: Tensor, reference: Tensor) -> Tensor:
    return 2 * overlap / (predicted + reference + EPSILON)


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


class RegionLoss:
    """Negative soft Dice, summed over the regions with equal weights (Eq. 5), plus weighted binary cross-entropy.

    Dice is taken over the batch as a whole. With several processes, each of which sees a part of the batch, Dice and
    cross-entropy are those of the whole batch in every one of them, and so are the gradients, once Lightning has
    averaged them over the processes.

    Args:
        bce_weight: Weight of the binary cross-entropy, which is averaged over voxels and summed over regions; 0 in the
            paper. It still has a gradient where a region is empty, where Eq. 6 has none.
        across_processes: Take the whole batch of all processes; every one of them must then call this equally often.

    Examples:
        >>> logits, masks = torch.full((1, 3, 4, 4, 4), 50.0), torch.ones(1, 3, 4, 4, 4)
        >>> round(float(RegionLoss()(logits, masks)), 3)
        -3.0
    """

    def __init__(self, bce_weight: float = 0.0, *, across_processes: bool = True) -> None:
        self.bce_weight = bce_weight
        self.across_processes = across_processes

    def __call__(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Return the loss.

        Args:
            logits: Shape (batch, region, x, y, z).
            masks: Region masks of the same shape, 0 or 1.

        Returns:
            Scalar, at least minus the number of regions.
        """
        logits, masks = logits.float(), masks.float()
        sums = _sums(torch.sigmoid(logits), masks)
        if self.bce_weight:
            sums.append(F.binary_cross_entropy_with_logits(logits, masks, reduction="none").sum((0, 2, 3, 4)))
        sums.append(torch.full_like(sums[0], logits[:, 0].numel()))
        total = torch.stack(sums)
        if self.across_processes and distributed.is_available() and distributed.is_initialized():
            total = _SumOverProcesses.apply(total)
        loss = -_dice(*total[:3]).sum()
        if self.bce_weight:
            loss = loss + self.bce_weight * (total[3] / total[-1]).sum()
        return loss
