"""Lesion-wise scores, as the BraTS challenges compute them since 2023."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.components import Parts, find_parts, join_across
from tunetseg.metrics.overlap import count_voxels
from tunetseg.metrics.surface import HAUSDORFF, Hausdorff, surface_distances

__all__ = ["Lesion", "LesionMatch", "LesionRules", "Separated", "match_lesions", "score_parts", "separate"]


@dataclass(frozen=True)
class LesionRules:
    """How lesions are separated, which of them count, and what a missed lesion costs.

    Args:
        dilation: Steps by which the reference is dilated, along faces and edges, before lesions are separated;
            what the dilation joins is one lesion, and a predicted component that touches it is a hit.
        min_volume_mm3: Reference lesions of this volume or less are not counted.
        penalty_mm: HD95 of a missed lesion, and of a false positive; None: the grid's diagonal, which
            `Rules.for_grid` fills in.
        hausdorff: Key of `HAUSDORFF`.
        min_predicted: Predicted components are joined by the dilation too, and those of so many voxels or fewer are
            dropped; None: they are neither joined nor dropped.
        predicted_mm3: ``min_predicted`` is a volume in mm3, not a number of voxels.
        joined_by: Regions whose lesions join those of this region that they touch, in this order; see `join_across`.
        count_false_positives: False positives enter the scores.
    """

    dilation: int = 3
    min_volume_mm3: float = 50.0
    penalty_mm: float | None = 374.0
    hausdorff: str = "area-weighted"
    min_predicted: float | None = None
    predicted_mm3: bool = False
    joined_by: tuple[str, ...] = ()
    count_false_positives: bool = True


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference and the prediction that matches it.

    Args:
        volume_mm3: Volume of the lesion before dilation.
        components: Number of predicted components that match it; 0 for a missed lesion.
        dice: Dice of the lesion with all those components, each taken whole, 0 to 1.
        hd95: HD95 of the same, in mm; NaN for a missed lesion.
        nsd: Normalised surface Dice of the same at each tolerance that was asked for; 0 for a missed lesion.
    """

    volume_mm3: float
    components: int
    dice: float
    hd95: float
    nsd: tuple[float, ...] = ()


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
    def _false(self) -> int:
        """False positives that enter the scores."""
        return self.false_positives if self.rules.count_false_positives else 0

    @property
    def dice(self) -> float:
        """Sum of the Dice of counted lesions, divided by their number plus false positives; 1 where there are none."""
        return self._mean([lesion.dice for lesion in self.counted], 0.0, 1.0)

    @property
    def hd95(self) -> float:
        """Mean HD95 in mm, with the penalty for each missed lesion and false positive; 0 where there are none.

        Raises:
            ValueError: The rules have no penalty yet.
        """
        penalty = self.rules.penalty_mm
        if penalty is None:
            raise ValueError("the penalty is the grid's diagonal; give the rules of Rules.for_grid")
        distances = [penalty if math.isnan(lesion.hd95) else lesion.hd95 for lesion in self.counted]
        return self._mean(distances, penalty, 0.0)

    def nsd(self, number: int) -> float:
        """Return the mean normalised surface Dice at the tolerance of that number, misses and false positives 0."""
        return self._mean([lesion.nsd[number] for lesion in self.counted], 0.0, 1.0)

    def _mean(self, values: Sequence[float], false_positive: float, nothing: float) -> float:
        total = len(values) + self._false
        return (sum(values) + false_positive * self._false) / total if total else nothing


@dataclass(frozen=True, eq=False)
class Separated:
    """The parts of both masks of one region.

    Args:
        predicted: Predicted components, without those that the rules drop.
        present: Lesions of the reference.
    """

    predicted: Parts
    present: Parts


def separate(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Sequence[float], rules: LesionRules
) -> Separated:
    """Separate both masks into lesions by the rules, before regions join each other's.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Voxel size in mm along each axis.
        rules: Dilation, and which predicted components are dropped.
    """
    present = find_parts(reference, rules.dilation)
    if rules.min_predicted is None:
        return Separated(find_parts(prediction, 0), present)
    unit = float(np.prod(spacing)) if rules.predicted_mm3 else 1.0
    return Separated(find_parts(prediction, rules.dilation).without_small(rules.min_predicted / unit), present)


def match_lesions(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    rules: LesionRules,
    *,
    tolerances: Sequence[float] = (),
    others: Mapping[str, Separated] | None = None,
) -> LesionMatch:
    """Separate the lesions of a reference and match predicted components to each.

    Two properties of the challenge's code are kept, because its published tables contain them: a predicted
    component that touches the dilations of two lesions counts in full for both, and a hit may have a Dice of 0,
    because it only has to touch the dilation. Saluja, BraTS 2023 and BraTS 2024 metrics.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Voxel size in mm along x, y, z.
        rules: What is one lesion, and which lesions count.
        tolerances: Millimetres; the normalised surface Dice of each lesion is scored at each of them.
        others: Parts of the regions that the rules name in ``joined_by``, on the same grid.

    Returns:
        Lesions and false positives.

    Raises:
        ValueError: The shapes differ, the spacing does not fit, or a region of ``joined_by`` is not given.

    Examples:
        >>> reference = np.zeros((20, 5, 5), bool)
        >>> reference[1:5, 1:5, 1:5] = reference[15:19, 1:5, 1:5] = True
        >>> prediction = reference.copy()
        >>> prediction[15:] = False
        >>> match = match_lesions(prediction, reference, (1, 1, 1), LesionRules(dilation=1))
        >>> match.true_positives, match.false_negatives, match.dice
        (1, 1, 0.5)
    """
    # Dilations that meet do so inside the box, and nothing predicted lies outside it.
    box = joint_box(prediction, reference)
    if rules.joined_by:
        missing = sorted(set(rules.joined_by) - set(others or {}))
        if others is None or missing:
            raise ValueError(f"lesions are joined across regions, which needs the masks of {', '.join(missing)} too")
        parts = separate(prediction, reference, spacing, rules)
        joining = [others[name] for name in rules.joined_by]
        parts = Separated(
            join_across(parts.predicted, [other.predicted.numbers for other in joining]),
            join_across(parts.present, [other.present.numbers for other in joining]),
        )
    else:
        parts = separate(prediction[box], reference[box], spacing, rules)
    predicted, present = parts.predicted, parts.present
    touching = (predicted.numbers > 0) & (present.areas > 0)
    pairs = np.unique(np.stack([present.areas[touching], predicted.numbers[touching]]), axis=1)
    lesions = score_parts(parts, pairs, spacing, rules.hausdorff, tolerances)
    all_predicted = np.count_nonzero(np.bincount(predicted.numbers.ravel(), minlength=1)[1:])
    false_positives = int(all_predicted) - np.unique(pairs[1]).size
    return LesionMatch(rules, tuple(sorted(lesions, key=lambda lesion: lesion.volume_mm3)), false_positives)


def score_parts(
    parts: Separated,
    pairs: NDArray[np.integer],
    spacing: Sequence[float],
    definition: str,
    tolerances: Sequence[float] = (),
) -> list[Lesion]:
    """Score every lesion with the predicted components that are paired with it.

    Args:
        parts: Lesions and components.
        pairs: Numbers of lesions and of their components, shape (2, pair).
        spacing: Voxel size in mm along each axis.
        definition: Key of `HAUSDORFF`.
        tolerances: Millimetres of the normalised surface Dice.

    Returns:
        Lesions in the order of their numbers.
    """
    from scipy import ndimage

    voxel = float(np.prod(spacing))
    if not parts.present.count:
        return []
    boxes = ndimage.find_objects(parts.predicted.numbers, parts.predicted.count)
    lesions = []
    for number, own in enumerate(ndimage.find_objects(parts.present.numbers, parts.present.count), 1):
        if own is None:
            continue
        matched = pairs[1, pairs[0] == number]
        box = _union([own, *(boxes[component - 1] for component in matched)])
        truth = parts.present.numbers[box] == number
        components = parts.predicted.numbers[box]
        volume = int(np.count_nonzero(truth)) * voxel
        if not matched.size:
            lesions.append(Lesion(volume, 0, 0.0, math.nan, (0.0,) * len(tolerances)))
            continue
        hits = components == matched[0] if matched.size == 1 else np.isin(components, matched)
        hd95, nsd = _distances(hits, truth, spacing, HAUSDORFF[definition], tolerances)
        lesions.append(Lesion(volume, int(matched.size), count_voxels(hits, truth).dice, hd95, nsd))
    return lesions


def _distances(
    hits: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    spacing: Sequence[float],
    definition: Hausdorff,
    tolerances: Sequence[float],
) -> tuple[float, tuple[float, ...]]:
    """Return HD95, and the normalised surface Dice at each tolerance, from distances computed once."""
    distances = surface_distances(hits, truth, spacing, elements=definition.elements)
    by_voxel = distances
    if tolerances and definition.elements != "voxels":
        by_voxel = surface_distances(hits, truth, spacing)
    return definition.percentile(distances, 95), tuple(by_voxel.nsd(tolerance) for tolerance in tolerances)


def _union(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """Return the smallest box that holds several boxes."""
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in zip(*boxes, strict=True)
    )
