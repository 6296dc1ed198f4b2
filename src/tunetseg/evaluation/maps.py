"""Scores of the uncertainty and probability maps that lie beside a prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import FILE_WORDS
from tunetseg.errors import InputError
from tunetseg.evaluation.pairing import Pair
from tunetseg.io.volume import Grid, check_same_grid, read_image
from tunetseg.metrics import QU_BRATS_THRESHOLDS, Rules, calibrate, joint_box, score_uncertainty

__all__ = ["score_maps"]

_WORST = {"dauc": 0.0, "rftp": 1.0, "rftn": 1.0, "qu_score": 0.0}
"""Of a region without a usable uncertainty map: a miss, like that of a label map."""


def score_maps(
    pair: Pair,
    grid: Grid,
    regions: Sequence[str],
    predicted: NDArray[np.bool_],
    present: NDArray[np.bool_],
    box: tuple[slice, ...],
    rules: Rules,
) -> tuple[list[dict[str, float]], str | None]:
    """Score each region's maps of one case.

    Args:
        pair: Says where the maps and an image of the patient lie.
        grid: Of the reference.
        regions: Names, outermost first.
        predicted: Masks, shape (region, x, y, z), cropped to ``box``.
        present: The reference's, the same shape.
        box: Where they lie in the grid; empty slices where there is nothing.
        rules: Their thresholds; the challenge's where they have none.

    Returns:
        A dictionary a region: ``dauc``, ``rftp``, ``rftn`` and ``qu_score``, the worst there are where the map is
        missing or at fault; ``ece``, NaN without a probability map; and what was at fault first, if anything.

    Raises:
        InputError: The reference has no image, so nobody knows where the brain is.
    """
    if pair.reference.image is None:
        raise InputError(
            f"{pair.reference.path}: no image of the patient beside it, so the brain is unknown; uncertainty is scored "
            "against a cohort with its images"
        )
    image, image_grid = read_image(pair.reference.image)
    check_same_grid(pair.reference.image, image_grid, pair.reference.path, grid)
    brain = image != 0
    marks = np.zeros(grid.shape, bool)
    marks[box] = True
    # Everything that counts lies in here: the brain, and whatever either mask holds.
    around = joint_box(brain, marks)
    rows, fault = [], None
    for region, mask, truth in zip(regions, predicted, present, strict=True):
        full = np.zeros((2, *grid.shape), bool)
        full[(slice(None), *box)] = mask, truth
        row: dict[str, float] = {**_WORST, "ece": float("nan")}
        try:
            unsure = _map(pair, "unc", region, grid, 100)
            if unsure is not None:
                row |= _uncertainty(full[(slice(None), *around)], unsure[around], brain[around], rules)
            elif pair.prediction is not None:
                raise InputError(f"{_path(pair, 'unc', region)}: there is no such uncertainty map")
            probability = _map(pair, "prob", region, grid, 1)
            if probability is not None:
                row["ece"] = calibrate(probability[around], full[1][around], brain[around]).expected_error
        except InputError as error:
            fault = fault or str(error)
        rows.append(row)
    return rows, fault


def _uncertainty(
    masks: NDArray[np.bool_], unsure: NDArray[np.float32], brain: NDArray[np.bool_], rules: Rules
) -> dict[str, float]:
    """Scores of one region; masks are prediction and reference, shape (2, x, y, z)."""
    scores = score_uncertainty(masks[0], masks[1], unsure, brain, rules.uncertainty or QU_BRATS_THRESHOLDS)
    return {"dauc": scores.dauc, "rftp": scores.rftp, "rftn": scores.rftn, "qu_score": scores.score}


def _path(pair: Pair, kind: Literal["unc", "prob"], region: str) -> Path | None:
    if pair.prediction is None:
        return None
    return pair.prediction.beside(kind, FILE_WORDS.get(region, region))


def _map(pair: Pair, kind: Literal["unc", "prob"], region: str, grid: Grid, most: float) -> NDArray[np.float32] | None:
    """A map on the reference's grid, with values from 0 to ``most``; None where there is none."""
    path = _path(pair, kind, region)
    if path is None or not path.exists():
        return None
    array, own = read_image(path)
    check_same_grid(path, own, pair.reference.path, grid)
    if array.min() < 0 or array.max() > most * (1 + 1e-6):
        raise InputError(f"{path}: holds {array.min():g} to {array.max():g}; its values must run from 0 to {most:g}")
    return np.minimum(array, np.float32(most))
