"""Fitting calibration curves to out-of-fold probabilities.

Everything is computed from counts of voxels per bin of probability. Counts of cases add up, so a curve for any set of
cases is fitted without reading their files again.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.models.calibration import Calibration

__all__ = ["bin_probabilities", "brier_score", "calibration_error", "count_probabilities", "fit_calibration"]

_BINS = 400
_WIDE_BINS = 10
"""Bins of equal width of the expected calibration error."""

_LIMIT = 10.0
"""Bins are of equal width in the logit, from minus to plus this; what lies outside counts with the outermost."""


def bin_probabilities() -> NDArray[np.float64]:
    """Return the probability that stands for each bin, rising, shape (bin,)."""
    logits = (np.arange(_BINS) + 0.5) / _BINS * 2 * _LIMIT - _LIMIT
    return 1 / (1 + np.exp(-logits))


def count_probabilities(probabilities: NDArray[np.floating], reference: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the voxels of one region by probability.

    Args:
        probabilities: 0 to 1, of the voxels that count, such as those of the brain.
        reference: Booleans, the same shape.

    Returns:
        Voxels per bin that lie outside and inside the reference, shape (bin, 2).
    """
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities, dtype=np.float64) - np.log1p(-probabilities, dtype=np.float64)
    place = np.clip((logits + _LIMIT) / (2 * _LIMIT) * _BINS, 0, _BINS - 1).astype(np.int64)
    return np.bincount((2 * place + reference).ravel(), minlength=2 * _BINS).reshape(_BINS, 2)


def fit_calibration(counts: NDArray[np.int64], kind: Literal["temperature", "isotonic"] = "temperature") -> Calibration:
    """Return the curve that fits counts best.

    ``temperature`` minimises the mean negative log-likelihood, ``isotonic`` the mean squared error among all rising
    curves.

    Args:
        counts: As from `count_probabilities`, summed over cases.
        kind: Form of the curve.

    Returns:
        The curve; one that changes nothing where there is no voxel.
    """
    if not counts.any():
        return Calibration()
    return _fit_temperature(counts) if kind == "temperature" else _fit_isotonic(counts)


def _fit_temperature(counts: NDArray[np.int64]) -> Calibration:
    from scipy.optimize import minimize_scalar

    centres = bin_probabilities()
    logits = np.log(centres / (1 - centres))
    outside, inside = counts.T / counts.sum()

    def cost(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((inside * np.logaddexp(0, -scaled) + outside * np.logaddexp(0, scaled)).sum())

    best = minimize_scalar(cost, bounds=(-2.5, 2.5), method="bounded", options={"xatol": 1e-4})
    return Calibration(temperature=round(float(np.exp(best.x)), 4))


def _fit_isotonic(counts: NDArray[np.int64]) -> Calibration:
    """Pool neighbouring bins until their frequencies rise."""
    centres = bin_probabilities()
    blocks: list[tuple[float, float, int, int]] = []  # inside, all voxels, first bin, last bin
    for number in np.flatnonzero(counts.sum(axis=1)):
        outside, inside = counts[number]
        blocks.append((float(inside), float(inside + outside), int(number), int(number)))
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            later, earlier = blocks.pop(), blocks.pop()
            blocks.append((earlier[0] + later[0], earlier[1] + later[1], earlier[2], later[3]))
    points = {0.0: 0.0}
    for inside, every, first, last in blocks:
        points |= {float(centres[number]): inside / every for number in (first, last)}
    points[1.0] = max(points.values())
    x = sorted(points)
    return Calibration(
        kind="isotonic",
        probabilities=tuple(round(place, 8) for place in x),
        frequencies=tuple(round(points[place], 8) for place in x),
    )


def calibration_error(counts: NDArray[np.int64], curve: Calibration | None = None) -> float:
    """Return the expected calibration error of one region, 0 to 1, before or after a curve; NaN without voxels.

    Args:
        counts: As from `count_probabilities`.
        curve: Applied first.
    """
    confidence = bin_probabilities() if curve is None else curve(bin_probabilities()).astype(np.float64)
    voxels = counts.sum(axis=1)
    place = np.minimum((confidence * _WIDE_BINS).astype(np.int64), _WIDE_BINS - 1)
    gap = np.abs(np.bincount(place, confidence * voxels - counts[:, 1], minlength=_WIDE_BINS))
    return float(gap.sum() / voxels.sum()) if voxels.any() else float("nan")


def brier_score(counts: NDArray[np.int64], curve: Calibration | None = None) -> float:
    """Return the mean squared error of the probabilities of one region, before or after a curve; NaN without voxels."""
    confidence = bin_probabilities() if curve is None else curve(bin_probabilities()).astype(np.float64)
    error = counts[:, 0] * confidence**2 + counts[:, 1] * (1 - confidence) ** 2
    return float(error.sum() / counts.sum()) if counts.any() else float("nan")
