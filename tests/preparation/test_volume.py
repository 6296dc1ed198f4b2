"""The images of a case as one array: what does not belong together is refused."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.checks import check_volume
from tunetseg.datasets import Case, case_from_files, find_cases, find_description
from tunetseg.datasets.phantom import Phantom, write_patient
from tunetseg.errors import InputError
from tunetseg.io import Grid, Image, image_from_array, nifti, read_image
from tunetseg.preparation import read_volume, sparse, stack_images
from tunetseg.preparation.regrid import regrid

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


def test_a_shortage_of_memory_is_no_fault_of_a_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(sparse.mmap, "mmap", refuse)
    with pytest.raises(MemoryError, match=r"no memory for an array of shape \(4, 24, 24, 16\)"):
        read_volume(only_case(folder), BRATS)


def test_zeros_around_the_brain_are_zeros(folder: Path) -> None:
    for name in ("int16", "float32"):
        for path in folder.glob("*.nii.gz"):
            image = nib.load(path)
            nib.save(nib.Nifti1Image(np.asarray(image.dataobj).astype(name), image.affine), path)
        array = read_volume(only_case(folder), BRATS).array
        assert (array.dtype, array.flags.c_contiguous) == (np.float32, True)
        stored = read_image(t2(folder)).array
        assert np.array_equal(array[BRATS.channel_names.index("t2")], stored)
        assert not stored[0].any()


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
    with pytest.raises(InputError, match="no flair or t2 image; all of t1, t1ce, flair, t2 are needed"):
        stack_images({"t1": images["t1"], "t1ce": images["t1ce"]}, BRATS)
    with pytest.raises(InputError, match="t2 image: the same voxels as t1 image"):
        stack_images(images | {"t2": images["t1"]}, BRATS)
    moved = replace(images["t2"], stored=Grid(mri_patient.affine + np.eye(4, k=3) * 9, (24, 24, 16)))
    with pytest.raises(InputError, match="t2 image: lies up to 9 mm away from t1 image"):
        stack_images(images | {"t2": moved}, BRATS)


def other_grid(image: Image, spacing: float) -> Image:
    """The same patient with other voxels, in RAS order."""
    turned = nib.orientations.inv_ornt_aff([[0, -1], [1, -1], [2, 1]], image.grid.shape)
    sizes = spacing / np.array(image.grid.spacing)
    x, y, z = (int(length / size) for length, size in zip(image.grid.shape, sizes, strict=True))
    grid = Grid(image.grid.affine @ turned @ np.diag([*sizes, 1]), (x, y, z))
    return Image(regrid(image.array, image.grid, grid.in_lps(), masked=True), grid.in_lps(), grid)


def test_images_on_other_grids_are_brought_to_one(mri_patient: Phantom) -> None:
    images = {name: image_from_array(array, affine=mri_patient.affine) for name, array in mri_patient.images.items()}
    plain = stack_images(images, BRATS)
    assert (plain.reference, plain.regridded) == ("t1", ())
    apart = images | {"t1": other_grid(images["t1"], 6), "flair": other_grid(images["flair"], 12)}
    with pytest.raises(InputError, match="bring both to one grid first"):
        stack_images(apart, BRATS)
    volume = stack_images(apart, BRATS, grids="any")
    assert volume.reference == "t1ce"
    assert [one.channel for one in volume.regridded] == ["t1", "flair"]
    assert volume.stored.same_lattice(images["t1ce"].stored)
    for number in (1, 3):
        assert np.array_equal(volume.array[number], plain.array[number])
    for number in (0, 2):
        both = (volume.array[number] != 0) & (plain.array[number] != 0)
        assert both.sum() > 0.9 * (plain.array[number] != 0).sum()
        assert np.corrcoef(volume.array[number][both], plain.array[number][both])[0, 1] > 0.75
    glioma = find_description("glioma")
    assert "regridded" in [finding.code for finding in check_volume(volume, glioma)]
    onto = stack_images(apart, BRATS, grids="any", reference="flair")
    assert onto.stored.axes == "RAS"
    assert onto.grid.spacing == (12, 12, 12)
    with pytest.raises(InputError, match="reference 'ct': there is no such image"):
        stack_images(apart, BRATS, grids="any", reference="ct")


def test_other_grids_that_do_not_fit(mri_patient: Phantom) -> None:
    images = {name: image_from_array(array, affine=mri_patient.affine) for name, array in mri_patient.images.items()}
    affine = mri_patient.affine + np.eye(4, k=3) * 900
    far = image_from_array(mri_patient.images["t2"], affine=affine)
    with pytest.raises(InputError, match="t2 image: shows no place that t1ce image shows, though both have the shape"):
        stack_images(images | {"t2": far}, BRATS, grids="any")
    with pytest.raises(InputError, match=r"register one to the other, or check that both are of one patient"):
        stack_images(images | {"t2": other_grid(far, 12)}, BRATS, grids="any")
    tiny = image_from_array(mri_patient.images["t2"], affine=mri_patient.affine @ np.diag([1e-7, 1, 1, 1]))
    with pytest.raises(InputError, match=r"t2 image: voxels of .* mm, but 0\.1 to 20 mm are possible"):
        stack_images(images | {"t2": tiny}, BRATS, grids="any")
    unsaid = replace(other_grid(images["t2"], 12), oriented=False)
    with pytest.raises(InputError, match="t2 image: does not say how the patient lies"):
        stack_images(images | {"t2": unsaid}, BRATS, grids="any")


def test_other_grids_that_show_another_part(mri_patient: Phantom) -> None:
    images = {name: image_from_array(array, affine=mri_patient.affine) for name, array in mri_patient.images.items()}
    part = image_from_array(mri_patient.images["t2"][..., 7:], affine=mri_patient.affine @ translation(2, 7))
    findings = check_volume(stack_images(images | {"t2": part}, BRATS, grids="any"), find_description("glioma"))
    assert "partly-covered" in [finding.code for finding in findings]
    volume = stack_images(images | {"t1ce": part}, BRATS, grids="any")
    assert "outside-grid" in [finding.code for finding in check_volume(volume, find_description("glioma"))]


def translation(axis: int, voxels: int) -> np.ndarray:
    result = np.eye(4)
    result[axis, 3] = voxels
    return result
