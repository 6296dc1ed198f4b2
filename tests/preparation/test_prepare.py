"""From a volume to the array that networks see, and back."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage

from tunetseg.datasets import DatasetDescription, find_description
from tunetseg.datasets.phantom import make_for, make_nested, make_patient
from tunetseg.errors import InputError
from tunetseg.io import Grid, image_from_nibabel
from tunetseg.preparation import Preprocessing, Volume, prepare, stack_images
from tunetseg.preparation.prepare import foreground_mask, normalise
from tunetseg.preparation.resample import resample

BRATS = find_description("brats2020")
KITS = find_description("kits19")


def glioma(spacing: float = 5.0, shape: tuple[int, int, int] = (48, 48, 32)) -> tuple[Volume, np.ndarray]:
    """A volume and the masks of its regions."""
    patient = make_patient(0, shape=shape, spacing=spacing)
    grid = Grid(patient.affine, shape)
    array = np.stack([grid.to_lps(patient.images[name]) for name in BRATS.channel_names])
    return Volume(array, grid.in_lps(), grid), grid.to_lps(patient.scheme.masks(patient.label_map))


def kidney() -> tuple[Volume, np.ndarray]:
    patient = make_for("kits19", 0)
    grid = Grid(patient.affine, patient.label_map.shape)
    array = np.ascontiguousarray(grid.to_lps(patient.images["ct"][None]))
    return Volume(array, grid.in_lps(), grid), grid.to_lps(patient.scheme.masks(patient.label_map))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.mark.parametrize("spacing", [0.1, 25, float("nan")])
def test_a_spacing_that_makes_no_sense(spacing: float) -> None:
    with pytest.raises(InputError, match=r"working spacing .* must lie between 0\.2 and 20"):
        Preprocessing(spacing)


def test_zscore_over_the_foreground_of_each_channel() -> None:
    volume, _ = glioma()
    volume.array[2, :20] = 0  # one image of half a head
    found = normalise(volume.array, BRATS.channels, BRATS.foreground)
    for channel, mask in zip(found, volume.array != 0, strict=True):
        assert channel[mask].mean() == pytest.approx(0, abs=1e-5)
        assert channel[mask].std() == pytest.approx(1, abs=1e-5)
        assert not channel[~mask].any()


def test_zscore_over_what_lies_above_a_threshold() -> None:
    description = DatasetDescription.from_dict(
        {
            "name": "noisy",
            "channels": [{"name": "mr"}],
            "regions": [{"name": "r", "labels": [1]}],
            "foreground": {"kind": "above", "value": 50},
        }
    )
    array = np.random.default_rng(0).integers(0, 200, (1, 8, 8, 8)).astype(np.float32)
    found = normalise(array, description.channels, description.foreground)
    assert found[array > 50].mean() == pytest.approx(0, abs=1e-5)
    assert not found[array <= 50].any()
    nothing = normalise(np.zeros_like(array), description.channels, description.foreground)
    assert not nothing.any()


@given(st.lists(st.floats(-3000, 3000, width=32), min_size=1, max_size=30))
def test_clipping(values: list[float]) -> None:
    array = np.array(values, np.float32).reshape(1, -1, 1, 1)
    found = normalise(array, KITS.channels, KITS.foreground)
    assert found.dtype == np.float32
    assert found.ravel() == pytest.approx([(min(max(value, -79), 304) + 79) / 76.9 for value in values], abs=1e-4)
    assert not found[array <= -79].any(), "air and fat are 0"


def test_ct_is_cropped_to_the_body_and_its_air_is_0() -> None:
    volume, _ = kidney()
    body = foreground_mask(volume.array, KITS.foreground)
    assert np.array_equal(body, volume.array[0] > -500)
    prepared = prepare(volume, Preprocessing(8.0), KITS)
    beyond = np.ones(body.shape, bool)
    beyond[prepared.box] = False
    assert beyond.any()
    assert not body[beyond].any()
    assert prepared.array.min() == 0
    assert prepared.array.max() <= (304 + 79) / 76.9 + 1e-5
    # At the corners of the box lies air.
    assert not body[tuple(axis.start for axis in prepared.box)]
    assert prepared.array[0, 0, 0, 0] == 0


@pytest.mark.parametrize("description", [BRATS, KITS], ids=["nonzero", "above"])
def test_no_foreground(description: DatasetDescription) -> None:
    array = np.full((len(description.channels), 4, 4, 4), min(description.foreground.value, 0), np.float32)
    grid = Grid.from_spacing(1, (4, 4, 4))
    with pytest.raises(InputError, match="hold no foreground"):
        prepare(Volume(array, grid, grid), Preprocessing(), description)


def test_denoising_leaves_brain_brain_and_background_background() -> None:
    volume, _ = glioma()
    plain, smooth = (prepare(volume, Preprocessing(5.0, denoise=on), BRATS) for on in (False, True))
    assert np.array_equal(plain.array == 0, smooth.array == 0)
    assert np.abs(np.diff(smooth.array, axis=1)).mean() < 0.9 * np.abs(np.diff(plain.array, axis=1)).mean()


def test_denoising_ct_reaches_water() -> None:
    """A voxel of 0 HU is not background, and may be noise like any other."""
    array = np.full((1, 7, 7, 7), 100, np.float32)
    array[0, 3, 3, 3] = 0
    array[0, 0, 0, 0] = -1000
    grid = Grid.from_spacing(2, (7, 7, 7))
    prepared = prepare(Volume(array, grid, grid), Preprocessing(2.0, denoise=True), KITS)
    assert prepared.array[0, 3, 3, 3] == pytest.approx((100 + 79) / 76.9)
    assert prepared.array[0, 0, 0, 0] == 0, "air stays air"


@pytest.mark.parametrize("spacing", [5.0, 4.0, 7.5, 10.0])
def test_there_and_back(spacing: float) -> None:
    volume, masks = glioma()
    prepared = prepare(volume, Preprocessing(spacing), BRATS)
    there = prepared.masks_at_working_spacing(masks)
    assert there.shape[1:] == prepared.shape
    assert not (there[1:] & ~there[:-1]).any(), "nested masks must stay nested"
    back = prepared.restore(there.astype(np.float32)) >= 0.5
    assert back.shape == masks.shape
    assert dice(back[0], masks[0]) == 1 if spacing == 5.0 else dice(back[0], masks[0]) > 0.75


def test_anisotropic_ct_to_isotropic_spacing_and_back() -> None:
    volume, masks = kidney()
    assert volume.grid.spacing == (8, 8, 7)
    prepared = prepare(volume, Preprocessing(4.0), KITS)
    assert prepared.scale == pytest.approx((0.5, 0.5, 4 / 7))
    sides = [axis.stop - axis.start for axis in prepared.box]
    assert prepared.shape == (2 * sides[0], 2 * sides[1], int(np.ceil(sides[2] * 7 / 4 - 1e-3)))
    back = prepared.restore(prepared.masks_at_working_spacing(masks).astype(np.float32)) >= 0.5
    assert back.shape == masks.shape
    assert dice(back[0], masks[0]) > 0.9
    assert not back[:, : prepared.box[0].start].any()


def test_a_working_spacing_of_thin_slices() -> None:
    """1x1x5 mm to 2 mm: two axes are shrunk, one is stretched."""
    patient = make_nested(0, shape=(40, 40, 32), spacing=2.0)
    array = np.stack(list(patient.images.values()))[..., ::2]
    grid = Grid.from_spacing((2, 2, 4), array.shape[1:])
    description = DatasetDescription.from_dict(
        {
            "name": "onions",
            "channels": [{"name": "first"}, {"name": "second"}],
            "regions": [{"name": "r", "labels": [1]}],
        }
    )
    prepared = prepare(Volume(array, grid, grid), Preprocessing(3.0), description)
    assert prepared.scale == (1.5, 1.5, 0.75)
    sides = [axis.stop - axis.start for axis in prepared.box]
    assert prepared.shape == tuple(int(np.ceil(n * s / 3 - 1e-3)) for n, s in zip(sides, (2, 2, 4), strict=True))
    assert prepared.restore(prepared.array).shape == array.shape


@pytest.mark.parametrize("axes", ["RAS", "PIR", "SLA"])
def test_turned_files_give_the_same_array(axes: str) -> None:
    patient = make_patient(0, shape=(24, 24, 16), spacing=10.0)
    found = []
    for order in ("LPS", axes):
        images = {}
        for name, array in patient.images.items():
            image = nib.Nifti1Image(array, patient.affine)
            turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(order))
            images[name] = image_from_nibabel(image.as_reoriented(turn))
        found.append(prepare(stack_images(images, BRATS), Preprocessing(8.0), BRATS).array)
    assert np.array_equal(*found)


def test_a_spacing_is_only_as_exact_as_its_header() -> None:
    volume, _ = glioma()
    affine = np.diag([-5.00004, -5.0, 4.99996, 1.0])
    almost = Volume(volume.array, Grid(affine, volume.array.shape[1:]), volume.stored)
    prepared = prepare(almost, Preprocessing(5.0), BRATS)
    assert prepared.scale == (1, 1, 1)
    assert np.array_equal(prepared.array, prepare(volume, Preprocessing(5.0), BRATS).array)


def test_the_working_array_of_a_glioma_is_what_it_always_was() -> None:
    """Bit for bit as the first release computed it, on which the packaged weights were trained."""
    volume, _ = glioma(spacing=1.0, shape=(60, 56, 44))
    inside = volume.array != 0
    (box,) = ndimage.find_objects(np.any(inside, axis=0).astype(np.uint8))
    cropped = volume.array[(slice(None), *box)]
    expected = np.zeros(cropped.shape, np.float32)
    for channel, out in zip(cropped, expected, strict=True):
        brain = channel != 0
        values = channel[brain].astype(np.float64)
        out[brain] = (values - values.mean()) / (values.std() or 1.0)
    shape = tuple(-(-n // 2) for n in cropped.shape[1:])
    prepared = prepare(volume, Preprocessing(2.0), BRATS)
    assert prepared.box == box
    assert np.array_equal(prepared.array, resample(expected, (2.0, 2.0, 2.0), shape))


def test_a_working_grid_that_no_patient_needs() -> None:
    """Voxels of 5 mm in place of 1 mm made a grid of 7.9 GB; of 100 mm, 297 litres of tumour."""
    volume, _ = glioma()
    shape = volume.array.shape[1:]
    possible = "0.1 to 20 mm are possible"
    for size, fault in ((0.01, possible), (100.0, possible), (19.0, "no patient needs")):
        grid = Grid.from_spacing(size, shape)
        with pytest.raises(InputError, match=fault):
            prepare(Volume(volume.array, grid, grid), Preprocessing(0.2), BRATS)


def test_a_working_grid_that_memory_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    volume, _ = glioma()
    monkeypatch.setenv("TUNETSEG_MEMORY_GB", "0.05")
    with pytest.raises(InputError, match=r"resampling to 1 mm: needs about .* GB of memory; this machine has 0\.1"):
        prepare(volume, Preprocessing(1.0), BRATS)
