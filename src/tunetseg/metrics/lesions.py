"""Lesion-wise scores, as the BraTS challenges count since 2023."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.overlap import count_voxels
from tunetseg.metrics.surface import hausdorff

__all__ = ["Lesion", "LesionMatch", "LesionRules", "match_lesions"]

_TOUCHING = np.ones((3, 3, 3), bool)
"""Voxels that share a face, an edge or a corner belong together."""


@dataclass(frozen=True)
class LesionRules:
    """How lesions are told apart, which of them count, and what a miss costs.

    Args:
        dilation: Steps by which the reference is dilated, along faces and edges, before lesions are told apart;
            what the dilation joins is one lesion, and a prediction within it is a hit.
        min_volume_mm3: Reference lesions of this volume or less do not count.
        penalty_mm: HD95 of a missed lesion, and of a false one.
        hausdorff: Key of `HAUSDORFF`.
    """

    dilation: int = 3
    min_volume_mm3: float = 50.0
    penalty_mm: float = 374.0
    hausdorff: str = "area-weighted"


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference, and what was found of it.

    Args:
        volume_mm3: Its own, undilated.
        components: Predicted components that touch its dilation; 0: it was missed.
        dice: Of the lesion with all those components, each whole, 0 to 1.
        hd95: Of the same, mm; NaN where it was missed.
    """

    volume_mm3: float
    components: int
    dice: float
    hd95: float


@dataclass(frozen=True)
class LesionMatch:
    """Every lesion of one region of one case.

    Args:
        rules: What was counted by.
        lesions: All of the reference's, also those too small to count, the smallest first.
        false_positives: Predicted components that touch no lesion's dilation; none is too small to count.
    """

    rules: LesionRules
    lesions: tuple[Lesion, ...]
    false_positives: int

    @property
    def counted(self) -> tuple[Lesion, ...]:
        """Lesions that are large enough."""
        return tuple(lesion for lesion in self.lesions if lesion.volume_mm3 > self.rules.min_volume_mm3)

    @property
    def true_positives(self) -> int:
        """Counted lesions that a predicted component touches."""
        return sum(lesion.components > 0 for lesion in self.counted)

    @property
    def false_negatives(self) -> int:
        """Counted lesions that were missed."""
        return len(self.counted) - self.true_positives

    @property
    def dice(self) -> float:
        """Sum of the lesions' Dice over counted lesions and false positives; 1 where there are neither."""
        total = len(self.counted) + self.false_positives
        return sum(lesion.dice for lesion in self.counted) / total if total else 1.0

    @property
    def hd95(self) -> float:
        """Mean HD95, mm, with the penalty for each miss and each false positive; 0 where there is nothing."""
        total = len(self.counted) + self.false_positives
        distances = [self.rules.penalty_mm if math.isnan(lesion.hd95) else lesion.hd95 for lesion in self.counted]
        return (sum(distances) + self.rules.penalty_mm * self.false_positives) / total if total else 0.0


def match_lesions(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float], rules: LesionRules
) -> LesionMatch:
    """Find the lesions of a reference, and what a prediction found of each.

    Two properties of the challenge's code are kept, since its tables contain them: a predicted component that touches
    two lesions' dilations counts in full for both, and a hit may have a Dice of 0, since it need only touch the
    dilation. Saluja, BraTS 2023 metrics.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Millimetres from one voxel to the next along x, y, z.
        rules: What is one lesion, and what counts.

    Raises:
        ValueError: Shapes or spacing do not fit.
    """
    from scipy import ndimage

    # Dilations that meet at all meet inside the box too, and nothing predicted lies outside it.
    box = joint_box(prediction, reference)
    predicted, present = prediction[box], reference[box]
    components, found = ndimage.label(predicted, _TOUCHING)
    grown = _dilate(present, rules.dilation)
    areas, count = ndimage.label(grown, _TOUCHING)
    touched = {
        (int(area), int(component))
        for area, component in np.unique(np.stack([areas[predicted & grown], components[predicted & grown]]), axis=1).T
    }
    voxel = float(np.prod(spacing))
    lesions = []
    for area in range(1, count + 1):
        mine = [component for own, component in touched if own == area]
        truth = present & (areas == area)
        hit = np.isin(components, mine) & predicted if mine else np.zeros_like(predicted)
        lesions.append(
            Lesion(
                volume_mm3=int(truth.sum()) * voxel,
                components=len(mine),
                dice=count_voxels(hit, truth).dice,
                hd95=hausdorff(hit, truth, spacing, definition=rules.hausdorff),
            )
        )
    false = found - len({component for _, component in touched})
    return LesionMatch(rules, tuple(sorted(lesions, key=lambda lesion: lesion.volume_mm3)), false)


def _dilate(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    from scipy import ndimage

    if not steps:
        return mask
    return ndimage.binary_dilation(mask, ndimage.generate_binary_structure(3, 2), iterations=steps)
