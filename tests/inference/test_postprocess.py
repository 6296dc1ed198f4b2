"""Ladder, 500-voxel rule, nesting and Eq. 2 against values worked out by hand."""

import numpy as np
import pytest

from tunetseg.inference.postprocess import postprocess
from tunetseg.inference.uncertainty import uncertainty

REGIONS = ("whole", "core", "enhancing")


def probabilities(*values: float, side: int = 10) -> np.ndarray:
    """One probability a region, everywhere."""
    return np.stack([np.full((side, side, side), value, np.float32) for value in values])


@pytest.mark.parametrize(
    ("core", "threshold"),
    [(0.6, None), (0.5, None), (0.4, 0.3), (0.2, 0.1), (0.07, 0.05), (0.02, 0.01), (0.005, "none")],
)
def test_ladder(core: float, threshold: float | str | None) -> None:
    found = probabilities(0.9, 0.0, 0.0)
    found[1, 0, 0, :3] = core
    masks, said = postprocess(found, REGIONS, 1.0)
    assert masks[1].sum() == (0 if threshold == "none" else 3)
    assert masks[0].all()
    expected = [] if threshold in {None, "none"} else [f"core found only at threshold {threshold:g}"]
    assert said == expected


def test_ladder_looks_inside_the_whole_tumour_only() -> None:
    found = probabilities(0.0, 0.4, 0.0)
    found[0, :5] = 0.9
    masks, _ = postprocess(found, REGIONS, 1.0)
    assert masks[1][:5].all()
    assert not masks[1][5:].any()


@pytest.mark.parametrize(("voxels", "kept"), [(499, 0), (500, 500), (1000, 1000)])
def test_small_enhancing_region_becomes_necrosis(voxels: int, kept: int) -> None:
    found = probabilities(0.9, 0.9, 0.1)
    found[2].flat[:voxels] = 0.9
    masks, said = postprocess(found, REGIONS, 1.0)
    assert masks[2].sum() == kept
    assert masks[1].all()
    assert len(said) == (kept == 0)


def test_small_means_volume() -> None:
    found = probabilities(0.9, 0.9, 0.1)
    found[2].flat[:100] = 0.9
    assert postprocess(found, REGIONS, 8.0)[0][2].sum() == 100, "100 voxels of 8 mm3 are 800 mm3"
    found[2].flat[:500] = 0.9
    assert postprocess(found, REGIONS, 0.99999998)[0][2].sum() == 500, "an oblique affine in float32"


def test_no_enhancing_region_is_no_news() -> None:
    assert postprocess(probabilities(0.9, 0.9, 0.1), REGIONS, 1.0)[1] == []


def test_nesting() -> None:
    found = np.random.default_rng(0).random((3, 12, 12, 12), np.float32)
    masks, _ = postprocess(found, REGIONS, 1.0)
    assert not (masks[1] & ~masks[0]).any()
    assert not (masks[2] & ~masks[1]).any()
    assert np.array_equal(masks[2], found[2] >= 0.5)
    assert np.array_equal(masks[0], (found >= 0.5).any(axis=0))


def test_a_core_is_looked_for_even_where_something_enhances() -> None:
    found = probabilities(0.9, 0.4, 0.1)
    found[2].flat[:600] = 0.9
    found[1].flat[:100] = 0.0
    masks, said = postprocess(found, REGIONS, 1.0)
    assert masks[1].all(), "900 voxels by the ladder, 100 because they enhance"
    assert said == ["core found only at threshold 0.3"]


def test_one_enhancing_voxel_does_not_cost_the_core() -> None:
    found = probabilities(0.9, 0.45, 0.1)
    found[2, 0, 0, 0] = 0.6
    masks, said = postprocess(found, REGIONS, 1.0)
    assert masks[1].all()
    assert not masks[2].any()
    assert len(said) == 2


def test_equation_2_by_hand() -> None:
    given = np.array([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], np.float32)
    assert uncertainty(given) == pytest.approx([0, 20, 50, 100, 50, 20, 0], abs=1e-4)
