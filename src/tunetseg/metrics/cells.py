"""Scores per lesion without matching: the grid is divided among the lesions of the reference (CC-Metrics)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.components import find_parts
from tunetseg.metrics.overlap import count_voxels
from tunetseg.metrics.surface import hausdorff

__all__ = ["score_cells"]


def score_cells(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: Sequence[float],
    *,
    penalty_mm: float,
    definition: str = "symmetric-max",
) -> tuple[float, float]:
    """Return Dice and HD95 as means over the lesions of a reference, each within its own part of the grid.

    Every voxel belongs to the 26-connected component of the reference that is nearest (Voronoi cells); within a cell
    the prediction is compared with its component alone. Every lesion counts the same, however small, and no threshold
    decides what is a match. Jaus et al., "Every Component Counts", AAAI 2025, arXiv 2410.18684.

    Args:
        prediction: Booleans, shape (x, y, z).
        reference: Booleans, the same shape.
        spacing: Voxel size in mm along x, y, z.
        penalty_mm: HD95 of a lesion in whose cell nothing is predicted.
        definition: Key of `HAUSDORFF`.

    Returns:
        Mean Dice, 0 to 1, and mean HD95 in mm; NaN where the reference is empty.

    Raises:
        ValueError: The shapes differ or the spacing does not fit.

    Examples:
        >>> reference = np.zeros((12, 1, 1), bool)
        >>> reference[[0, 1, 10]] = True
        >>> prediction = np.zeros_like(reference)
        >>> prediction[[0, 1, 4]] = True
        >>> score_cells(prediction, reference, (1, 1, 1), penalty_mm=100)
        (0.4, 51.35)
    """
    from scipy import ndimage

    box = joint_box(prediction, reference)
    predicted, present = prediction[box], reference[box]
    parts = find_parts(present, 0)
    if not parts.count:
        return float("nan"), float("nan")
    _, nearest = ndimage.distance_transform_edt(~present, sampling=spacing, return_indices=True)
    cells = parts.numbers[tuple(nearest)]
    dice, distances = [], []
    for number in range(1, parts.count + 1):
        truth, found = parts.numbers == number, predicted & (cells == number)
        dice.append(count_voxels(found, truth).dice)
        distances.append(hausdorff(found, truth, spacing, definition=definition) if found.any() else penalty_mm)
    return float(np.mean(dice)), float(np.mean(distances))
