"""Surface voxels and distances, by hand and by their properties."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion, distance_transform_edt

from tunetseg.metrics import HAUSDORFF, hausdorff, surface_distances, surface_voxels

MASKS = arrays(bool, (4, 5, 3))
SPACINGS = st.tuples(*[st.floats(0.25, 4)] * 3)
UNIT = (1.0, 1.0, 1.0)


def line(*filled: int, length: int = 12) -> np.ndarray:
    mask = np.zeros((length, 1, 1), bool)
    mask[list(filled)] = True
    return mask


def test_surface_of_a_cube_is_all_but_its_core():
    cube = np.zeros((7, 7, 7), bool)
    cube[1:6, 1:6, 1:6] = True
    assert surface_voxels(cube).sum() == 5**3 - 3**3


def test_outside_of_the_grid_is_background():
    assert surface_voxels(np.ones((3, 3, 3), bool)).sum() == 26


@given(MASKS)
def test_surface_is_mask_minus_one_erosion(mask):
    np.testing.assert_array_equal(surface_voxels(mask), mask & ~binary_erosion(mask))


def test_distances_by_hand():
    measured = surface_distances(line(2, 3), line(3, 7), (2.0, 1.0, 1.0))
    there, back = measured.to_reference, measured.to_prediction
    assert there.tolist() == [2.0, 0.0]
    assert back.tolist() == [0.0, 8.0]


def test_larger_direction_counts_and_percentile_is_linear():
    # Reference to prediction: 0 and 8 mm, whose 95th percentile is 7.6; the other way 1.9.
    assert hausdorff(line(2, 3), line(3, 7), (2.0, 1.0, 1.0)) == pytest.approx(7.6)
    assert hausdorff(line(2, 3), line(3, 7), (2.0, 1.0, 1.0), percentile=100) == 8.0


def test_a_small_island_far_away_falls_under_the_percentile():
    reference = np.zeros((40, 20, 20), bool)
    reference[2:14, 2:14, 2:14] = True
    prediction = reference.copy()
    prediction[35, 18, 18] = True
    assert hausdorff(prediction, reference, UNIT) == 0
    assert hausdorff(prediction, reference, UNIT, percentile=100) == pytest.approx(math.hypot(22, 5, 5))


def test_empty_masks_have_no_distance():
    assert math.isnan(hausdorff(line(), line(3), UNIT))
    assert math.isnan(hausdorff(line(3), line(), UNIT))
    assert math.isnan(hausdorff(line(), line(), UNIT))


def test_definitions_differ_and_unknown_ones_are_refused():
    reference = np.zeros((40, 20, 20), bool)
    reference[2:14, 2:14, 2:14] = True
    prediction = reference.copy()
    prediction[35, 12:19, 12:19] = True
    values = {definition: hausdorff(prediction, reference, UNIT, definition=definition) for definition in HAUSDORFF}
    assert list(values) == ["symmetric-max", "pooled", "area-weighted"]
    assert values["pooled"] == 0 < values["symmetric-max"]
    with pytest.raises(ValueError, match=r"unknown definition 'directed'; choose from symmetric-max, pooled"):
        hausdorff(prediction, reference, UNIT, definition="directed")


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, math.nan, 1.0)])
def test_spacing_is_checked(spacing):
    with pytest.raises(ValueError, match="3 positive numbers"):
        hausdorff(line(1), line(2), spacing)


@given(MASKS, MASKS, SPACINGS)
def test_tree_agrees_with_a_distance_transform(first, second, spacing):
    assume(first.any() and second.any())
    predicted, present = surface_voxels(first), surface_voxels(second)
    measured = surface_distances(first, second, spacing)
    there, back = measured.to_reference, measured.to_prediction
    np.testing.assert_allclose(there, distance_transform_edt(~present, sampling=spacing)[predicted], atol=1e-9)
    np.testing.assert_allclose(back, distance_transform_edt(~predicted, sampling=spacing)[present], atol=1e-9)


@given(MASKS, MASKS, SPACINGS)
def test_symmetric_bounded_and_zero_for_oneself(first, second, spacing):
    assume(first.any() and second.any())
    measured = hausdorff(first, second, spacing)
    assert measured == hausdorff(second, first, spacing)
    diagonal = math.hypot(*((length - 1) * step for length, step in zip(first.shape, spacing, strict=True)))
    assert 0 <= measured <= hausdorff(first, second, spacing, percentile=100) <= diagonal + 1e-9
    assert hausdorff(first, first, spacing) == 0


@given(MASKS, MASKS, st.tuples(*[st.integers(0, 3)] * 6))
def test_moving_both_changes_nothing(first, second, margins):
    assume(first.any() and second.any())
    pad = list(zip(margins[:3], margins[3:], strict=True))
    moved = hausdorff(np.pad(first, pad), np.pad(second, pad), UNIT)
    assert moved == pytest.approx(hausdorff(first, second, UNIT))


@given(MASKS, MASKS, SPACINGS, st.floats(0.25, 4))
def test_distances_scale_with_the_spacing(first, second, spacing, factor):
    assume(first.any() and second.any())
    scaled = hausdorff(first, second, tuple(step * factor for step in spacing))
    assert scaled == pytest.approx(factor * hausdorff(first, second, spacing))


@given(st.integers(1, 6), SPACINGS)
def test_a_voxel_moved_along_an_axis(steps, spacing):
    assert hausdorff(line(1), line(1 + steps), spacing) == pytest.approx(steps * spacing[0])
