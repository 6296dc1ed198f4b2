"""Score the uncertainty and probability maps that lie next to a prediction."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import DatasetDescription
from tunetseg.errors import InputError
from tunetseg.evaluation.naming import region_words
from tunetseg.evaluation.pairing import Pair
from tunetseg.io import Image, check_same_lattice, read_image
from tunetseg.metrics import (
    QU_BRATS_THRESHOLDS,
    SCORES,
    Reliability,
    Rules,
    border_band,
    joint_box,
    reliability,
    score_uncertainty,
)

__all__ = ["patient_mask", "read_map", "score_maps"]

_WORST = {name: 0.0 if SCORES[name].higher_is_better else 1.0 for name in ("dauc", "rftp", "rftn", "qu_score")}
"""Scores of a region without a usable uncertainty map, which counts as a miss like a missing label map."""


def score_maps(
    pair: Pair,
    reference: Image,
    regions: Sequence[str],
    predicted: NDArray[np.bool_],
    present: NDArray[np.bool_],
    box: tuple[slice, ...],
    rules: Rules,
) -> tuple[list[dict[str, float]], dict[str, Reliability], str | None]:
    """Score each region's maps of one case.

    Args:
        pair: Says where the maps and an image of the patient are.
        reference: Reference segmentation; its grid is that of the masks.
        regions: Names, outermost first.
        predicted: Predicted masks, shape (region, x, y, z), cropped to ``box``.
        present: Reference masks, the same shape.
        box: Where the masks lie in the grid; empty slices where there is nothing.
        rules: Their thresholds; the challenge's where they have none.

    Returns:
        One dictionary per region: ``dauc``, ``rftp``, ``rftn`` and ``qu_score``, the worst possible where the map is
        missing or invalid; ``ece``, and within 5 mm of either border ``ece_border`` and ``brier_border``, NaN without
        a probability map. Then, per region with such a map, the reliability near the border; and the first fault, if
        any.

    Raises:
        InputError: The reference has no image, so the brain is unknown.
    """
    brain = patient_mask(pair, reference)
    shape = reference.grid.shape
    marks = np.zeros(shape, bool)
    marks[box] = True
    # All voxels that count lie in here: those of the brain and of either mask.
    around = joint_box(brain, marks)
    rows, curves, first_fault = [], {}, None
    for region, mask, truth in zip(regions, predicted, present, strict=True):
        full = np.zeros((2, *shape), bool)
        full[(slice(None), *box)] = mask, truth
        inner = full[(slice(None), *around)]
        row, near, fault = _score_region(pair, reference, region, inner, brain[around], around, rules)
        rows.append(row)
        if near is not None:
            curves[region] = near
        first_fault = first_fault or fault
    return rows, curves, first_fault


def _score_region(
    pair: Pair,
    reference: Image,
    region: str,
    masks: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    around: tuple[slice, ...],
    rules: Rules,
) -> tuple[dict[str, float], Reliability | None, str | None]:
    """Score the maps of one region; masks are prediction and reference, shape (2, x, y, z)."""
    row: dict[str, float] = {**_WORST, **dict.fromkeys(("ece", "ece_border", "brier_border"), math.nan)}
    near = None
    if pair.prediction is None:
        return row, None, None
    try:
        uncertainty = read_map(pair, "unc", region, reference, 100)
        if uncertainty is None:
            path = pair.prediction.sibling("unc", region_words(region, pair.reference.dataset))
            raise InputError(f"{path}: there is no such uncertainty map")
        scores = score_uncertainty(
            masks[0], masks[1], uncertainty[around], brain, rules.uncertainty or QU_BRATS_THRESHOLDS
        )
        row |= {"dauc": scores.dauc, "rftp": scores.rftp, "rftn": scores.rftn, "qu_score": scores.score}
        probability = read_map(pair, "prob", region, reference, 1)
        if probability is not None:
            inner = probability[around]
            near = reliability(inner, masks[1], brain & border_band(masks[0], masks[1], reference.grid.spacing))
            row["ece"] = reliability(inner, masks[1], brain).expected_error
            row |= {"ece_border": near.expected_error, "brier_border": near.brier}
    except InputError as error:
        return row, near, str(error)
    return row, near, None


def patient_mask(pair: Pair, reference: Image) -> NDArray[np.bool_]:
    """Return the voxels of the patient, which MRI shows as not zero and CT as denser than air."""
    file = pair.reference
    if file.image is None:
        raise InputError(
            f"{file.path}: no image of the patient next to it, so the brain is unknown; uncertainty is scored against "
            "a cohort with its images"
        )
    image = read_image(file.image, volume=file.volume)
    check_same_lattice(file.image, image.stored, file.path, reference.stored)
    return _is_foreground(image.array, file.dataset)


def _is_foreground(array: NDArray[np.float32], dataset: DatasetDescription | None) -> NDArray[np.bool_]:
    if dataset is not None and dataset.foreground.kind == "above":
        return array > dataset.foreground.value
    return array != 0


def read_map(
    pair: Pair, kind: Literal["unc", "prob"], region: str, reference: Image, most: float
) -> NDArray[np.float32] | None:
    """Return a map on the reference's grid, with values from 0 to ``most``; None where there is none."""
    assert pair.prediction is not None
    path = pair.prediction.sibling(kind, region_words(region, pair.reference.dataset))
    if not path.exists():
        return None
    image = read_image(path)
    check_same_lattice(path, image.stored, pair.reference.path, reference.stored)
    if image.array.min() < 0 or image.array.max() > most * (1 + 1e-6):
        raise InputError(
            f"{path}: holds {image.array.min():g} to {image.array.max():g}; its values must run from 0 to {most:g}"
        )
    return np.minimum(image.array, np.float32(most))
