"""Formats other than NIfTI: a marked voxel keeps its place in the patient, and damage is said in a sentence."""

import gzip
import struct
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.io import Image
from tunetseg.io.extras import need
from tunetseg.io.formats import read_analyze, read_itk, read_mgh
from tunetseg.io.readers import image_files, image_stem, reader_for

SHAPE = (4, 5, 6)
MARK = (1, 3, 2)
SPACING = (1.0, 1.5, 2.5)
ORIGIN = (-11.0, 7.0, 23.0)
LPS_TO_RAS = np.array([-1.0, -1, 1])


def signed_permutations() -> list[NDArray[np.float64]]:
    """All 48 ways in which three axes lie along the patient's, mirrored ones included."""
    return [
        np.eye(3)[:, list(axes)] * signs
        for axes, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3))
    ]


def oblique(degrees: float) -> NDArray[np.float64]:
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", [degrees, -degrees / 2, degrees / 3], degrees=True).as_matrix()


DIRECTIONS = [*signed_permutations(), oblique(20), oblique(-40)]


def marked() -> NDArray[np.int16]:
    array = np.zeros(SHAPE, np.int16)
    array[MARK] = 900
    return array


def place(direction: NDArray) -> NDArray:
    """Where the mark lies in the space of the directions."""
    return np.array(ORIGIN) + direction @ (np.array(SPACING) * MARK)


def world_of_mark(image: Image) -> NDArray:
    (voxel,) = np.argwhere(image.array == 900)
    return (image.grid.affine @ [*voxel, 1])[:3]


def check(image: Image, expected_ras: NDArray) -> None:
    np.testing.assert_allclose(world_of_mark(image), expected_ras, atol=1e-3)
    assert image.grid.axes == "LPS"
    assert image.array.shape == image.grid.shape
    assert image.stored.shape == SHAPE
    assert image.grid.same_lattice(image.stored)
    assert image.array.dtype == np.float32
    assert image.oriented


@pytest.mark.parametrize("number", range(len(DIRECTIONS)))
@pytest.mark.parametrize("ending", ["mha", "mhd", "nrrd", "nhdr"])
def test_simpleitk_writes_what_is_read(tmp_path: Path, ending: str, number: int) -> None:
    itk = pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    direction = DIRECTIONS[number]
    image = itk.GetImageFromArray(np.ascontiguousarray(marked().T))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    try:
        image.SetDirection(direction.ravel().tolist())
    except RuntimeError:
        pytest.fail("SimpleITK refuses the direction")
    itk.WriteImage(image, str(tmp_path / f"a.{ending}"))
    check(read_itk(tmp_path / f"a.{ending}"), place(direction) * LPS_TO_RAS)


@pytest.mark.parametrize("number", range(len(DIRECTIONS)))
@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior", "LAS"])
def test_nrrd_header_by_hand(tmp_path: Path, space: str, number: int) -> None:
    pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    direction = DIRECTIONS[number]
    columns = " ".join("(" + ",".join(f"{value:.9g}" for value in column) + ")" for column in (direction * SPACING).T)
    header = (
        f"NRRD0004\ntype: int16\ndimension: 3\nspace: {space}\nsizes: {' '.join(map(str, SHAPE))}\n"
        f"space directions: {columns}\nkinds: domain domain domain\nendian: little\nencoding: gzip\n"
        f"space origin: ({','.join(map(str, ORIGIN))})\n\n"
    )
    body = gzip.compress(marked().astype("<i2").tobytes(order="F"))
    (tmp_path / "a.nrrd").write_bytes(header.encode() + body)
    to_ras = {"left-posterior-superior": [-1, -1, 1], "right-anterior-superior": [1, 1, 1], "LAS": [-1, 1, 1]}[space]
    check(read_itk(tmp_path / "a.nrrd"), place(direction) * to_ras)


@pytest.mark.parametrize("number", range(len(DIRECTIONS)))
def test_metaimage_header_by_hand(tmp_path: Path, number: int) -> None:
    pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    direction = DIRECTIONS[number]
    # One row of the matrix per axis of the array.
    matrix = " ".join(f"{value:.9g}" for value in direction.T.ravel())
    header = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"TransformMatrix = {matrix}\nOffset = {' '.join(map(str, ORIGIN))}\n"
        f"ElementSpacing = {' '.join(map(str, SPACING))}\n"
        f"DimSize = {' '.join(map(str, SHAPE))}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_bytes(header.encode() + marked().astype("<i2").tobytes(order="F"))
    check(read_itk(tmp_path / "a.mha"), place(direction) * LPS_TO_RAS)


@pytest.mark.parametrize("number", range(len(DIRECTIONS)))
def test_mgz(tmp_path: Path, number: int) -> None:
    direction = DIRECTIONS[number]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * SPACING, ORIGIN
    nib.save(nib.MGHImage(marked(), affine), tmp_path / "a.mgz")
    check(read_mgh(tmp_path / "a.mgz"), place(direction))


def test_mgh_header_by_hand(tmp_path: Path) -> None:
    """Directions are those of FreeSurfer's table; the centre of the volume is given, not its corner."""
    direction = oblique(20)
    centre = np.array(ORIGIN) + direction @ (np.array(SPACING) * np.array(SHAPE) / 2)
    numbers = [*SPACING, *direction.T.ravel(), *centre]
    header = struct.pack(">7ih15f", 1, *SHAPE, 1, 4, 0, 1, *numbers)
    (tmp_path / "a.mgh").write_bytes(header.ljust(284, b"\0") + marked().astype(">i2").tobytes(order="F"))
    check(read_mgh(tmp_path / "a.mgh"), place(direction))


def test_mgh_that_does_not_say_how_the_patient_lies(tmp_path: Path) -> None:
    """FreeSurfer ignores what the header holds then, and assumes coronal slices of 1 mm; nibabel other ones."""
    voxels = marked().astype(">i2").tobytes(order="F")
    for flag, number in ((0, 0.0), (-1, 3.0)):
        header = struct.pack(">7ih15f", 1, *SHAPE, 1, 4, 0, flag, *[number] * 15)
        (tmp_path / "a.mgh").write_bytes(header.ljust(284, b"\0") + voxels)
        image = read_mgh(tmp_path / "a.mgh")
        assert (image.oriented, image.stored.axes, image.stored.spacing) == (False, "LIA", (1, 1, 1))
        middle = image.stored.affine @ [*np.array(SHAPE) / 2, 1]
        assert np.allclose(middle, [0, 0, 0, 1])


@pytest.mark.parametrize("content", [b"\0\0\0\1" + bytes(90), struct.pack(">5i", 1, 4, 4, 4, 1)])
def test_mgh_with_half_a_header(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mgh").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mgh: damaged or cut off"):
        read_mgh(tmp_path / "a.mgh")


@pytest.mark.parametrize("kind", [nib.AnalyzeImage, nib.Spm99AnalyzeImage, nib.Spm2AnalyzeImage])
def test_analyze(tmp_path: Path, kind: type) -> None:
    header = kind.header_class()
    header.set_data_shape(SHAPE)
    header.set_data_dtype(np.int16)
    header.set_zooms(SPACING)
    (tmp_path / "a.hdr").write_bytes(header.binaryblock)
    (tmp_path / "a.img").write_bytes(marked().tobytes(order="F"))
    for name in ("a.hdr", "a.img"):
        image = read_analyze(tmp_path / name)
        assert not image.oriented
        assert image.grid.spacing == SPACING
        # Left, anterior, superior, with the middle of the volume at the origin.
        middle = (np.array(SHAPE) - 1) / 2
        np.testing.assert_allclose(world_of_mark(image), (np.array(MARK) - middle) * SPACING * [-1, 1, 1], atol=1e-5)


@pytest.mark.parametrize("number", range(len(DIRECTIONS)))
def test_analyze_with_the_matrix_of_spm(tmp_path: Path, number: int) -> None:
    direction = DIRECTIONS[number]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * SPACING, ORIGIN
    nib.save(nib.Spm99AnalyzeImage(marked(), affine), tmp_path / "a.img")
    check(read_analyze(tmp_path / "a.hdr"), place(direction))


def write(path: Path, array: NDArray, **arguments: Any) -> Path:
    itk = pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    itk.WriteImage(itk.GetImageFromArray(array, **arguments), str(path))
    return path


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
@pytest.mark.parametrize("keep", [3, 40, 300, -30])
def test_cut_off(tmp_path: Path, ending: str, keep: int) -> None:
    path = write(tmp_path / f"a.{ending}", np.random.default_rng(0).random(SHAPE))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=rf"a\.{ending}: damaged or cut off"):
        read_itk(path)


def test_nrrd_with_a_flipped_bit(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    path = tmp_path / "a.nrrd"
    itk.WriteImage(itk.GetImageFromArray(np.random.default_rng(0).random(SHAPE)), str(path), True)
    raw = bytearray(path.read_bytes())
    raw[-200] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="damaged or cut off"):
        read_itk(path)


@pytest.mark.parametrize("keep", [3, 200, 500, -20])
def test_mgz_cut_off(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.mgz"
    nib.save(nib.MGHImage(np.random.default_rng(0).random(SHAPE).astype(np.float32), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.mgz: damaged or cut off"):
        read_mgh(path)


def test_analyze_without_voxel_sizes(tmp_path: Path) -> None:
    nib.save(nib.Spm99AnalyzeImage(marked(), np.eye(4)), tmp_path / "a.img")
    header = nib.load(tmp_path / "a.img").header.copy()
    header["pixdim"][2] = 0
    (tmp_path / "a.hdr").write_bytes(header.binaryblock)
    assert np.allclose(read_analyze(tmp_path / "a.hdr").grid.spacing, 1)  # the matrix counts
    for content in (b"", None):  # nibabel takes an empty file as none
        (tmp_path / "a.mat").unlink() if content is None else (tmp_path / "a.mat").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.hdr: its header gives voxels of 1 x 0 x 1 mm"):
            read_analyze(tmp_path / "a.hdr")


def test_analyze_with_a_damaged_matrix(tmp_path: Path) -> None:
    nib.save(nib.Spm99AnalyzeImage(marked(), np.eye(4)), tmp_path / "a.img")
    whole = (tmp_path / "a.mat").read_bytes()
    scipy.io.savemat(tmp_path / "other.mat", {"mat": np.eye(3)})
    scipy.io.savemat(tmp_path / "text.mat", {"M": "text"})
    others = [(tmp_path / name).read_bytes() for name in ("other.mat", "text.mat")]
    for content in (whole[:-9], whole[:200], b"text", bytes(2**16 + 1), *others):
        (tmp_path / "a.mat").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.mat: does not hold the affine that SPM writes; copy it again"):
            read_analyze(tmp_path / "a.hdr")


def test_analyze_cut_off(tmp_path: Path) -> None:
    nib.save(nib.Spm2AnalyzeImage(marked(), np.eye(4)), tmp_path / "a.img")
    whole = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").write_bytes(whole[:-5])
    with pytest.raises(InputError, match=r"a\.hdr: damaged or cut off"):
        read_analyze(tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputError, match=r"a\.img: there is no such file"):
        read_analyze(tmp_path / "a.hdr")


def test_missing_and_empty(tmp_path: Path) -> None:
    (tmp_path / "a.mgz").touch()
    (tmp_path / "a.mha").touch()
    for read, name in ((read_mgh, "a.mgz"), (read_itk, "a.mha")):
        with pytest.raises(InputError, match="an empty file"):
            read(tmp_path / name)
        with pytest.raises(InputError, match="there is no such file"):
            read(tmp_path / "nothing" / name)


def test_metaimage_without_its_data_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mhd", marked())
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputError, match="without the data file that it names"):
        read_itk(path)


def test_header_that_asks_for_too_much(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 90000 90000 90000\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_text(header)
    with pytest.raises(InputError, match="more than any image has"):
        read_itk(tmp_path / "a.mha")


def test_not_finite(tmp_path: Path) -> None:
    array = np.zeros(SHAPE, np.float32)
    array[0, 0, 0] = np.nan
    nib.save(nib.MGHImage(array, np.eye(4)), tmp_path / "a.mgz")
    for read, path in ((read_mgh, tmp_path / "a.mgz"), (read_itk, write(tmp_path / "a.mha", array))):
        with pytest.raises(InputError, match=rf"{path.name}: holds 1 voxels that are NaN"):
            read(path)


def test_several_volumes(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    pair = np.stack([marked(), marked() * 2], axis=-1)
    nib.save(nib.MGHImage(pair, np.eye(4)), tmp_path / "a.mgz")
    write(tmp_path / "a.nrrd", np.ascontiguousarray(pair.transpose(2, 1, 0, 3)), isVector=True)
    volumes = [itk.GetImageFromArray(np.ascontiguousarray(one.T)) for one in (marked(), marked() * 2)]
    itk.WriteImage(itk.JoinSeries(volumes), str(tmp_path / "a.mha"))
    for read, name in ((read_mgh, "a.mgz"), (read_itk, "a.nrrd"), (read_itk, "a.mha")):
        assert read(tmp_path / name, volume=1).array.max() == 1800
        with pytest.raises(InputError, match="one 3-D volume per file"):
            read(tmp_path / name)
        with pytest.raises(InputError, match=r"has 2 volume\(s\), so there is no volume 2"):
            read(tmp_path / name, volume=2)


def test_two_dimensions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2-D"):
        read_itk(write(tmp_path / "a.mha", marked()[0]))


def test_colours_and_complex_numbers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="complex"):
        read_itk(write(tmp_path / "a.mha", marked().astype(np.complex64)))


def test_own_type(tmp_path: Path) -> None:
    assert read_itk(write(tmp_path / "a.mha", marked().astype(np.uint16)), dtype=None).array.dtype == np.uint16


def test_headers_that_do_not_say_how_the_patient_lies(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    body = marked().astype("<i2").tobytes(order="F")
    sizes = " ".join(map(str, SHAPE))
    nrrd = f"NRRD0004\ntype: int16\ndimension: 3\nsizes: {sizes}\nspacings: 1 1 1\nendian: little\nencoding: raw\n\n"
    meta = f"ObjectType = Image\nNDims = 3\nDimSize = {sizes}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    for name, header in (("a.nrrd", nrrd), ("a.mha", meta)):
        (tmp_path / name).write_bytes(header.encode() + body)
        image = read_itk(tmp_path / name)
        assert not image.oriented
        assert image.array.max() == 900


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "a.mha").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(InputError, match=r"needs SimpleITK; install it with pip install 'tunetseg\[formats\]'"):
        read_itk(tmp_path / "a.mha")
    with pytest.raises(InputError, match=r"needs no_such_thing; install it with pip install 'tunetseg\[dicom\]'"):
        need("no_such_thing", "dicom", "reading")


def test_which_reader(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(marked(), np.eye(4)), tmp_path / "pair.img")
    nib.save(nib.Spm2AnalyzeImage(marked(), np.eye(4)), tmp_path / "old.img")
    (tmp_path / "slice").write_bytes(b"\0" * 128 + b"DICM")
    names = {
        "a.nii.gz": None, "a.nii": None, "pair.img": None, "pair.hdr": None, "notes.txt": None,
        "a.mha": "read_itk", "A.NRRD": "read_itk", "a.mgz": "read_mgh", "old.hdr": "read_analyze",
        "old.img": "read_analyze", "slice": "read_dicom_image", ".": "read_dicom_image", "a.zip": "read_dicom_image",
    }  # fmt: skip
    for name, expected in names.items():
        reader = reader_for(tmp_path / name)
        assert (None if reader is None else reader.__name__) == expected, name


def test_stem() -> None:
    assert image_stem("x/P_t1.seg.nrrd") == "P_t1.seg"
    assert image_stem("x/P.nii.gz") == "P"
    assert image_stem("x/P.json") is None


# NRRD headers


def nrrd(path: Path, *fields: str, end: str = "\n", encoding: str = "raw", body: bytes | None = None) -> Path:
    """Write a header by hand, with the voxels of `marked` after it."""
    pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
    lines = ["NRRD0004", "type: int16", "dimension: 3", f"sizes: {' '.join(map(str, SHAPE))}", "endian: little"]
    header = end.join([*lines, f"encoding: {encoding}", *fields, "", ""]).encode()
    voxels = marked().astype("<i2").tobytes(order="F") if body is None else body
    path.write_bytes(header + (gzip.compress(voxels) if encoding == "gzip" and body is None else voxels))
    return path


PLACED = ("space: LPS", "space directions: (1,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_lines_that_end_as_on_windows(tmp_path: Path, encoding: str) -> None:
    # No byte of the voxels is the end of a line, so that only the end of the header can be found.
    array = np.full(SHAPE, 0x0101, "<i2")
    array[MARK] = 900
    raw = array.tobytes(order="F")
    path = nrrd(
        tmp_path / "a.nrrd",
        *PLACED,
        end="\r\n",
        encoding=encoding,
        body=gzip.compress(raw) if encoding == "gzip" else raw,
    )
    image = read_itk(path)
    assert image.oriented
    np.testing.assert_allclose(world_of_mark(image), np.array(MARK) * LPS_TO_RAS)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_nrrd_with_another_checksum(tmp_path: Path, end: str) -> None:
    path = nrrd(tmp_path / "a.nrrd", *PLACED, end=end, encoding="gzip")
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"a\.nrrd: damaged or cut off \(CRC check failed"):
        read_itk(path)


@pytest.mark.parametrize(
    ("space", "oriented"),
    [
        ("LAS", True),
        ("Left-Posterior-Superior", True),
        ("scanner-xyz", False),
        ("3D-right-handed", False),
        ("3D-left-handed", False),
    ],
)
def test_spaces_that_are_not_those_of_a_patient(tmp_path: Path, space: str, oriented: bool) -> None:
    assert read_itk(nrrd(tmp_path / "a.nrrd", f"space: {space}", *PLACED[1:])).oriented == oriented


@pytest.mark.parametrize("unit", ["m", "um", "\xb5m"])
def test_lengths_that_are_not_in_mm(tmp_path: Path, unit: str) -> None:
    path = nrrd(tmp_path / "a.nrrd", *PLACED, f'space units: "{unit}" "{unit}" "{unit}"')
    with pytest.raises(InputError, match=rf"a\.nrrd: its header measures voxels in {unit}; convert it to mm first"):
        read_itk(path)
    header = f"ObjectType = Image\nNDims = 3\nDistanceUnits = {unit}\nDimSize = 4 5 6\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_text(header, encoding="utf-8")
    with pytest.raises(InputError, match=rf"a\.mha: its header measures voxels in {unit}; convert it to mm first"):
        read_itk(tmp_path / "a.mha")
    assert read_itk(nrrd(tmp_path / "b.nrrd", *PLACED, 'space units: "mm" "mm" "mm"')).oriented


def test_a_line_that_is_too_long_is_no_damage(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", *PLACED, f"content: {'x' * 120}")
    with pytest.raises(
        InputError, match=r"its header has a line of 129 characters, but .* shorten it, or convert"
    ) as caught:
        read_itk(path)
    assert "damaged" not in str(caught.value)


# The files of an image


def test_files_of_an_image(tmp_path: Path) -> None:
    def names(name: str) -> list[str]:
        return [path.name for path in image_files(tmp_path / name)]

    for name in ("p.hdr", "p.img", "S.HDR", "S.IMG", "s.mat"):
        (tmp_path / name).touch()
    for name in ("a.nii.gz", "a.nii", "a.mgz"):
        assert names(name) == [name]
    assert names("p.hdr") == names("p.img") == ["p.hdr", "p.img"]
    assert names("S.IMG") == ["S.HDR", "S.IMG"]
    for name, text, data in (
        ("a.mha", "ElementDataFile = LOCAL\nElementDataFile = x.raw", []),
        ("b.mhd", "DimSize = 4 5 6\r\nElementDataFile = my voxels.raw\r\n", ["my voxels.raw"]),
        ("e.mhd", "ElementDataFile = 50% dose.raw\n", ["50% dose.raw"]),
        ("c.mhd", "ElementDataFile = LIST\ns1.raw\ns2.raw\n", ["s1.raw", "s2.raw"]),
        ("d.mhd", "ElementDataFile = s%d.raw 1 2 1\n", ["s1.raw", "s2.raw"]),
        ("a.nrrd", "NRRD0004\nencoding: raw\n\ndata file: x.raw", []),
        ("b.nhdr", "NRRD0004\r\ndata file: b.raw.gz\r\nencoding: gzip\r\n", ["b.raw.gz"]),
        ("c.nhdr", "NRRD0004\nencoding: raw\ndatafile: LIST 2\ns1.raw\ns2.raw\n", ["s1.raw", "s2.raw"]),
        ("d.nhdr", "NRRD0004\ndata file: s%01d.raw 1 2 1\n", ["s1.raw", "s2.raw"]),
    ):
        for one in ("s1.raw", "s2.raw"):
            (tmp_path / one).touch()
        (tmp_path / name).write_bytes(text.encode())
        assert names(name) == [name, *data]
    (tmp_path / "series/more").mkdir(parents=True)
    for one in ("series/1.dcm", "series/more/2.dcm"):
        (tmp_path / one).touch()
    assert names("series") == ["1.dcm", "2.dcm"]
    with pytest.raises(InputError, match=r"gone\.mhd: there is no such file"):
        names("gone.mhd")
