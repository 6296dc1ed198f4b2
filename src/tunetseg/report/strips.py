"""Distributions as drawings: one row of dots per group, with the median and the quartiles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Bar", "Dot", "Strip", "Strips", "make_strips"]

_WIDTH = 640.0
_ROW = 54.0
_LEFT = 8.0
_FEW = 150
"""Cases of a row up to which dots have their full size."""


@dataclass(frozen=True)
class Dot:
    """One case.

    Args:
        x: Place along the axis.
        y: Place within the row; equal values are stacked.
        label: Name of the case with its value.
        case: Name of the case.
    """

    x: float
    y: float
    label: str
    case: str


@dataclass(frozen=True)
class Strip:
    """One row.

    Args:
        title: Heading.
        colour: Of its dots.
        top: Upper edge.
        dots: The cases.
        bar: Places of the ends and the middle mark of the bar under the dots, by default the lower quartile, the
            median and the upper quartile; empty without cases.
        summary: The same in words.
    """

    title: str
    colour: str
    top: float
    dots: tuple[Dot, ...]
    bar: tuple[float, ...]
    summary: str


@dataclass(frozen=True)
class Strips:
    """Rows over one axis.

    Args:
        title: Heading with the unit.
        width: Of the drawing.
        height: Of the drawing.
        rows: The groups.
        ticks: Place and text.
        signed: There are negative values, so that 0 is marked.
        told: The summaries stand under the drawing.
        radius: Of the dots.
    """

    title: str
    width: float
    height: float
    rows: tuple[Strip, ...]
    ticks: tuple[tuple[float, str], ...]
    signed: bool
    told: bool
    radius: float


@dataclass(frozen=True)
class Bar:
    """What the bar of a row shows in place of median and quartiles, such as a mean with its interval.

    Args:
        low: One end.
        middle: Its mark.
        high: The other end.
        words: The same in words.
    """

    low: float
    middle: float
    high: float
    words: str


def make_strips(
    title: str,
    groups: Sequence[tuple[str, str, Sequence[tuple[str, float]]]],
    *,
    digits: int = 1,
    logarithmic: bool = False,
    limits: tuple[float, float] | None = None,
    bars: Sequence[Bar] | None = None,
) -> Strips | None:
    """Return a drawing of distributions; None where there are no values.

    Args:
        title: Heading with the unit.
        groups: Heading, colour, and name and value of each case; values that are not finite are left out.
        digits: After the point, in labels.
        logarithmic: Scale the axis by the logarithm of 1 more than the value.
        limits: Ends of the axis; by default those of the values.
        bars: One per group, in place of the quartiles; they are told in words too.
    """
    kept = [
        (heading, colour, [(case, value) for case, value in cases if math.isfinite(value)])
        for heading, colour, cases in groups
    ]
    values = [value for _, _, cases in kept for _, value in cases]
    if not values:
        return None
    low, high = limits or (min(0.0, *values), max(*values, 0.0) or 1.0)

    def scaled(value: float) -> float:
        return math.log1p(max(0.0, value)) if logarithmic else value

    def place(value: float) -> float:
        share = (scaled(value) - scaled(low)) / ((scaled(high) - scaled(low)) or 1.0)
        return round(_LEFT + (_WIDTH - 2 * _LEFT) * min(1.0, max(0.0, share)), 1)

    radius = 3.0 if max(len(cases) for _, _, cases in kept) <= _FEW else 1.5
    rows = []
    for number, (heading, colour, cases) in enumerate(kept):
        bar = _quartiles([value for _, value in cases], digits) if bars is None else bars[number]
        marks = (
            tuple(map(place, (bar.low, bar.middle, bar.high))) if math.isfinite(bar.low + bar.middle + bar.high) else ()
        )
        dots = _stacked([(case, place(value), f"{case}: {value:.{digits}f}") for case, value in cases], radius)
        rows.append(Strip(heading, colour, number * _ROW, dots, marks, bar.words))
    ticks = tuple((place(tick), f"{tick:g}") for tick in _ticks(low, high, logarithmic))
    return Strips(title, _WIDTH, len(rows) * _ROW + 22, tuple(rows), ticks, low < 0, bars is not None, radius)


def _quartiles(values: Sequence[float], digits: int) -> Bar:
    if not values:
        return Bar(math.nan, math.nan, math.nan, "no values")
    first, median, third = np.percentile(values, (25, 50, 75)).tolist()
    words = f"{len(values)} cases, median {median:.{digits}f}, quartiles {first:.{digits}f} and {third:.{digits}f}"
    return Bar(first, median, third, words)


def _stacked(cases: Sequence[tuple[str, float, str]], radius: float) -> tuple[Dot, ...]:
    """Return dots, those that would cover each other above each other."""
    dots: list[Dot] = []
    last: dict[int, float] = {}
    step = 1.47 * radius
    levels = range(int(18 / step) + 1)
    for case, x, label in sorted(cases, key=lambda entry: entry[1]):
        level = next((number for number in levels if x - last.get(number, -math.inf) >= 2 * radius), 0)
        last[level] = x
        dots.append(Dot(x, 35 - step * level, label, case))
    return tuple(dots)


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if logarithmic:
        return [tick for tick in (0, 1, 3, 10, 30, 100, 300, 1000) if low <= tick <= high]
    step = 10 ** math.floor(math.log10((high - low) or 1.0))
    step = next(step * part for part in (0.2, 0.5, 1.0, 2.0) if (high - low) / (step * part) <= 8)
    first = math.ceil(low / step)
    return [round(step * number, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]
