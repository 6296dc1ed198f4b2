"""Surface elements: areas by hand, and that nothing depends on how the mask lies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tunetseg.metrics import surface_distances, surface_elements
from tunetseg.metrics.elements import element_areas

UNIT = (1.0, 1.0, 1.0)
MASKS = arrays(bool, (4, 3, 5))


def area(mask: np.ndarray, spacing=UNIT) -> float:
    return float(surface_elements(mask, spacing)[1].sum())


def test_a_lone_voxel_is_an_octahedron():
    corners, areas = surface_elements(np.ones((1, 1, 1), bool), UNIT)
    assert len(corners) == 8
    # Corners at half a voxel from the centre: eight triangles of side sqrt(1/2).
    assert areas.sum() == pytest.approx(8 * np.sqrt(3) / 4 / 2)


def test_a_wall_has_its_area():
    wall = np.zeros((4, 30, 30), bool)
    wall[:2] = True
    corners, areas = surface_elements(wall, (1.0, 2.0, 3.0))
    inner = (corners[:, 0] == 2) & ((corners[:, 1:] > 0) & (corners[:, 1:] < 30)).all(axis=1)
    assert areas[inner] == pytest.approx(np.full(29 * 29, 6.0))


def test_full_and_empty_cubes_have_no_surface():
    areas = element_areas((0.7, 1.3, 2.0))
    assert areas[0] == areas[255] == 0
    assert (areas[1:255] > 0).all()
    assert areas == pytest.approx(areas[::-1]), "inside out is the same surface"


@given(MASKS, st.permutations(range(3)), st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_turning_and_mirroring_change_no_area(mask, order, steps):
    spacing = (0.5, 1.0, 3.0)
    turned = mask.transpose(order)[tuple(slice(None, None, step) for step in steps)]
    assert area(turned, [spacing[axis] for axis in order]) == pytest.approx(area(mask, spacing))


@given(MASKS, MASKS)
def test_laws_of_distances_between_areas(first, second):
    there = surface_distances(first, second, UNIT, elements="areas")
    back = surface_distances(second, first, UNIT, elements="areas")
    if not there.to_reference.size:
        assert np.isnan(there.area_weighted(95))
        return
    assert there.area_weighted(95) == back.area_weighted(95) <= there.area_weighted(100)
    assert there.surface_dice(0.5) == pytest.approx(back.surface_dice(0.5))
    assert there.surface_dice(0.5) <= there.surface_dice(1.0) <= there.surface_dice(100.0) == 1
    scaled = surface_distances(first, second, (2.0, 2.0, 2.0), elements="areas")
    assert scaled.area_weighted(95) == pytest.approx(2 * there.area_weighted(95))
    assert surface_distances(first, first, UNIT, elements="areas").area_weighted(100) == 0


def test_three_axes_are_needed():
    with pytest.raises(ValueError, match="three axes"):
        surface_elements(np.ones((2, 2), bool), (1.0, 1.0))
