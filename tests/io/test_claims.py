"""Images that ask for the impossible are refused before memory is taken; what is not a file is not waited for."""

import gzip
import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.io import read_image, read_label_map
from tunetseg.io.bounded import check_file, open_file, parse_json, read_csv, read_text, read_toml
from tunetseg.limits import LIMITS


def header(shape: tuple[int, ...], kind: type[np.generic] = np.float32) -> bytes:
    """First 352 bytes of a NIfTI file."""
    made = nib.Nifti1Header()
    made.set_data_dtype(kind)
    made.set_data_shape(shape)
    made.set_sform(np.eye(4), 1)
    made["magic"], made["vox_offset"] = b"n+1", 352
    return made.binaryblock + b"\0" * 4


def refused(path: Path, fault: str, most: float = 64e6) -> None:
    """Check that an image is refused with one sentence, and how much memory Python took for that."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=fault) as caught:
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("shape", "kind", "fault"),
    [
        ((1500, 1000, 1000), np.float32, "asks for .* voxels, more than any image has"),
        ((32767, 32767, 1), np.float64, "asks for .* voxels, more than any image has"),
        ((800, 800, 600), np.uint8, "damaged or cut off, 352 bytes where its header announces 384000352"),
    ],
)
def test_a_header_that_claims_more_than_the_file_holds(
    packed: bool, shape: tuple[int, ...], kind: type[np.generic], fault: str, tmp_path: Path
) -> None:
    """An 83-byte file took 5.9 GB before it was called damaged."""
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(header(shape, kind)) if packed else header(shape, kind))
    refused(path, fault)


def test_a_file_that_unpacks_to_more_than_its_header_says(tmp_path: Path) -> None:
    """2.9 MB of compressed zeros after a right image took 6.6 GB and were accepted."""
    whole = header((8, 8, 8)) + np.ones(512, np.float32).tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(whole) + gzip.compress(bytes(1 << 20), 1) * 200)
    refused(tmp_path / "a.nii.gz", "larger than the 2400 bytes that its header announces")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(whole + bytes(16)))
    assert read_image(tmp_path / "a.nii.gz").array.shape == (8, 8, 8), "some programs pad"


def test_an_image_that_is_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNETSEG_MEMORY_GB", "0.1")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(header((400, 400, 400)) + bytes(4 * 400**3), 1))
    refused(tmp_path / "a.nii.gz", r"needs about 0\.8 GB of memory; this machine has 0\.1")


@pytest.mark.parametrize("name", ["a.mgz", "a.mha", "a.nrrd"])
def test_claims_of_other_formats(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "a.mgz":
        path.write_bytes(gzip.compress(struct.pack(">7i", 1, 2000, 2000, 2000, 1, 3, 0) + bytes(300)))
    else:
        pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
        path.write_text(
            "ObjectType = Image\nNDims = 3\nDimSize = 700 700 700\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n"
            if name == "a.mha"
            else "NRRD0004\ntype: float\ndimension: 3\nsizes: 700 700 700\nencoding: raw\nendian: little\n\n"
        )
    refused(path, "voxels, which no image has|damaged or cut off")


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_a_header_by_which_itk_crashes(name: str, tmp_path: Path) -> None:
    """A segmentation fault, which ends the program without a word."""
    pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    field = b"dimension: " if "hdr" in name or "nrrd" in name else b"NDims = "
    first = b"NRRD0004\ntype: short\n" if "hdr" in name or "nrrd" in name else b"ObjectType = Image\n"
    (tmp_path / name).write_bytes(first + field + b"[" * 20_000 + b"\nsizes: 6 8 10\n\n" + bytes(960))
    refused(tmp_path / name, "its header has a line of 200")
    for dimensions in (b"9" * 40, b"11", b"-1", b"nan", b""):
        (tmp_path / name).write_bytes(first + field + dimensions + b"\nsizes: 6 8 10\n\n" + bytes(960))
        refused(tmp_path / name, "no number of dimensions from 1 to 4")


def test_an_mgh_file_shorter_than_its_header(tmp_path: Path) -> None:
    """What nibabel raises for it is a TypeError."""
    (tmp_path / "a.mgz").write_bytes(gzip.compress(struct.pack(">7i", 1, 20, 20, 20, 1, 3, 0) + bytes(50)))
    refused(tmp_path / "a.mgz", "damaged or cut off")


def test_an_nrrd_that_unpacks_to_more_than_its_header_says(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    text = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 8 8 8\nencoding: gzip\nendian: little\n\n"
    (tmp_path / "a.nrrd").write_bytes(text + gzip.compress(bytes(1 << 20), 1) * 200)
    refused(tmp_path / "a.nrrd", "larger than the 512 bytes that its header announces")


def test_a_header_that_contradicts_itself(tmp_path: Path) -> None:
    raw = bytearray(header((4, 4, 4)) + bytes(256))
    raw[72:74] = struct.pack("<h", 8)
    (tmp_path / "a.nii").write_bytes(raw)
    refused(tmp_path / "a.nii", "its header says 8 bits per voxel, but float32 has 32")


def test_a_type_that_is_smaller_than_the_voxels(tmp_path: Path) -> None:
    """Voxels of another type were read from a file that is longer than its header says."""
    raw = bytearray(header((24, 24, 16)) + bytes(4 * 24 * 24 * 16))
    raw[70:74] = struct.pack("<hh", 2, 8)
    (tmp_path / "a.nii").write_bytes(raw)
    refused(tmp_path / "a.nii", "larger than the 9568 bytes that its header announces")


@pytest.mark.parametrize("factor", [0.05, 25.0, 1e30])
def test_label_maps_of_impossible_voxels(factor: float, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.diag([factor, factor, factor, 1])), tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"a\.nii: voxels of .* mm, but 0\.1 to 20 mm are possible|cannot be inverted"):
        read_label_map(tmp_path / "a.nii")


def test_an_extreme_shear(tmp_path: Path) -> None:
    """nibabel finds no order of axes in it, and the sentence was one of NumPy."""
    affine = np.array([[1, 1e17, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), affine), tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"a\.nii: .*axes have no direction"):
        read_image(tmp_path / "a.nii")


@pytest.mark.parametrize(("shift", "code", "warned"), [(0.5, 1, False), (5.0, 1, True), (5.0, 4, False)])
def test_two_affines_that_contradict_each_other(
    shift: float, code: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One may be the scanner's and the other an atlas'; two of the same kind must agree."""
    image = nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4))
    moved = np.eye(4)
    moved[0, 3] = shift
    image.set_qform(moved, 1)
    image.set_sform(np.eye(4), code)
    nib.save(image, tmp_path / "a.nii")
    assert np.array_equal(read_image(tmp_path / "a.nii").stored.affine, np.eye(4))
    assert ("a.nii: its qform and its sform place the voxels up to 5 mm apart" in caplog.text) == warned


def test_nibabel_says_nothing_of_what_it_mends(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    raw = bytearray(header((4, 4, 4)) + bytes(256))
    raw[252:254] = struct.pack("<h", 99)
    (tmp_path / "a.nii").write_bytes(raw)
    read_image(tmp_path / "a.nii")
    assert capfd.readouterr().err == ""


# What is not a file


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (_pipe, "is a pipe, not a file"),
        (_loop, "is a link that leads to itself"),
        (_device, "is a device, not a file"),
        (Path.mkdir, "is a folder, not a file"),
        (lambda path: None, "there is no such file"),
    ],
)
@pytest.mark.parametrize("read", [open_file, check_file, read_text, read_csv, read_toml, read_image])
def test_what_is_not_a_file(
    make: Callable[[Path], None], fault: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    """A pipe without writer was waited for without end, and /dev/zero took 6.9 GB."""
    path = tmp_path / "a.nii"
    make(path)
    if read is read_image and make is Path.mkdir:
        pytest.skip("a folder may be one of DICOM files")
    began = time.monotonic()
    with pytest.raises(InputError, match=rf"a\.nii: {fault}"):
        read(path)
    assert time.monotonic() - began < 5


def test_names_that_no_file_system_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the name is longer than file systems allow"):
        read_image(tmp_path / ("n" * 300 + ".nii"))
    with pytest.raises(InputError, match="cannot be read"):
        read_text("a\0b")


# Texts


def test_a_text_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(LIMITS.text_bytes + 1)
    with pytest.raises(InputError, match=r"a\.txt: is larger than 64 MiB"):
        read_text(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"a\.txt: is not a text file in UTF-8"):
        read_text(tmp_path / "a.txt")


def test_json_that_nothing_means() -> None:
    assert parse_json(b'{"a": [1, -2.5, 18446744073709551615]}') == {"a": [1, -2.5, 2**64 - 1]}
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)
    for number in ("9" * 400, "9" * 5000, str(2**64)):
        with pytest.raises(ValueError, match="more than 64 bits"):
            parse_json(f'{{"a": {number}}}')


def test_toml_that_nothing_means(tmp_path: Path) -> None:
    for text, fault in (("a = " + "9" * 400, "more than 64 bits"), ("a = " + "[" * 50_000, "nested too deeply")):
        (tmp_path / "a.toml").write_text(text)
        with pytest.raises(InputError, match=rf"a\.toml: invalid TOML \(.*{fault}"):
            read_toml(tmp_path / "a.toml")


def test_tables_whose_rows_differ(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("case,dice\r\na,0.5\r\n\r\nb,1\n")
    assert read_csv(path) == (["case", "dice"], [{"case": "a", "dice": "0.5"}, {"case": "b", "dice": "1"}])
    for text in ("case,dice\na,0.5\nb", "case,dice\na,0.5\nb,1,2\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"a\.csv: row 2 has \d cells, but there are 2 columns"):
            read_csv(path)
