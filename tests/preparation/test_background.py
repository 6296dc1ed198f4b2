"""What of a volume is background."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tunetseg.datasets.phantom import make_patient
from tunetseg.preparation.background import clean


@pytest.fixture(scope="module")
def plain() -> NDArray[np.float32]:
    """A patient of 3 mm; background 0."""
    patient = make_patient(1, shape=(80, 80, 52), spacing=3.0)
    return np.stack([np.asarray(image, np.float32) for image in patient.images.values()])


def overlap(array: NDArray, plain: NDArray) -> float:
    one, two = array != 0, plain != 0
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


def test_a_background_of_zero_changes_nothing(plain: NDArray[np.float32]) -> None:
    result, found = clean(plain)
    assert result is plain
    assert {one.kind for one in found} == {"zero"}


def test_normalised_images_with_a_background_of_zero(plain: NDArray[np.float32]) -> None:
    given = plain.copy()
    for image in given:
        image[image != 0] -= image[image != 0].mean()
    result, found = clean(given)
    assert result is given
    assert {one.kind for one in found} == {"zero"}


@pytest.mark.parametrize("level", [10.0, -9.0, -1000.0])
def test_a_constant_background(level: float, plain: NDArray[np.float32]) -> None:
    result, found = clean(plain + np.float32(level))
    assert {(one.kind, one.level) for one in found} == {("constant", level)}
    assert np.array_equal(result != 0, plain != 0)
    assert result == pytest.approx(plain, abs=1e-3)


def test_one_channel_of_another_background(plain: NDArray[np.float32]) -> None:
    given = plain.copy()
    given[1] += 7
    result, found = clean(given)
    assert [one.kind for one in found] == ["zero", "constant", "zero", "zero"]
    assert result == pytest.approx(plain, abs=1e-3)
    assert np.array_equal(result != 0, plain != 0)


@pytest.mark.parametrize("whole", [False, True])
def test_ringing(whole: bool, plain: NDArray[np.float32]) -> None:
    given = np.stack([ndimage.shift(image, 0.4, order=3, mode="constant") for image in plain])
    given = np.rint(given) if whole else given
    assert overlap(given, plain) < 0.9
    result, _ = clean(given)
    moved = np.stack([ndimage.shift(image, 0.4, order=1, mode="constant") for image in plain])
    assert overlap(result, np.where(moved > 0.05 * moved.max(), moved, 0)) > 0.95


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_noise(share: float, plain: NDArray[np.float32]) -> None:
    random = np.random.default_rng(0)
    given = plain.copy()
    for image in given:
        outside = (image == 0) & (random.random(image.shape) < share)
        image[outside] = np.hypot(*random.normal(0, 0.02 * image.max(), (2, int(outside.sum()))))
    result, found = clean(given)
    assert {one.kind for one in found} == {"noise"}
    assert overlap(result, plain) > 0.95


def test_no_background_at_all(plain: NDArray[np.float32]) -> None:
    inner = np.ascontiguousarray(plain[:, 32:48, 32:48, 20:32])
    result, found = clean(inner)
    assert np.array_equal(result, inner)
    assert {one.kind for one in found} == {"none"}


def test_a_single_damaged_voxel_is_limited(plain: NDArray[np.float32]) -> None:
    given = plain.copy()
    given[2, 40, 40, 26] = 1e7
    result, found = clean(given)
    assert [one.spikes for one in found] == [0, 0, 1, 0]
    assert result[2].max() <= plain[2].max()
    assert np.array_equal(result[[0, 1, 3]], plain[[0, 1, 3]])
    assert given[2, 40, 40, 26] == 1e7, "the array that is given stays"
