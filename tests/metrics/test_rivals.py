"""Agreement with MONAI, MedPy and surface-distance on random masks, where they are installed (extra ``bench``)."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tunetseg.metrics import count_voxels, surface_distances

MASKS = arrays(bool, (6, 5, 7), elements=st.sampled_from([False, False, True]))
SPACINGS = st.tuples(*[st.sampled_from([0.5, 1.0, 1.7, 3.0])] * 3)
PAIRS = given(MASKS, MASKS, SPACINGS)
FEW = settings(max_examples=60)


@FEW
@PAIRS
def test_medpy(first, second, spacing):
    medpy = pytest.importorskip("medpy.metric.binary", reason="MedPy is not installed")
    assume(first.any() and second.any())
    distances = surface_distances(first, second, spacing)
    assert distances.pooled(95) == pytest.approx(medpy.hd95(first, second, spacing), abs=1e-9)
    assert distances.pooled(100) == pytest.approx(medpy.hd(first, second, spacing), abs=1e-9)
    assert distances.average_to_reference == pytest.approx(medpy.asd(first, second, spacing), abs=1e-9)
    counts = count_voxels(first, second)
    assert counts.dice == pytest.approx(medpy.dc(first, second))
    assert counts.jaccard == pytest.approx(medpy.jc(first, second))
    assert counts.precision == pytest.approx(medpy.precision(first, second))


@FEW
@PAIRS
def test_surface_distance(first, second, spacing):
    deepmind = pytest.importorskip("surface_distance", reason="surface-distance is not installed")
    assume(first.any() and second.any())
    distances = surface_distances(first, second, spacing, elements="areas")
    theirs = deepmind.compute_surface_distances(second, first, spacing)
    assert distances.area_weighted(95) == pytest.approx(deepmind.compute_robust_hausdorff(theirs, 95), abs=1e-9)
    assert distances.surface_dice(1.0) == pytest.approx(deepmind.compute_surface_dice_at_tolerance(theirs, 1.0))
    to_prediction, to_reference = deepmind.compute_average_surface_distance(theirs)
    assert distances.average_to_reference == pytest.approx(to_reference, abs=1e-9)
    assert distances.average_to_prediction == pytest.approx(to_prediction, abs=1e-9)


@FEW
@PAIRS
def test_monai(first, second, spacing):
    monai = pytest.importorskip("monai.metrics", reason="MONAI is not installed")
    torch = pytest.importorskip("torch")
    assume(first.any() and second.any())
    distances = surface_distances(first, second, spacing)
    first_tensor, second_tensor = (
        torch.from_numpy(np.ascontiguousarray(mask))[None, None].float() for mask in (first, second)
    )
    theirs = monai.compute_hausdorff_distance(
        first_tensor, second_tensor, include_background=True, percentile=95, spacing=spacing
    )
    assert distances.symmetric_max(95) == pytest.approx(float(theirs), abs=1e-4)
    theirs = monai.compute_average_surface_distance(
        first_tensor, second_tensor, include_background=True, symmetric=True, spacing=spacing
    )
    assert distances.average_symmetric == pytest.approx(float(theirs), abs=1e-4)
