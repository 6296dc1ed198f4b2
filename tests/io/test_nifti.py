"""NIfTI files: faults are one sentence that names file and fault; what is written holds nothing of what was read."""

import gzip
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.io import (
    Grid,
    image_from_array,
    image_from_nibabel,
    labels_of,
    nifti,
    read_image,
    read_label_map,
    read_volumes,
    write_image,
)
from tunetseg.io.nifti import was_written_here

AFFINE = np.array([[0, 0, 3, 5], [1, 0, 0, 6], [0, -2, 0, 7], [0, 0, 0, 1]], float)
VALUES = np.random.default_rng(0).integers(0, 900, (6, 8, 10)).astype(np.int16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An image of int16 with axes towards anterior, inferior and right."""
    target = tmp_path / "p_t2.nii.gz"
    nib.save(nib.Nifti1Image(VALUES, AFFINE), target)
    return target


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray = AFFINE) -> None:
    nib.save(nib.Nifti1Image(change(VALUES.astype(np.float32)), affine), path)


def with_value(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[3, 4, 5] = value
        return array

    return change


def patched(raw: bytes, offset: int, value: int) -> bytes:
    """A NIfTI file with another 16-bit number in its header."""
    content = bytearray(gzip.decompress(raw))
    content[offset : offset + 2] = value.to_bytes(2, "little")
    return gzip.compress(bytes(content))


def test_in_memory_an_image_lies_along_lps(path: Path) -> None:
    image = read_image(path)
    assert image.array.dtype == np.float32
    assert (image.grid.axes, image.stored.axes) == ("LPS", "AIR")
    assert image.array.shape == image.grid.shape == (10, 6, 8)
    assert np.array_equal(image.stored.from_lps(image.array), VALUES)
    assert image.grid.spacing == (3, 1, 2)
    assert image.oriented
    assert read_image(path, dtype=None).array.dtype == np.int16
    assert np.array_equal(image_from_nibabel(nib.load(path)).array, image.array)
    assert np.array_equal(image_from_array(VALUES, affine=AFFINE).array, image.array)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (with_value(np.nan), "holds 1 voxels that are NaN or infinite"),
        (with_value(np.inf), "NaN or infinite"),
        (lambda array: np.stack([array, array], -1), "4-D of shape"),
        (lambda array: array[..., 0], "2-D"),
        (lambda array: array.astype(np.float64) * 1e300, "beyond float32"),
    ],
)
def test_values_that_cannot_be_used(path: Path, change: Callable[[np.ndarray], np.ndarray], fault: str) -> None:
    rewrite(path, change)
    with pytest.raises(InputError, match=fault) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(InputError, match=fault):
        image_from_nibabel(nib.load(path))


@pytest.mark.parametrize("keep", [10, 500, -20, -8, -1])
def test_a_file_that_is_cut_off(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"_t2\.nii\.gz: "):
        read_image(path)


def test_flipped_bits(path: Path) -> None:
    """The checksum of gzip finds what decompresses without complaint."""
    whole = path.read_bytes()
    for place in range(len(whole) // 2, len(whole), max(1, len(whole) // 17)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"_t2\.nii\.gz: "):
            read_image(path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda raw: b"", "an empty file"),
        (gzip.decompress, r"not compressed; rename it to p_t2\.nii"),
        (lambda raw: b"text", "not a NIfTI image"),
        (lambda raw: gzip.compress(b"hello" * 200), "not a NIfTI image"),
        (lambda raw: patched(raw, 70, 9999), "damaged"),  # type of the voxels
        (lambda raw: patched(raw, 42, 32000), "damaged"),  # voxels along x
        (lambda raw: patched(raw, 42, 0), "empty, its shape is"),
        (lambda raw: patched(raw, 110, 0), "the voxels begin at byte 0, before 352"),
        (lambda raw: patched(raw, 122, 256), "measures voxels in meters"),
    ],
)  # fmt: skip
def test_odd_files(path: Path, change: Callable[[bytes], bytes], fault: str) -> None:
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=fault) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")


def with_fields(pair: bool, **fields: object) -> dict[str, bytes]:
    """Header and voxels of an image, with fields that nibabel would not write."""
    image = (nib.Nifti1Pair if pair else nib.Nifti1Image)(VALUES, AFFINE)
    files = {kind: BytesIO() for kind in (("header", "image") if pair else ("image",))}
    for kind, file in files.items():
        image.file_map[kind].fileobj = file
    image.to_file_map()
    header = image.header.copy()
    header["vox_offset"] = 0 if pair else 352
    for name, value in fields.items():
        header[name] = value
    content = {kind: file.getvalue() for kind, file in files.items()}
    first = "header" if pair else "image"
    return content | {first: header.binaryblock + content[first][348:]}


SIZES = np.array([1, 3, 1, 2, 0, 0, 0, 0], np.float32)
NO_SIZE, TURNED = SIZES * [1, 1, 0, 1, 1, 1, 1, 1], SIZES * [1, -1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"sform_code": 100}, "its header's sform_code is 100, which NIfTI does not define"),
        ({"sform_code": -1}, "sform_code is -1"),
        ({"sform_code": 0, "qform_code": 512}, "qform_code is 512"),
        ({"sform_code": 0, "qform_code": 1, "pixdim": NO_SIZE}, "its header gives voxels of 3 x 0 x 2 mm"),
        ({"sform_code": 0, "qform_code": 0, "pixdim": TURNED}, "its header gives voxels of -3 x 1 x 2 mm"),
    ],
)
def test_a_header_that_leaves_the_place_open(tmp_path: Path, pair: bool, fields: dict, fault: str) -> None:
    """nibabel would take another affine, or voxels of 1 mm, and log a line without the name of the file."""
    for kind, content in with_fields(pair, **fields).items():
        (tmp_path / {"header": "p.hdr", "image": "p.img" if pair else "p.nii"}[kind]).write_bytes(content)
    with pytest.raises(InputError, match=fault) as caught:
        read_image(tmp_path / ("p.hdr" if pair else "p.nii"))
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize("fields", [{"qform_code": 512}, {"pixdim": NO_SIZE}, {"pixdim": TURNED}])
def test_damaged_fields_that_do_not_count(
    path: Path, fields: dict, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(gzip.compress(with_fields(False, **fields)["image"]))
    image = read_image(path)
    assert np.allclose(image.stored.affine, AFFINE)
    assert np.array_equal(image.stored.from_lps(image.array), VALUES)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_compressed_file_that_is_not_named_so(path: Path) -> None:
    wrong = path.rename(path.with_suffix(""))
    with pytest.raises(InputError, match=r"p_t2\.nii: is compressed; rename it to p_t2\.nii\.gz"):
        read_image(wrong)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_image(tmp_path / "gone.nii.gz")
    with pytest.raises(InputError, match="DICOM"):  # a folder is read as a series
        read_image(tmp_path)


def test_an_affine_without_a_place(path: Path) -> None:
    image = nib.Nifti1Image(VALUES, AFFINE)
    image.header["srow_x"], image.header["qform_code"] = 0, 0
    image.header["sform_code"] = 1
    raw = image.to_bytes()
    path.write_bytes(gzip.compress(raw[:280] + bytes(16) + raw[296:]))
    with pytest.raises(InputError, match=r"_t2\.nii\.gz: the affine cannot be inverted"):
        read_image(path)


def test_another_format(tmp_path: Path) -> None:
    path = tmp_path / "brain.mgz"
    nib.save(nib.MGHImage(VALUES, AFFINE), path)
    expected = image_from_array(VALUES, affine=AFFINE)
    for image in (read_image(path), image_from_nibabel(nib.load(path))):
        assert np.array_equal(image.array, expected.array)
        assert image.grid.same_lattice(expected.grid)
    disguised = tmp_path / "brain.nii.gz"
    disguised.write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="not a NIfTI image"):
        read_image(disguised)


@pytest.mark.parametrize("kind", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_colours_and_complex_numbers(path: Path, kind: np.dtype) -> None:
    nib.save(nib.Nifti1Image(np.zeros(VALUES.shape, kind), AFFINE), path)
    for read in (read_image, read_label_map, lambda path: image_from_nibabel(nib.load(path))):
        with pytest.raises(InputError, match=r"_t2\.nii\.gz: holds colours or complex numbers"):
            read(path)


@pytest.mark.parametrize("ending", [".hdr", ".nii.bz2", ".nii"])
def test_other_endings(path: Path, tmp_path: Path, ending: str) -> None:
    kind = nib.Nifti1Pair if ending == ".hdr" else nib.Nifti1Image
    copy = tmp_path / f"copy{ending}"
    nib.save(kind(VALUES, AFFINE), copy)
    for place in [copy, copy.with_suffix(".img")] if ending == ".hdr" else [copy]:
        assert np.array_equal(read_image(place).array, read_image(path).array)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint16, np.float64, np.dtype(">i2")])
def test_types_of_voxels(path: Path, kind: np.dtype) -> None:
    values = (VALUES % 200).astype(kind)
    nib.save(nib.Nifti1Image(values, AFFINE), path)
    assert np.array_equal(read_image(path).stored.from_lps(read_image(path).array), VALUES % 200)
    nib.save(nib.Nifti2Image(values, AFFINE), path)
    assert np.array_equal(read_image(path).stored.from_lps(read_image(path).array), VALUES % 200)


# Several volumes


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize(("slope", "inter"), [(2.5, 0), (11.7727, -3.1), (1, 5), (-0.001, 7), (1e30, 1e38)])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2"])
def test_scaled_integers_have_the_values_of_nibabel(
    tmp_path: Path, kind: str, slope: float, inter: float, endian: str
) -> None:
    limits = np.iinfo(kind)
    stored = np.random.default_rng(1).integers(limits.min, limits.max + 1, (7, 6, 5)).astype(kind)
    header = nib.Nifti1Header(endianness=endian)
    header.set_data_dtype(kind)
    image = nib.Nifti1Image(stored, np.diag([-1, -1, 1, 1]), header)
    path = tmp_path / "p_t2.nii"
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, inter], f"{endian}f4").tobytes()
    path.write_bytes(content)
    expected = np.asarray(nib.load(path).dataobj, np.float32)
    assert np.array_equal(read_image(path).array, expected)
    (volume,) = read_volumes(path, [None])
    assert np.array_equal(volume.array, expected)
    assert volume.array.dtype == np.float32


@pytest.fixture
def four(tmp_path: Path) -> Path:
    path = tmp_path / "four.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([VALUES + n for n in range(4)], -1), AFFINE), path)
    return path


def test_volumes_of_a_4d_file(four: Path) -> None:
    for n in range(4):
        image = read_image(four, volume=n)
        assert np.array_equal(image.stored.from_lps(image.array), VALUES + n)
        assert image.stored.shape == VALUES.shape
    with pytest.raises(InputError, match=r"four\.nii\.gz: has 4 volume\(s\), so there is no volume 4, counted from 0"):
        read_image(four, volume=4)
    with pytest.raises(InputError, match="no volume -1"):
        read_image(four, volume=-1)
    with pytest.raises(InputError, match=r"4-D of shape \(6, 8, 10, 4\); one 3-D volume per file is needed"):
        read_image(four)


def test_a_4d_file_is_decompressed_once(four: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    inflate = nifti.inflate
    monkeypatch.setattr(nifti, "inflate", lambda file: seen.append(file) or inflate(file))
    images = read_volumes(four, [2, 0])
    assert len(seen) == 1
    assert np.array_equal(images[0].array - 2, images[1].array)


def test_a_volume_of_a_3d_file(path: Path) -> None:
    assert np.array_equal(read_image(path, volume=0).array, read_image(path).array)
    with pytest.raises(InputError, match=r"has 1 volume\(s\), so there is no volume 2"):
        read_image(path, volume=2)


def test_a_4d_file_that_is_cut_off(four: Path) -> None:
    plain = four.with_suffix("")
    plain.write_bytes(gzip.decompress(four.read_bytes())[:-1000])
    for volume in (0, 3):
        with pytest.raises(InputError, match=r"four\.nii: damaged or cut off"):
            read_image(plain, volume=volume)


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
def test_trailing_axes_of_one(path: Path, extra: tuple[int, ...]) -> None:
    before = read_image(path).array
    nib.save(nib.Nifti1Image(VALUES.reshape(*VALUES.shape, *extra), AFFINE), path)
    assert np.array_equal(read_image(path).array, before)


# Label maps


def test_labels_stored_as_floats(path: Path) -> None:
    rewrite(path, lambda array: (array % 5).astype(np.float32))
    labels = read_label_map(path)
    assert labels.array.dtype == np.uint8
    assert np.array_equal(labels.stored.from_lps(labels.array), VALUES % 5)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [(0.5, np.float32, "0.5"), (-32768, np.int16, "-32768"), (256, np.int16, "256"), (-1, np.int8, "-1")],
)
def test_values_that_cannot_be_labels(path: Path, value: float, kind: type, said: str) -> None:
    labels = np.zeros((4, 4, 4), kind)
    labels[0] = value
    nib.save(nib.Nifti1Image(labels, AFFINE), path)
    with pytest.raises(InputError, match=rf"_t2\.nii\.gz: holds {said}, which is not a label"):
        read_label_map(path)


def test_labels_of_arrays() -> None:
    assert labels_of(np.array([True, False])).tolist() == [1, 0]
    assert labels_of(np.array([2.0004, 255.0])).tolist() == [2, 255]
    assert labels_of(np.array([0, 7], np.int64)).dtype == np.uint8
    with pytest.raises(InputError, match="label map: holds nan, which is not a label"):
        labels_of(np.array([0, np.nan]))


# Writing


def test_what_is_written_is_read_back(path: Path, tmp_path: Path) -> None:
    image = read_image(path)
    for name, array in (("labels.nii.gz", (image.array % 5).astype(np.uint8)), ("map.nii", image.array / 7)):
        write_image(tmp_path / name, array, image.stored)
        again = read_image(tmp_path / name, dtype=None)
        assert again.array.dtype == array.dtype
        assert np.array_equal(again.array, array)
        assert (again.stored.axes, again.oriented) == (image.stored.axes, True)
        assert again.stored.affine == pytest.approx(image.stored.affine, abs=1e-5)
        assert was_written_here(tmp_path / name)
    header = nib.load(tmp_path / "labels.nii.gz").header
    assert header.get_xyzt_units()[0] == "mm"
    assert (int(header["qform_code"]), int(header["sform_code"])) == (1, 1)
    assert not was_written_here(path)
    assert not was_written_here(tmp_path)


def test_written_headers_hold_nothing_of_the_input(tmp_path: Path) -> None:
    """A converter may have left a patient's name in any of these fields."""
    source = nib.Nifti1Image(VALUES, AFFINE)
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        source.header[field] = b"Doe^Jane"
    source.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"PatientName=Doe^Jane MRN 123456"))
    nib.save(source, tmp_path / "in.nii.gz")
    assert b"Doe^Jane" in gzip.decompress((tmp_path / "in.nii.gz").read_bytes())
    image = read_image(tmp_path / "in.nii.gz")
    write_image(tmp_path / "out.nii.gz", (image.array % 3).astype(np.uint8), image.stored)
    written = gzip.decompress((tmp_path / "out.nii.gz").read_bytes())
    assert b"Doe" not in written
    assert b"123456" not in written
    assert not nib.load(tmp_path / "out.nii.gz").header.extensions


def test_a_file_that_does_not_say_how_the_patient_lies(tmp_path: Path) -> None:
    source = nib.Nifti1Image(VALUES, None)
    source.header.set_zooms((1, 2, 3))
    nib.save(source, tmp_path / "in.nii.gz")
    image = read_image(tmp_path / "in.nii.gz")
    assert not image.oriented
    write_image(tmp_path / "out.nii.gz", image.array, image.stored, oriented=image.oriented)
    again = read_image(tmp_path / "out.nii.gz")
    assert not again.oriented
    assert np.array_equal(again.array, image.array)
    assert again.stored.same_lattice(image.stored)


def test_long_axes_are_written_as_nifti_2(tmp_path: Path) -> None:
    grid = Grid.from_spacing(1, (2**15, 1, 2))
    array = np.arange(2**16, dtype=np.float32).reshape(grid.shape)
    write_image(tmp_path / "long.nii.gz", array, grid)
    loaded = nib.load(tmp_path / "long.nii.gz")
    assert isinstance(loaded, nib.Nifti2Image)
    assert loaded.header.get_xyzt_units()[0] == "mm"
    assert np.array_equal(read_image(tmp_path / "long.nii.gz").array, array)
    assert was_written_here(tmp_path / "long.nii.gz")


def test_an_array_of_another_shape_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="on a grid of"):
        write_image(tmp_path / "out.nii.gz", VALUES, Grid(AFFINE, VALUES.shape))
    assert not list(tmp_path.iterdir())


# Arrays


def test_arrays_that_are_not_images() -> None:
    for array, fault in (
        (np.zeros((4, 4)), r"shape \(4, 4\)"),
        (np.zeros((0, 4, 4)), "shape"),
        (np.full((2, 2, 2), np.nan), "NaN or infinite"),
        (np.full((2, 2, 2), "x"), "numbers are needed"),
    ):
        with pytest.raises(InputError, match=f"t1: .*{fault}"):
            image_from_array(array, spacing=1, source="t1")
    for place in ({}, {"affine": AFFINE, "spacing": 1}):
        with pytest.raises(InputError, match="either an affine or a spacing"):
            image_from_array(VALUES, **place)


def test_a_shear_is_written_where_the_header_can_hold_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The quaternion of a qform is a rotation: of a tilted gantry it put the voxels up to 38 mm away."""
    affine = np.array([[-1, 0, 0, 10], [0, -1, 0.8, 20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
    path = tmp_path / "a.nii.gz"
    write_image(path, np.ones((8, 9, 7), np.uint8), Grid(affine, (8, 9, 7)))
    header = nib.load(path).header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 1)
    assert np.allclose(header.get_zooms(), np.linalg.norm(affine[:3, :3], axis=0))
    again = read_image(path)
    assert np.allclose(again.stored.affine, affine, atol=1e-6)
    assert again.oriented
    assert "place the voxels" not in caplog.text
