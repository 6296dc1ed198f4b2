"""Lesion-wise scores, as the BraTS challenges compute them since 2023."""

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
"""Voxels that share a face, an edge or a corner belong to one component."""


@dataclass(frozen=True)
class LesionRules:
    """How lesions are separated, which of them count, and what a missed lesion costs.

    Args:
        dilation: Steps by which the reference is dilated, along faces and edges, before lesions are separated;
            what the dilation joins is one lesion, and a predicted component that touches it is a hit.
        min_volume_mm3: Reference lesions of this volume or less are not counted.
        penalty_mm: HD95 of a missed lesion, and of a false positive.
        hausdorff: Key of `HAUSDORFF`.
    """

    dilation: int = 3
    min_volume_mm3: float = 50.0
    penalty_mm: float = 374.0
    hausdorff: str = "area-weighted"


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference and the prediction that matches it.

    Args:
        volume_mm3: Volume of the lesion before dilation.
        components: Number of predicted components that touch its dilation; 0 for a missed lesion.
        dice: Dice of the lesion with all those components, each taken whole, 0 to 1.
        hd95: HD95 of the same, in mm; NaN for a missed lesion.
    """

    volume_mm3: float
    components: int
    dice: float
    hd95: float


@dataclass(frozen=True)
class LesionMatch:
    """All lesions of one region of one case.

    Args:
        rules: Rules that they were counted by.
        lesions: All lesions of the reference, smallest first, including those too small to count.
        false_positives: Predicted components that touch no lesion's dilation; components of every size count.
    """

    rules: LesionRules
    lesions: tuple[Lesion, ...]
    false_positives: int

    @property
    def counted(self) -> tuple[Lesion, ...]:
        """Lesions that are large enough to count."""
        return tuple(lesion for lesion in self.lesions if lesion.volume_mm3 > self.rules.min_volume_mm3)

    @property
    def true_positives(self) -> int:
        """Number of counted lesions that a predicted component touches."""
        return sum(lesion.components > 0 for lesion in self.counted)

    @property
    def false_negatives(self) -> int:
        """Number of counted lesions that were missed."""
        return len(self.counted) - self.true_positives

    @property
    def dice(self) -> float:
        """Sum of the Dice of counted lesions, divided by their number plus false positives; 1 where there are none."""
        total = len(self.counted) + self.false_positives
        return sum(lesion.dice for lesion in self.counted) / total if total else 1.0

    @property
    def hd95(self) -> float:
        """Mean HD95 in mm, with the penalty for each missed lesion and false positive; 0 where there are none."""
        total = len(self.counted) + self.false_positives
        distances = [self.rules.penalty_mm if math.isnan(lesion.hd95) else lesion.hd95 for lesion in self.counted]
        return (sum(distances) + self.rules.penalty_mm * self.false_positives) / total if total else 0.0


def match_lesions(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float], rules: LesionRules
) -> LesionMatch:
    """Separate the lesions of a reference and match predicted components to each.

    Two properties of the challenge's code are kept, because its published tables contain them: a predicted
    component that touches the dilations of two lesions counts in full for both, and a hit may have a Dice of 0,
    because it only has to touch the dilation. Saluja, BraTS 2023 metrics.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Voxel size in mm along x, y, z.
        rules: What is one lesion, and which lesions count.

    Returns:
        Lesions and false positives.

    Raises:
        ValueError: The shapes differ or the spacing does not fit.

    Examples:
        >>> reference = np.zeros((20, 5, 5), bool)
        >>> reference[1:5, 1:5, 1:5] = reference[15:19, 1:5, 1:5] = True
        >>> prediction = reference.copy()
        >>> prediction[15:] = False
        >>> match = match_lesions(prediction, reference, (1, 1, 1), LesionRules(dilation=1))
        >>> match.true_positives, match.false_negatives, match.dice
        (1, 1, 0.5)
    """
    from scipy import ndimage

    # Dilations that meet do so inside the box, and nothing predicted lies outside it.
    box = joint_box(prediction, reference)
    predicted, present = prediction[box], reference[box]
    components, component_count = ndimage.label(predicted, _TOUCHING)
    dilated = _dilate(present, rules.dilation)
    areas, area_count = ndimage.label(dilated, _TOUCHING)
    touching = predicted & dilated
    pairs = np.unique(np.stack([areas[touching], components[touching]]), axis=1)
    lesions = []
    for area in range(1, area_count + 1):
        matched = pairs[1, pairs[0] == area]
        truth = present & (areas == area)
        hits = np.isin(components, matched) & predicted if matched.size else np.zeros_like(predicted)
        lesions.append(
            Lesion(
                volume_mm3=int(truth.sum()) * float(np.prod(spacing)),
                components=int(matched.size),
                dice=count_voxels(hits, truth).dice,
                hd95=hausdorff(hits, truth, spacing, definition=rules.hausdorff),
            )
        )
    false_positives = component_count - np.unique(pairs[1]).size
    return LesionMatch(rules, tuple(sorted(lesions, key=lambda lesion: lesion.volume_mm3)), false_positives)


def _dilate(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    from scipy import ndimage

    if not steps:
        return mask
    return ndimage.binary_dilation(mask, ndimage.generate_binary_structure(3, 2), iterations=steps)
