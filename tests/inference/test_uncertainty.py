"""Eq. 2 of the paper."""

import numpy as np
import pytest

from tunetseg.inference.uncertainty import uncertainty


def test_by_hand() -> None:
    given = np.array([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], np.float32)
    found = uncertainty(given)
    assert found == pytest.approx([0, 20, 50, 100, 50, 20, 0], abs=1e-4)
    assert found.dtype == np.float32


def test_any_shape_within_0_and_100() -> None:
    found = uncertainty(np.random.default_rng(0).random((3, 4, 5, 6), np.float32))
    assert found.shape == (3, 4, 5, 6)
    assert found.min() >= 0
    assert found.max() <= 100
