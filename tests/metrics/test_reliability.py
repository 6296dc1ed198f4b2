"""Reliability of probabilities, by hand."""

import math

import numpy as np
import pytest

from tunetseg.metrics import border_band, reliability


def test_by_hand():
    # Two voxels at 0.25, one of them tumour; four at 0.75, all tumour.
    probabilities = np.array([0.25, 0.25, 0.75, 0.75, 0.75, 0.75])
    truth = np.array([True, False, True, True, True, True])
    result = reliability(probabilities, truth, bins=2)
    assert result.voxels.tolist() == [2, 4]
    assert result.confidence == pytest.approx([0.25, 0.75])
    assert result.frequency == pytest.approx([0.5, 1])
    assert result.expected_error == pytest.approx((2 * 0.25 + 4 * 0.25) / 6)
    assert result.maximum_error == pytest.approx(0.25)


def test_certain_and_right_has_no_error_and_the_last_bin_holds_1():
    truth = np.array([True, False, True])
    result = reliability(truth.astype(np.float32), truth)
    assert result.expected_error == 0
    assert result.voxels[-1] == 2


def test_calibrated_samples_have_little_error():
    generator = np.random.default_rng(0)
    probabilities = generator.random(200_000)
    truth = generator.random(200_000) < probabilities
    assert reliability(probabilities, truth).expected_error < 0.01
    assert reliability(np.sqrt(probabilities), truth).expected_error > 0.1


def test_only_the_voxels_asked_for_count():
    probabilities, truth = np.array([0.9, 0.1]), np.array([False, False])
    assert reliability(probabilities, truth, np.array([False, True])).expected_error == pytest.approx(0.1)
    assert math.isnan(reliability(probabilities, truth, np.zeros(2, bool)).expected_error)


@pytest.mark.parametrize(
    ("value", "fault"), [(1.5, "within 0 to 1"), (-0.1, "within 0 to 1"), (math.nan, "within 0 to 1")]
)
def test_invalid_probabilities(value, fault):
    with pytest.raises(ValueError, match=fault):
        reliability(np.array([value]), np.array([True]))
    with pytest.raises(ValueError, match="shapes differ"):
        reliability(np.array([0.5]), np.array([True, False]))


def test_brier_score_by_hand():
    result = reliability(np.array([0.2, 1.0, 0.5]), np.array([False, True, True]))
    assert result.brier == pytest.approx((0.04 + 0 + 0.25) / 3)
    assert math.isnan(reliability(np.empty(0), np.empty(0, bool)).brier)


def test_band_round_a_border_against_every_pair_of_voxels():
    generator = np.random.default_rng(1)
    first, second = generator.random((2, 7, 6, 5)) < 0.1
    spacing, width = (1.0, 2.0, 1.5), 2.2
    wanted = np.zeros(first.shape, bool)
    points = np.argwhere(np.ones_like(first)) * spacing
    for mask in (first, second):
        flat = mask.ravel()
        for inside in (flat, ~flat):
            gaps = np.linalg.norm(points[inside][:, None] - points[~inside][None], axis=-1).min(axis=1)
            wanted.ravel()[np.flatnonzero(inside)[gaps <= width]] = True
    assert (border_band(first, second, spacing, width) == wanted).all()
    assert not border_band(np.zeros_like(first), np.zeros_like(first), spacing).any()
