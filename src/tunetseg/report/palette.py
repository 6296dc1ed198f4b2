"""Every colour of figures and pages, chosen so that colour-blind readers can tell them apart."""

from collections.abc import Sequence

__all__ = ["PROBABILITY_MAP", "REFERENCE", "UNCERTAINTY_MAP", "colour_table", "region_colours", "rgb", "series_colours"]

_OKABE_ITO = ("#56B4E9", "#D55E00", "#F0E442", "#009E73", "#CC79A7", "#0072B2", "#E69F00")
"""For areas over grey images (Okabe and Ito, 2008)."""

_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
"""The same for lines and dots on white, where yellow cannot be seen."""

REFERENCE = "#FFFFFF"
"""Outlines of a reference segmentation over an image."""

PROBABILITY_MAP = "viridis"
UNCERTAINTY_MAP = "magma"
"""Names of colour maps of matplotlib; both rise in lightness and are the same for every kind of colour vision."""


def region_colours(count: int) -> tuple[str, ...]:
    """Return one colour per region, outermost first.

    Args:
        count: Number of regions; beyond seven the colours repeat.
    """
    return tuple(_OKABE_ITO[number % len(_OKABE_ITO)] for number in range(count))


def series_colours(count: int) -> tuple[str, ...]:
    """Return one colour per line of a plot; beyond seven they repeat."""
    return tuple(_LINES[number % len(_LINES)] for number in range(count))


def rgb(colour: str) -> tuple[int, int, int]:
    """Return the red, green and blue of a colour, 0 to 255.

    Examples:
        >>> rgb("#56B4E9")
        (86, 180, 233)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def colour_table(name: str, steps: int = 256) -> Sequence[tuple[int, int, int]]:
    """Return the colours of a colour map from its low to its high end, 0 to 255.

    Args:
        name: `PROBABILITY_MAP`, `UNCERTAINTY_MAP` or another of matplotlib.
        steps: Number of colours.
    """
    from matplotlib import colormaps

    rows = colormaps[name].resampled(steps)(range(steps), bytes=True)[:, :3].tolist()
    return [(red, green, blue) for red, green, blue in rows]
