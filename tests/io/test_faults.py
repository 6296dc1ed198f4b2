"""Bad input: one sentence that names file and fault."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import Case, case_from_files, find_cases
from tunetseg.datasets.phantom import make_patient, write_patient
from tunetseg.errors import InputError
from tunetseg.io.volume import read_image, read_label_map, read_volume


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_patient(make_patient(0, shape=(24, 24, 16), spacing=10), tmp_path / "cohort")


def only_case(folder: Path) -> Case:
    (case,) = find_cases(folder)
    return case


def rewrite(path: Path, change, affine: np.ndarray | None = None) -> None:
    image = nib.load(path)
    nib.save(
        nib.Nifti1Image(change(np.asarray(image.dataobj, np.float32)), image.affine if affine is None else affine), path
    )


def poisoned(value: float):
    def change(array: np.ndarray) -> np.ndarray:
        array[3, 4, 5] = value
        return array

    return change


def t2(folder: Path) -> Path:
    return next(folder.glob("*_t2.nii.gz"))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (poisoned(np.nan), "NaN or infinite"),
        (poisoned(np.inf), "NaN or infinite"),
        (np.zeros_like, "every voxel is zero"),
        (lambda array: np.float32(7) * (array != 0), "every voxel of the brain is 7"),
        (lambda array: array[:-1], "shape"),
        (lambda array: np.stack([array, array], -1), "4-D"),
        (lambda array: array[..., 0], "2-D"),
    ],
)
def test_bad_image(folder: Path, change, fault: str) -> None:
    rewrite(t2(folder), change)
    with pytest.raises(InputError, match=fault) as caught:
        read_volume(only_case(folder))
    assert "_t2.nii.gz" in str(caught.value)


def test_other_affine(folder: Path) -> None:
    rewrite(t2(folder), lambda array: array, np.diag([-10.0, -10, 10, 1]) + np.eye(4, k=3) * 5)
    with pytest.raises(InputError, match=r"_t2.*affine differs"):
        read_volume(only_case(folder))


def test_missing_modality(folder: Path) -> None:
    t2(folder).unlink()
    with pytest.raises(InputError, match="no t2 image"):
        read_volume(only_case(folder))


@pytest.mark.parametrize("keep", [10, 500, -20, -8, -1])
def test_truncated_gzip(folder: Path, keep: int) -> None:
    t2(folder).write_bytes(t2(folder).read_bytes()[:keep])
    with pytest.raises(InputError, match=r"_t2\.nii\.gz: "):
        read_volume(only_case(folder))


def test_flipped_bits(folder: Path) -> None:
    """The checksum of gzip tells what inflates without complaint."""
    whole = t2(folder).read_bytes()
    for place in range(len(whole) // 2, len(whole), max(1, len(whole) // 17)):
        t2(folder).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"_t2\.nii\.gz: "):
            read_volume(only_case(folder))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda raw: b"", "an empty file"),
        (gzip.decompress, r"not compressed; rename it to BraTS20_Training_000_t2\.nii"),
        (lambda raw: b"text", "not a NIfTI image"),
        (lambda raw: gzip.compress(_patched(raw, 70, 9999)), "damaged"),
        (lambda raw: gzip.compress(_patched(raw, 42, 32000)), "damaged"),
        (lambda raw: gzip.compress(_patched(raw, 122, 256)), "in meters"),
    ],
)
def test_odd_files(folder: Path, change, fault: str) -> None:
    t2(folder).write_bytes(change(t2(folder).read_bytes()))
    with pytest.raises(InputError, match=fault):
        read_volume(only_case(folder))


def _patched(raw: bytes, offset: int, value: int) -> bytes:
    """A NIfTI file with another 16-bit number in its header."""
    content = bytearray(gzip.decompress(raw))
    content[offset : offset + 2] = value.to_bytes(2, "little")
    return bytes(content)


def test_no_nifti(folder: Path) -> None:
    t2(folder).write_bytes(gzip.compress(b"hello" * 200))
    with pytest.raises(InputError, match="not a NIfTI"):
        read_volume(only_case(folder))


def test_modality_given_twice(folder: Path, tmp_path: Path) -> None:
    images = only_case(folder).images
    with pytest.raises(InputError, match="given as t1 and as t2"):
        case_from_files({**images, "t2": images["t1"]})
    copied = tmp_path / "copy.nii.gz"
    copied.write_bytes(images["t1"].read_bytes())
    with pytest.raises(InputError, match="same voxels"):
        read_volume(case_from_files({**images, "t2": copied}))
    nib.save(nib.load(t2(folder)), str(t2(folder)).removesuffix(".gz"))
    with pytest.raises(InputError, match="t2 is given twice"):
        only_case(folder).check()


def test_labels_that_no_year_has(folder: Path) -> None:
    from tunetseg.datasets import recognise_labels, scheme_named

    path = next(folder.glob("*_seg.nii.gz"))
    rewrite(path, poisoned(7))
    values = np.unique(read_label_map(path).array).tolist()
    with pytest.raises(InputError, match=r"\[7\]"):
        scheme_named("2020").check(values, str(path))
    with pytest.raises(InputError, match=r"\[7\]"):
        recognise_labels(values, str(path))
    rewrite(path, poisoned(0.5))
    with pytest.raises(InputError, match="no label"):
        read_label_map(path)
    least = np.zeros((4, 4, 4), np.int16)
    least[0] = -32768
    nib.save(nib.Nifti1Image(least, np.eye(4)), path)
    with pytest.raises(InputError, match="holds -32768, which is no label"):
        read_label_map(path)


def test_float32_labels_are_fine(folder: Path) -> None:
    path = next(folder.glob("*_seg.nii.gz"))
    before = read_label_map(path).array
    rewrite(path, lambda array: array.astype(np.float32))
    assert np.array_equal(read_label_map(path).array, before)


def test_no_cases(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no case found"):
        find_cases(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_cases(tmp_path / "nowhere")


def test_case_355_of_2020(tmp_path: Path) -> None:
    folder = write_patient(make_patient(0, shape=(24, 24, 16), spacing=10), tmp_path, number=355)
    next(folder.glob("*_seg.nii.gz")).rename(folder / "W39_1998.09.19_Segm.nii.gz")
    assert only_case(tmp_path).segmentation == folder / "W39_1998.09.19_Segm.nii.gz"


@pytest.mark.parametrize("kind", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_colours_and_complex_numbers_are_refused(folder: Path, kind: np.dtype) -> None:
    image = nib.load(t2(folder))
    nib.save(nib.Nifti1Image(np.zeros(image.shape, kind), image.affine), t2(folder))
    for read in (lambda: read_volume(only_case(folder)), lambda: read_label_map(t2(folder))):
        with pytest.raises(InputError, match=r"_t2\.nii\.gz: its voxels are colours or complex"):
            read()


@pytest.mark.parametrize("ending", [".hdr", ".nii.bz2", ".nii"])
def test_other_endings_are_read(folder: Path, tmp_path: Path, ending: str) -> None:
    image = nib.load(t2(folder))
    kind = nib.Nifti1Pair if ending == ".hdr" else nib.Nifti1Image
    path = tmp_path / f"copy{ending}"
    nib.save(kind(np.asarray(image.dataobj), image.affine, image.header), path)
    places = [path, path.with_suffix(".img")] if ending == ".hdr" else [path]
    for place in places:
        assert np.array_equal(read_image(place)[0], np.asarray(image.dataobj, np.float32))
