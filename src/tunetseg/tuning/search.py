"""Choosing post-processing by its scores on out-of-fold probabilities.

Each region is searched by itself: threshold, smallest component, and where the rules have them, smallest volume of the
region and lower thresholds where nothing is found. Components are labelled once per threshold; the scores of every
smallest size follow from a table of which component touches which lesion.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tunetseg.datasets import Postprocessing
from tunetseg.metrics.components import TOUCHING, Parts, find_parts

__all__ = ["Candidates", "LesionCount", "Objective", "Prediction", "choose_rules", "count_lesions", "score_candidates"]

Objective = Literal["both", "lesion", "dice"]


@dataclass(frozen=True)
class Candidates:
    """Values that are tried.

    Args:
        thresholds: Thresholds of each region.
        components_mm3: Smallest components of each region; larger ones would remove second tumours.
        volumes_mm3: Smallest volumes of the region that the rules remove where it is small.
    """

    thresholds: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    components_mm3: tuple[float, ...] = (0, 50, 100, 250, 500, 1000, 2000)
    volumes_mm3: tuple[float, ...] = (0, 50, 100, 200, 350, 500)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Probabilities of one case and what is true, cropped to where either is not negligible.

    Args:
        case: Name.
        probabilities: Shape (region, x, y, z), outermost region first.
        reference: Nested masks, the same shape.
        voxel_mm3: Volume of a voxel.
    """

    case: str
    probabilities: NDArray[np.floating]
    reference: NDArray[np.bool_]
    voxel_mm3: float


@dataclass(frozen=True, eq=False)
class LesionCount:
    """Which predicted component touches which lesion of the reference, in one region of one case.

    Args:
        sizes: Voxels of each component, shape (component,).
        hits: Voxels of each component inside the whole reference, shape (component,).
        overlaps: Voxels of each component inside each lesion, shape (lesion, component).
        touches: Whether a component touches the dilation of a lesion, the same shape.
        lesions: Voxels of each lesion, shape (lesion,).
        voxel_mm3: Volume of a voxel.
        least_mm3: Lesions of this volume or less do not count.
    """

    sizes: NDArray[np.int64]
    hits: NDArray[np.int64]
    overlaps: NDArray[np.int64]
    touches: NDArray[np.bool_]
    lesions: NDArray[np.int64]
    voxel_mm3: float
    least_mm3: float

    def scores(self, component_mm3: float = 0.0, volume_mm3: float = 0.0) -> tuple[float, float]:
        """Return lesion-wise and plain Dice without small components, and without a small region; 1 where all is empty.

        Args:
            component_mm3: Smallest component that is kept; the largest is kept whatever its size.
            volume_mm3: Smallest volume of the whole region that is kept.
        """
        kept = self.sizes * self.voxel_mm3 >= component_mm3 * (1 - 1e-6)
        if len(kept):
            kept[self.sizes.argmax()] = True
        if self.sizes[kept].sum() * self.voxel_mm3 < volume_mm3 * (1 - 1e-6):
            kept = np.zeros_like(kept)
        predicted, reference = int(self.sizes[kept].sum()), int(self.lesions.sum())
        plain = 2 * int(self.hits[kept].sum()) / (predicted + reference) if predicted + reference else 1.0
        matched = self.touches & kept
        dice = 2 * (self.overlaps * matched).sum(axis=1) / (self.lesions + matched @ self.sizes)
        counted = self.lesions * self.voxel_mm3 > self.least_mm3
        total = int(counted.sum()) + int((kept & ~self.touches.any(axis=0)).sum())
        return float(dice[counted].sum() / total) if total else 1.0, plain


def count_lesions(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    voxel_mm3: float,
    *,
    dilation: int = 3,
    least_mm3: float = 50.0,
) -> LesionCount:
    """Match the components of a prediction to the lesions of a reference, as the challenges do since 2023.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        voxel_mm3: Volume of a voxel.
        dilation: Steps by which the reference is dilated, along faces and edges, before lesions are separated.
        least_mm3: Reference lesions of this volume or less do not count.
    """
    return _match(prediction, reference, find_parts(reference, dilation), voxel_mm3, least_mm3)


def _match(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    lesions: Parts,
    voxel_mm3: float,
    least_mm3: float,
) -> LesionCount:
    components, count = ndimage.label(prediction, TOUCHING)
    either = prediction | reference
    pairs = lesions.areas[either].astype(np.int64) * (count + 1) + components[either]
    shape, cells = (lesions.count + 1, count + 1), (lesions.count + 1) * (count + 1)
    together = np.bincount(pairs, minlength=cells).reshape(shape)
    inside = np.bincount(pairs[reference[either]], minlength=cells).reshape(shape)
    return LesionCount(
        sizes=together[:, 1:].sum(axis=0),
        hits=inside[:, 1:].sum(axis=0),
        overlaps=inside[1:, 1:],
        touches=together[1:, 1:] > 0,
        lesions=inside[1:].sum(axis=1),
        voxel_mm3=voxel_mm3,
        least_mm3=least_mm3,
    )


def score_candidates(
    prediction: Prediction,
    regions: Sequence[str],
    base: Postprocessing,
    candidates: Candidates,
    *,
    dilation: int = 3,
    least_mm3: float = 50.0,
) -> NDArray[np.float64]:
    """Score every candidate for every region of one case.

    Args:
        prediction: The case.
        regions: Names, outermost first.
        base: Rules whose thresholds hold for the other regions meanwhile.
        candidates: Values that are tried.
        dilation: As for `count_lesions`.
        least_mm3: As for `count_lesions`.

    Returns:
        Lesion-wise and plain Dice, shape (region, 2, threshold, component, volume, 2); the first of the two is without
        lower thresholds where nothing is found, the second with those of ``base``.
    """
    options = len(candidates.thresholds), len(candidates.components_mm3), len(candidates.volumes_mm3)
    table = np.zeros((len(regions), 2, *options, 2))
    for level, region in enumerate(regions):
        reference = prediction.reference[level]
        lesions = find_parts(reference, dilation)
        for number, threshold in enumerate(candidates.thresholds):
            for ladder in (False, True):
                mask, same = _mask(prediction, regions, level, threshold, base, ladder=ladder)
                if same:
                    table[level, 1, number] = table[level, 0, number]
                    continue
                match = _match(mask, reference, lesions, prediction.voxel_mm3, least_mm3)
                sizes = itertools.product(
                    enumerate(candidates.components_mm3), enumerate(_volumes(region, base, candidates))
                )
                for (c, component), (v, volume) in sizes:
                    table[level, int(ladder), number, c, v] = match.scores(component, volume)
    return table


def _volumes(region: str, base: Postprocessing, candidates: Candidates) -> tuple[float, ...]:
    """Return the smallest volumes to try for a region; only that of the rules can be removed as a whole."""
    return candidates.volumes_mm3 if region == base.min_volume_region else (0.0,) * len(candidates.volumes_mm3)


def _mask(
    prediction: Prediction, regions: Sequence[str], level: int, threshold: float, base: Postprocessing, *, ladder: bool
) -> tuple[NDArray[np.bool_], bool]:
    """Return the mask of a region, and whether lower thresholds change nothing of it."""
    probabilities = prediction.probabilities
    mask = probabilities[level] >= np.float32(threshold)
    inner = [probabilities[n] >= np.float32(base.threshold_of(regions[n])) for n in range(level + 1, len(regions))]
    found = bool(mask.any())
    if ladder and not found and regions[level] == base.fallback_region:
        around = np.ones_like(mask)
        if level:
            outer = probabilities[level - 1] >= np.float32(base.threshold_of(regions[level - 1]))
            around = np.any([outer, *inner], axis=0)
        steps = ((probabilities[level] >= np.float32(lower)) & around for lower in base.threshold_fallbacks)
        mask = next((step for step in steps if step.any()), mask)
    return np.any([mask, *inner], axis=0), ladder and (found or regions[level] != base.fallback_region)


def choose_rules(
    tables: Sequence[NDArray[np.float64]],
    regions: Sequence[str],
    base: Postprocessing,
    candidates: Candidates,
    objective: Objective = "both",
) -> Postprocessing:
    """Return the rules with the best mean score over some cases; of equally good ones those that change least.

    Args:
        tables: Of each case, as from `score_candidates`.
        regions: Names, outermost first.
        base: Rules to start from.
        candidates: Values that were tried.
        objective: Lesion-wise Dice, plain Dice, or the mean of both.
    """
    mean = np.mean(tables, axis=0)
    worth = {"both": mean.mean(axis=-1), "lesion": mean[..., 0], "dice": mean[..., 1]}[objective]
    thresholds, components = {}, {}
    volume, fallbacks = base.min_volume_mm3, base.threshold_fallbacks
    for region, scores in zip(regions, worth, strict=True):
        ladder, t, c, v = _best(scores, base, region, candidates)
        if candidates.thresholds[t] != base.threshold:
            thresholds[region] = candidates.thresholds[t]
        if candidates.components_mm3[c]:
            components[region] = candidates.components_mm3[c]
        if region == base.min_volume_region:
            volume = candidates.volumes_mm3[v]
        if region == base.fallback_region and not ladder:
            fallbacks = ()
    return msgspec.structs.replace(
        base,
        thresholds=thresholds,
        min_component_mm3=components,
        min_volume_mm3=volume,
        threshold_fallbacks=fallbacks,
    )


def _best(
    scores: NDArray[np.float64], base: Postprocessing, region: str, candidates: Candidates
) -> tuple[int, int, int, int]:
    """Return the place of the best score; ties go to what is nearest to the rules as they are."""
    own = base.threshold_of(region)

    def change(place: tuple[int, ...]) -> tuple[float, ...]:
        ladder, t, c, v = place
        return (
            abs(candidates.thresholds[t] - own),
            abs(candidates.components_mm3[c] - base.min_component_mm3.get(region, 0)),
            abs(candidates.volumes_mm3[v] - base.min_volume_mm3),
            1 - ladder,
        )

    top = scores.max()
    ladder, t, c, v = min((tuple(place) for place in np.argwhere(scores >= top - 1e-9).tolist()), key=change)
    return ladder, t, c, v
