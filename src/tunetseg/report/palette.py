"""Colours of regions, which colour-blind readers can tell apart too (Okabe and Ito, 2008)."""

__all__ = ["region_colours"]

_OKABE_ITO = ("#56B4E9", "#D55E00", "#F0E442", "#009E73", "#CC79A7", "#0072B2", "#E69F00")


def region_colours(count: int) -> tuple[str, ...]:
    """Return one colour per region, outermost first.

    Args:
        count: Number of regions; beyond seven the colours repeat.
    """
    return tuple(_OKABE_ITO[number % len(_OKABE_ITO)] for number in range(count))
