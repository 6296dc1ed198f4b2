"""Distances between points of one lattice, against every pair."""

import numpy as np
import pytest

from tunetseg.metrics.nearest import nearest_distances


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 3.0), (3.0, 1.0, 0.7), (1.0, 40.0), (2.0,)])
@pytest.mark.parametrize("targets", [1, 5, 60])
def test_agrees_with_every_pair(spacing: tuple[float, ...], targets: int) -> None:
    """Near and far points, on the edge of the lattice too."""
    generator = np.random.default_rng(targets)
    shape = (24, 11, 30)[: len(spacing)]
    found, present = (np.stack([generator.integers(0, n, count) for n in shape], axis=1) for count in (200, targets))
    found[0], found[1] = 0, np.array(shape) - 1
    present[0] = np.array(shape) - 1
    every = np.linalg.norm((found[:, None] - present[None]) * spacing, axis=-1).min(axis=1)
    np.testing.assert_allclose(nearest_distances(found, present, shape, spacing), every, rtol=1e-12)
