"""Resampling: laws, not examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.preparation.resample import covered, resample, resampled_shape


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0.3, 4))
def test_constants_stay(inputs: int, outputs: int, step: float) -> None:
    array = np.full((2, inputs, 3, 3), 2.5, np.float32)
    found = resample(array, (step, 1, 1), (outputs, 3, 3))
    assert found.shape == (2, outputs, 3, 3)
    assert found == pytest.approx(np.full(found.shape, 2.5), rel=1e-6)


@given(st.floats(0.3, 3))
def test_a_slope_stays_a_slope(step: float) -> None:
    ramp = np.arange(40, dtype=np.float32).reshape(1, 40, 1, 1)
    outputs = resampled_shape((40,), (1.0,), step)[0]
    found = resample(ramp, (step, 1, 1), (outputs, 1, 1)).ravel()
    wanted = (np.arange(outputs) + 0.5) * step - 0.5
    inside = (wanted > 2 * max(step, 1)) & (wanted < 39 - 2 * max(step, 1))
    assert found[inside] == pytest.approx(wanted[inside], abs=0.12 * max(step, 1))


def test_halving_and_doubling_by_hand() -> None:
    array = np.array([0, 0, 4, 4], np.float32).reshape(1, 4, 1, 1)
    # A triangle of half-width 2 about the middle of each pair: weights 1, 3, 3, 1 in eighths, cut at the end.
    assert resample(array, (2, 1, 1), (2, 1, 1)).ravel() == pytest.approx([4 / 7, 24 / 7])
    assert resample(array, (0.5, 1, 1), (8, 1, 1)).ravel() == pytest.approx([0, 0, 0, 1, 3, 4, 4, 4])


@given(array_seed=st.integers(0, 99), axis=st.integers(1, 3), step=st.floats(0.4, 3))
def test_each_axis_is_treated_alike(array_seed: int, axis: int, step: float) -> None:
    array = np.random.default_rng(array_seed).random((2, 7, 7, 7)).astype(np.float32)
    outputs = resampled_shape((7,), (1.0,), step)[0]

    def along(axis: int, array: np.ndarray) -> np.ndarray:
        scale, shape = [1.0] * 3, [7] * 3
        scale[axis - 1], shape[axis - 1] = step, outputs
        return resample(array, tuple(scale), tuple(shape))

    swapped = along(1, np.swapaxes(array, 1, axis))
    assert along(axis, array) == pytest.approx(np.swapaxes(swapped, 1, axis), abs=1e-6)


def test_nothing_to_do() -> None:
    array = np.random.default_rng(0).random((1, 3, 4, 5)).astype(np.float32)
    assert np.array_equal(resample(array, (1, 1, 1), (3, 4, 5)), array)


def test_a_share_covered_is_a_share_of_volume() -> None:
    """A voxel wholly in a mask is covered wholly, wherever its neighbours are; half of it, half."""
    mask = np.zeros((1, 6, 6, 6), np.bool_)
    mask[:, 2:4, 2:4, 2:4] = True
    shares = covered(mask, (2, 2, 2), (3, 3, 3))[0]
    assert shares[1, 1, 1] == 1
    assert shares.sum() == 1
    mask[:, 3] = False
    assert covered(mask, (2, 2, 2), (3, 3, 3))[0].max() == 0.5


@given(st.floats(0.3, 4.0), st.integers(1, 12), st.integers(0, 2**31))
def test_covered_keeps_the_volume_inside(step: float, inputs: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((1, inputs, 1, 1)) < 0.5
    outputs = resampled_shape((inputs,), (1.0,), step)[0]
    shares = covered(mask, (step, 1, 1), (outputs, 1, 1)).ravel()
    lengths = np.minimum((np.arange(outputs) + 1) * step, inputs) - np.arange(outputs) * step
    assert shares.min() >= 0
    assert shares.max() <= 1 + 1e-6
    assert shares @ lengths == pytest.approx(mask.sum() - max(0, inputs - outputs * step) * mask[0, -1, 0, 0], abs=1e-3)


@given(n=st.integers(1, 300), spacing=st.floats(0.3, 7), target=st.floats(0.2, 20))
def test_the_field_of_view_is_covered(n: int, spacing: float, target: float) -> None:
    (outputs,) = resampled_shape((n,), (spacing,), target)
    assert outputs >= 1
    assert outputs * target >= n * spacing - 1e-3 * target * 1.01
    assert (outputs - 1) * target < n * spacing or outputs == 1


def test_a_thousandth_of_a_voxel_is_not_worth_one() -> None:
    assert resampled_shape((10, 10, 10), (1.00001, 1.0, 1.5), 1.0) == (10, 10, 15)
