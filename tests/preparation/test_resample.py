"""Resampling: laws, not examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.datasets import SCHEMES
from tunetseg.datasets.phantom import make_patient
from tunetseg.io.volume import Grid, Volume
from tunetseg.preparation.preprocess import Preprocessing, normalise, prepare
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


def _volume(spacing: float = 5.0, shape: tuple[int, int, int] = (48, 48, 32)) -> tuple[Volume, np.ndarray]:
    import nibabel as nib

    patient = make_patient(0, shape=shape, spacing=spacing)
    array = np.stack([patient.images[name] for name in ("t1", "t1ce", "flair", "t2")])
    header = nib.Nifti1Image(array[0], patient.affine).header
    return Volume(array, Grid(header, patient.affine, shape)), SCHEMES["brats2017"].masks(patient.label_map)


def test_denoising_leaves_brain_brain_and_background_background() -> None:
    volume, _ = _volume()
    plain, smooth = (prepare(volume, Preprocessing(5.0, denoise=on)) for on in (False, True))
    assert np.array_equal(plain.array == 0, smooth.array == 0)
    assert np.abs(np.diff(smooth.array, axis=1)).mean() < 0.9 * np.abs(np.diff(plain.array, axis=1)).mean()


def test_normalise_over_brain_voxels() -> None:
    volume, _ = _volume()
    found = normalise(volume.array)
    brain = volume.array != 0
    for channel, mask in zip(found, brain, strict=True):
        assert channel[mask].mean() == pytest.approx(0, abs=1e-5)
        assert channel[mask].std() == pytest.approx(1, abs=1e-5)
        assert not channel[~mask].any()


@pytest.mark.parametrize("spacing", [5.0, 4.0, 7.5, 10.0])
def test_there_and_back(spacing: float) -> None:
    volume, masks = _volume()
    prepared = prepare(volume, Preprocessing(spacing=spacing))
    there = prepared.masks_at_working_spacing(masks)
    assert there.shape[1:] == prepared.shape
    assert not (there[1:] & ~there[:-1]).any(), "nested masks must stay nested"
    back = prepared.restore(there.astype(np.float32)) >= 0.5
    assert back.shape == masks.shape
    dice = 2 * (back[0] & masks[0]).sum() / (back[0].sum() + masks[0].sum())
    assert dice == 1 if spacing == 5.0 else dice > 0.75


def test_anisotropic_and_turned_files_reach_the_same_grid() -> None:
    import nibabel as nib

    array = np.random.default_rng(0).random((4, 6, 8, 10)).astype(np.float32)
    affine = np.array([[0, 0, 3, 0], [1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]], float)
    grid = Grid(nib.Nifti1Header(), affine, (6, 8, 10))
    turned = grid.into_lps(array)
    assert turned.shape == (4, 10, 6, 8)
    assert grid.lps_spacing == (3, 1, 2)
    assert nib.aff2axcodes(grid.lps_affine) == ("L", "P", "S")
    assert np.array_equal(grid.from_lps(turned), array)
    assert prepare(Volume(turned, grid), Preprocessing(spacing=1.0)).shape == (30, 6, 16)


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
