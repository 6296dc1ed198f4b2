"""Agreement of two measurements of volume as drawings (Bland and Altman, Lancet 327, 1986)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunetseg.report.curves import round_ticks
from tunetseg.report.strips import Dot

__all__ = ["Agreement", "make_agreement"]

_WIDTH, _HEIGHT = 420.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 10.0, 30.0
_LIMITS = 1.96
"""Standard deviations from the mean difference to the limits of agreement."""


@dataclass(frozen=True)
class Agreement:
    """Differences over means of one region.

    Args:
        title: Heading.
        colour: Of the dots.
        width: Of the drawing.
        height: Of the drawing.
        dots: The cases.
        lines: Place and name of the mean difference, then of the limits of agreement.
        across: Place and text of ticks below.
        up: Place and text of ticks at the left.
        frame: Left, right, top and bottom of the plot.
        summary: The lines in words.
    """

    title: str
    colour: str
    width: float
    height: float
    dots: tuple[Dot, ...]
    lines: tuple[tuple[float, str], ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    frame: tuple[float, float, float, float]
    summary: str


def make_agreement(title: str, colour: str, cases: Sequence[tuple[str, float, float]]) -> Agreement | None:
    """Return a drawing of the agreement of volumes; None with fewer than two cases.

    Args:
        title: Heading.
        colour: Of the dots.
        cases: Name, volume in the reference and in the prediction, in ml; those that are not finite are left out.
    """
    kept = [case for case in cases if math.isfinite(case[1] + case[2])]
    if len(kept) < 2:
        return None
    means = [(present + predicted) / 2 for _, present, predicted in kept]
    differences = [predicted - present for _, present, predicted in kept]
    bias, spread = float(np.mean(differences)), _LIMITS * float(np.std(differences, ddof=1))
    low, high = min(0.0, bias - spread, *differences), max(0.0, bias + spread, *differences)
    low, high = (low - 0.5, high + 0.5) if high <= low else (low, high)
    least, most = 0.0, max(means) or 1.0

    def across(value: float) -> float:
        return round(_LEFT + (value - least) / (most - least) * (_WIDTH - _LEFT - _RIGHT), 1)

    def up(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    return Agreement(
        title,
        colour,
        _WIDTH,
        _HEIGHT,
        tuple(
            Dot(across(mean), up(difference), f"{case}: {difference:+.1f} ml at {mean:.1f} ml", case)
            for (case, _, _), mean, difference in zip(kept, means, differences, strict=True)
        ),
        tuple(
            (up(value), f"{name} {value:+.1f} ml")
            for name, value in (
                ("mean difference", bias),
                ("lower limit of agreement", bias - spread),
                ("upper limit of agreement", bias + spread),
            )
        ),
        tuple((across(tick), f"{tick:g}") for tick in round_ticks(least, most, 6)),
        tuple((up(tick), f"{tick:g}") for tick in round_ticks(low, high, 6)),
        (_LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM),
        f"{len(kept)} cases: mean difference {bias:+.1f} ml, limits of agreement {bias - spread:+.1f} to "
        f"{bias + spread:+.1f} ml",
    )
