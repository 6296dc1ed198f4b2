"""Lines over epochs, or over another quantity, as drawings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Curve", "Curves", "Line", "make_curves", "round_ticks"]

_WIDTH, _HEIGHT = 420.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 54.0, 10.0, 10.0, 30.0


@dataclass(frozen=True)
class Line:
    """Values to be drawn.

    Args:
        title: What they are.
        colour: Of the line.
        points: Epoch, or what else the horizontal axis is, and value; values that are not finite are left out.
        faint: Draw it thinner, as what is not the main thing.
        legend: What its colour means; by default the title.
    """

    title: str
    colour: str
    points: Sequence[tuple[float, float]]
    faint: bool = False
    legend: str = ""


@dataclass(frozen=True)
class Curve:
    """One line as it is drawn.

    Args:
        title: What it is.
        colour: Of the line.
        path: Of an SVG path.
        marks: Places of points, where there are few of them.
        faint: Thinner.
        summary: Its ends in words.
    """

    title: str
    colour: str
    path: str
    marks: tuple[tuple[float, float], ...]
    faint: bool
    summary: str


@dataclass(frozen=True)
class Curves:
    """Lines over one pair of axes.

    Args:
        title: Heading.
        axis: What the horizontal axis is.
        width: Of the drawing.
        height: Of the drawing.
        curves: The lines.
        across: Place and text of ticks below.
        up: Place and text of ticks at the left.
        frame: Left, right, top and bottom of the plot.
        legend: What the colours mean.
    """

    title: str
    axis: str
    width: float
    height: float
    curves: tuple[Curve, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    frame: tuple[float, float, float, float]
    legend: tuple[tuple[str, str], ...]


def make_curves(
    title: str,
    lines: Sequence[Line],
    *,
    axis: str = "epoch",
    span: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
    logarithmic: bool = False,
) -> Curves | None:
    """Return a drawing of lines; None where there is nothing to draw.

    Args:
        title: Heading.
        lines: What to draw.
        axis: What the horizontal axis is.
        span: Ends of the horizontal axis; by default those of the points, which are whole numbers.
        limits: Ends of the vertical axis; by default those of the values.
        logarithmic: Scale the vertical axis by the logarithm.
    """
    kept = [
        (line, [(x, y) for x, y in line.points if math.isfinite(y) and (y > 0 or not logarithmic)]) for line in lines
    ]
    kept = [(line, points) for line, points in kept if points]
    if not kept:
        return None
    xs = [x for _, points in kept for x, _ in points]
    ys = [y for _, points in kept for _, y in points]
    low, high = limits or (min(ys), max(ys))
    if high <= low:
        low, high = (low / 2, low * 2) if logarithmic else (low - 0.5, low + 0.5)
    first, last = span or (min(xs), max(*xs, min(xs) + 1))

    def scaled(value: float) -> float:
        return math.log10(value) if logarithmic else value

    def place(x: float, y: float) -> tuple[float, float]:
        right = (x - first) / (last - first)
        up = min(1.0, max(0.0, (scaled(y) - scaled(low)) / (scaled(high) - scaled(low))))
        return (
            round(_LEFT + right * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    curves = []
    for line, points in kept:
        places = [place(x, y) for x, y in points]
        path = "M" + " L".join(f"{x} {y}" for x, y in places)
        marks = tuple(places) if len(places) <= 12 else ()
        words = f"from {points[0][1]:.3g} to {points[-1][1]:.3g}" if len(points) > 1 else f"{points[0][1]:.3g}"
        curves.append(Curve(line.title, line.colour, path, marks, line.faint, words))
    return Curves(
        title,
        axis,
        _WIDTH,
        _HEIGHT,
        tuple(curves),
        tuple((place(tick, high)[0], f"{tick:g}") for tick in round_ticks(first, last, 6, least=0.0 if span else 1.0)),
        tuple((place(first, tick)[1], f"{tick:g}") for tick in _ticks(low, high, logarithmic)),
        (_LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM),
        tuple({line.colour: (line.colour, line.legend or line.title) for line, _ in kept}.values()),
    )


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    if not logarithmic:
        return round_ticks(low, high, 5)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [part * 10.0**power for power in decades for part in (1, 2, 5)]
    inside = [float(f"{tick:.3g}") for tick in ticks if low <= tick <= high]
    return inside or [float(f"{low:.2g}"), float(f"{high:.2g}")]


def round_ticks(low: float, high: float, most: int, least: float = 0.0) -> list[float]:
    """Return at most so many round numbers between two values."""
    power = 10.0 ** math.floor(math.log10(high - low))
    steps = (power * part for part in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0))
    step = next((step for step in steps if step >= least and (high - low) / step <= most), high - low)
    count = math.floor(high / step + 1e-9)
    return [round(step * number, 10) for number in range(math.ceil(low / step - 1e-9), count + 1)]
