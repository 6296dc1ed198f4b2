"""Colours of regions."""

import re

import pytest

from tunetseg.report.palette import region_colours


@pytest.mark.parametrize("count", range(1, 8))
def test_each_region_has_its_own_colour(count: int) -> None:
    colours = region_colours(count)
    assert len(set(colours)) == count
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in colours)
    assert colours == region_colours(7)[:count], "a region keeps its colour"


def test_beyond_seven_they_repeat() -> None:
    assert len(region_colours(9)) == 9
    assert region_colours(9)[7:] == region_colours(2)
