"""The images of a case as one array: what does not belong together is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import Case, case_from_files, find_cases, find_description
from tunetseg.datasets.phantom import Phantom, write_patient
from tunetseg.errors import InputError
from tunetseg.io import Grid, image_from_array, nifti
from tunetseg.preparation import read_volume, stack_images

BRATS = find_description("brats2020")
KITS = find_description("kits19")


@pytest.fixture
def folder(tmp_path: Path, mri_patient: Phantom) -> Path:
    return write_patient(mri_patient, tmp_path / "cohort")


def only_case(folder: Path) -> Case:
    (case,) = find_cases(folder)
    return case


def t2(folder: Path) -> Path:
    return next(folder.glob("*_t2.nii.gz"))


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None) -> None:
    image = nib.load(path)
    array = change(np.asarray(image.dataobj, np.float32))
    nib.save(nib.Nifti1Image(array, image.affine if affine is None else affine), path)


def test_channels_in_the_order_of_the_description(folder: Path, mri_patient: Phantom) -> None:
    volume = read_volume(only_case(folder), BRATS)
    assert volume.array.dtype == np.float32
    assert volume.array.flags.c_contiguous
    assert volume.grid.axes == "LPS"
    for channel, array in zip(BRATS.channel_names, volume.array, strict=True):
        assert np.array_equal(array, Grid(mri_patient.affine, array.shape).to_lps(np.rint(mri_patient.images[channel])))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (np.zeros_like, "every voxel is zero; the t2 image is missing its content"),
        (lambda array: np.full_like(array, 7), "every voxel is 7"),
        (lambda array: np.float32(7) * (array != 0), "every voxel of the brain is 7; the t2 image shows nothing"),
        (lambda array: array[:-1], r"shape \(23, 24, 16\), but .*_t1\.nii\.gz has \(24, 24, 16\); bring both"),
        (lambda array: array * np.nan, "NaN or infinite"),
        (lambda array: np.stack([array, array], -1), "4-D"),
    ],
)
def test_an_image_that_shows_nothing_or_does_not_fit(
    folder: Path, change: Callable[[np.ndarray], np.ndarray], fault: str
) -> None:
    rewrite(t2(folder), change)
    with pytest.raises(InputError, match=fault) as caught:
        read_volume(only_case(folder), BRATS)
    assert str(caught.value).startswith(str(t2(folder)))


def test_an_image_that_lies_elsewhere(folder: Path) -> None:
    affine = nib.load(t2(folder)).affine + np.eye(4, k=3) * 5
    rewrite(t2(folder), lambda array: array, affine)
    with pytest.raises(InputError, match=r"_t2\.nii\.gz: lies up to 5 mm away from .*_t1\.nii\.gz"):
        read_volume(only_case(folder), BRATS)


def test_a_missing_channel(folder: Path) -> None:
    t2(folder).unlink()
    with pytest.raises(InputError, match="no t2 image"):
        read_volume(only_case(folder), BRATS)


def test_the_same_image_twice(folder: Path, tmp_path: Path) -> None:
    images = only_case(folder).images
    copied = tmp_path / "copy.nii.gz"
    copied.write_bytes(images["t1"].read_bytes())
    with pytest.raises(InputError, match=r"copy\.nii\.gz: the same voxels as .*_t1\.nii\.gz; t2 and t1 must differ"):
        read_volume(case_from_files({**images, "t2": copied}, BRATS), BRATS)


@pytest.mark.parametrize("axes", ["RAS", "PIR", "SAL"])
def test_files_in_different_orders_of_axes(folder: Path, axes: str) -> None:
    before = read_volume(only_case(folder), BRATS)
    image = nib.load(t2(folder))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes))
    nib.save(image.as_reoriented(turn), t2(folder))
    after = read_volume(only_case(folder), BRATS)
    assert np.array_equal(after.array, before.array)
    assert after.stored.axes == before.stored.axes, "results are written as the first file is"
    t1 = next(folder.glob("*_t1.nii.gz"))
    nib.save(nib.load(t1).as_reoriented(turn), t1)
    turned = read_volume(only_case(folder), BRATS)
    assert np.array_equal(turned.array, before.array)
    assert turned.stored.axes == axes


def test_a_case_in_one_4d_file(tmp_path: Path, mri_patient: Phantom, monkeypatch: pytest.MonkeyPatch) -> None:
    write_patient(mri_patient, tmp_path / "msd", dataset="msd")
    write_patient(mri_patient, tmp_path / "brats")
    apart = read_volume(only_case(tmp_path / "brats"), BRATS)
    seen = []
    inflate = nifti.inflate
    monkeypatch.setattr(nifti, "inflate", lambda file: seen.append(file) or inflate(file))
    together = read_volume(only_case(tmp_path / "msd"), find_description("msd"))
    assert np.array_equal(together.array, apart.array)
    assert len(seen) == 1, "decompressed once, not once per channel"
    assert together.stored.affine == pytest.approx(apart.stored.affine)


def test_ct(ct_cohort: Path) -> None:
    case = find_cases(ct_cohort)[0]
    volume = read_volume(case, KITS)
    assert volume.array.shape == (1, 48, 36, 28)
    assert volume.stored.axes == "IPL"
    assert volume.grid.spacing == (8, 8, 7)
    assert volume.array.min() < -900, "air"


def test_a_constant_ct(ct_cohort: Path) -> None:
    image = image_from_array(np.full((4, 4, 4), -1000), spacing=1)
    with pytest.raises(InputError, match="ct image: every voxel is -1000; the ct image is missing its content"):
        stack_images({"ct": image}, KITS)
    # In CT, 0 is water and not background.
    water = image_from_array(np.where(np.arange(64).reshape(4, 4, 4) < 32, 0, 5), spacing=1)
    assert stack_images({"ct": water}, KITS).array.max() == 5


def test_images_in_memory(mri_patient: Phantom) -> None:
    images = {name: image_from_array(array, affine=mri_patient.affine) for name, array in mri_patient.images.items()}
    assert stack_images(images, BRATS).array.shape == (4, 24, 24, 16)
    with pytest.raises(InputError, match="no flair and no t2 image; all of t1, t1ce, flair, t2 are needed"):
        stack_images({"t1": images["t1"], "t1ce": images["t1ce"]}, BRATS)
    with pytest.raises(InputError, match="t2 image: the same voxels as t1 image"):
        stack_images(images | {"t2": images["t1"]}, BRATS)
    moved = replace(images["t2"], stored=Grid(mri_patient.affine + np.eye(4, k=3) * 9, (24, 24, 16)))
    with pytest.raises(InputError, match="t2 image: lies up to 9 mm away from t1 image"):
        stack_images(images | {"t2": moved}, BRATS)
