"""Scores within the Voronoi cells of lesions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tunetseg.metrics import RULES, hausdorff, score_cells, score_region

UNIT = (1.0, 1.0, 1.0)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_agrees_with_the_nearest_component_of_every_voxel(seed):
    rng = np.random.default_rng(seed)
    reference, prediction = rng.random((2, 7, 6, 5)) < 0.12
    # Sides without a common measure, so that hardly any voxel is equally near to two components.
    spacing = (1.0, 1.137, 1.731)
    numbers, count = ndimage.label(reference, np.ones((3, 3, 3)))
    if not count:
        return
    away = np.stack([ndimage.distance_transform_edt(numbers != n + 1, sampling=spacing) for n in range(count)])
    ordered = np.sort(away, axis=0)
    if count > 1 and np.isclose(ordered[0], ordered[1])[prediction].any():
        return
    cells = away.argmin(axis=0)
    dice, distances = [], []
    for n in range(count):
        truth, found = numbers == n + 1, prediction & (cells == n)
        dice.append(2 * (truth & found).sum() / (truth.sum() + found.sum()))
        distances.append(hausdorff(found, truth, spacing) if found.any() else 50)
    wanted = np.mean(dice), np.mean(distances)
    assert score_cells(prediction, reference, spacing, penalty_mm=50) == pytest.approx(wanted)


def test_a_small_lesion_counts_as_much_as_a_large_one():
    reference = np.zeros((30, 8, 8), bool)
    reference[:8] = reference[25, 4, 4] = True
    prediction = reference.copy()
    prediction[25] = False
    dice, distance = score_cells(prediction, reference, UNIT, penalty_mm=100)
    assert (dice, distance) == (0.5, 50)


def test_columns_are_there_on_request():
    mask = np.zeros((6, 6, 6), bool)
    mask[1:4, 1:4, 1:4] = True
    row = score_region(mask, mask, region="r", spacing=UNIT, rules=RULES["brats2020"], cells=True)
    assert (row["cc_dice"], row["cc_hd95"]) == (1, 0)
    assert "cc_dice" not in score_region(mask, mask, region="r", spacing=UNIT, rules=RULES["brats2020"])


@pytest.mark.parametrize(("rules", "penalty"), [("brats2020", 373.12866), ("brats2019", math.sqrt(108))])
def test_a_miss_has_the_penalty_or_the_diagonal(rules, penalty):
    mask = np.zeros((6, 6, 6), bool)
    mask[2, 2, 2] = mask[5, 5, 5] = True
    found = mask.copy()
    found[5] = False
    row = score_region(found, mask, region="r", spacing=UNIT, rules=RULES[rules], cells=True)
    assert (row["cc_dice"], row["cc_hd95"]) == (0.5, pytest.approx(penalty / 2))
    nothing = np.zeros_like(mask)
    for prediction, wanted in ((mask, 0), (nothing, 1)):
        row = score_region(prediction, nothing, region="r", spacing=UNIT, rules=RULES[rules], cells=True)
        assert row["cc_dice"] == row["dice"] == wanted
        assert row["cc_hd95"] == pytest.approx(row["hd95"], nan_ok=True)
