"""Fitting curves to counts, against what is known of how the voxels were drawn."""

import numpy as np
import pytest

from tunetseg.metrics import reliability
from tunetseg.models.calibration import Calibration
from tunetseg.tuning.calibration import (
    bin_probabilities,
    brier_score,
    calibration_error,
    count_probabilities,
    fit_calibration,
)


def drawn(temperature: float, count: int = 200_000) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities that are too certain by a temperature, and what is true."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 1.5, count)
    truth = generator.random(count) < 1 / (1 + np.exp(-logits))
    return (1 / (1 + np.exp(-logits * temperature))).astype(np.float32), truth


def test_counts_of_voxels() -> None:
    counts = count_probabilities(np.float32([0, 1, 0.5, 0.5]), np.array([False, True, True, False]))
    assert counts.sum() == 4
    assert counts[0].tolist() == [1, 0]
    assert counts[-1].tolist() == [0, 1]
    assert counts[len(counts) // 2].tolist() == [1, 1]
    assert (np.diff(bin_probabilities()) > 0).all()


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_a_curve_undoes_what_made_voxels_too_certain(kind) -> None:
    probabilities, truth = drawn(3.0)
    counts = count_probabilities(probabilities, truth)
    curve = fit_calibration(counts, kind)
    assert calibration_error(counts) > 0.1
    assert calibration_error(counts, curve) < 0.01
    assert brier_score(counts, curve) < brier_score(counts) - 0.02
    if kind == "temperature":
        assert curve.temperature == pytest.approx(3, rel=0.03)


def test_scores_from_counts_are_those_of_voxels() -> None:
    probabilities, truth = drawn(2.0)
    counts = count_probabilities(probabilities, truth)
    assert calibration_error(counts) == pytest.approx(reliability(probabilities, truth).expected_error, abs=2e-3)
    assert brier_score(counts) == pytest.approx(float(((probabilities - truth) ** 2).mean()), abs=2e-3)
    curve = Calibration(temperature=2.0)
    after = reliability(curve(probabilities), truth).expected_error
    assert calibration_error(counts, curve) == pytest.approx(after, abs=2e-3)


def test_no_voxels_and_one_kind_of_voxel() -> None:
    empty = count_probabilities(np.zeros(0, np.float32), np.zeros(0, bool))
    assert fit_calibration(empty) == Calibration()
    assert np.isnan(calibration_error(empty))
    assert np.isnan(brier_score(empty))
    background = count_probabilities(np.float32([0.001, 0.9]), np.zeros(2, bool))
    curve = fit_calibration(background, "isotonic")
    assert curve(np.float32([0.5, 1.0])).tolist() == [0, 0]
