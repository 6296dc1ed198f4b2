"""Series of slices become volumes whose voxels lie where the scanner said, or are refused in a sentence."""

import json
import sys
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.io.dicom import Series, choose_series, find_series, read_dicom_image

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

Write = Callable[..., list[Path]]
LPS_TO_RAS = np.array([-1, -1, 1])


def blank(slices: int = 4, rows: int = 6, columns: int = 5) -> NDArray[np.int16]:
    return np.arange(slices * rows * columns, dtype=np.int16).reshape(slices, rows, columns)


def only(folder: Path) -> Series:
    (series,) = find_series(folder).series
    return series


def codes(series: Series) -> list[tuple[str, str]]:
    return [(finding.code, finding.level) for finding in series.findings]


def right_handed() -> list[tuple[float, ...]]:
    """All 24 pairs of directions of rows and columns along the patient's axes."""
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    return [tuple(np.concatenate([row, column]).tolist()) for row, column in product(axes, axes) if row @ column == 0]


def oblique(degrees: float) -> tuple[float, ...]:
    from scipy.spatial.transform import Rotation

    turned = Rotation.from_euler("xyz", [degrees, -degrees / 2, degrees / 3], degrees=True).as_matrix()
    return (*turned[:, 0].tolist(), *turned[:, 1].tolist())


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cosines", [*right_handed(), oblique(20), oblique(-40)])
def test_marked_voxel_lies_where_the_header_says(
    tmp_path: Path, write_series: Write, cosines: tuple[float, ...], reverse: bool
) -> None:
    array = np.zeros((4, 6, 5), np.int16)
    array[1, 4, 3] = 700
    write_series(tmp_path, array, cosines=cosines, reverse=reverse)
    image = only(tmp_path).read()
    (voxel,) = np.argwhere(image.array == 700)
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    expected = np.array([-10, -20, 30]) + 3 * 1.0 * row + 4 * 2.0 * column + 1 * 3.0 * np.cross(row, column)
    world = (image.grid.affine @ [*voxel, 1])[:3]
    np.testing.assert_allclose(world, expected * LPS_TO_RAS, atol=1e-3)
    assert image.grid.axes == "LPS"
    assert image.stored.shape == (5, 6, 4)
    assert image.grid.same_lattice(image.stored)
    assert image.oriented


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_rescale_differs_by_slice_and_sign_is_kept(tmp_path: Path, write_series: Write, dtype: Any) -> None:
    array = np.array([[[5, 40000 if dtype is np.uint16 else -3]]] * 3, dtype).repeat(2, 1)

    def each(dataset: Any, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = index + 1, -7

    write_series(tmp_path, array, each=each)
    image = only(tmp_path).read()
    stored = image.stored.from_lps(image.array)
    for index in range(3):
        np.testing.assert_array_equal(stored[..., index].T, array[index].astype(float) * (index + 1) - 7)


@pytest.mark.parametrize(
    ("tag", "value"), [("RescaleSlope", "0"), ("RescaleSlope", ["2", "2"]), ("RescaleIntercept", "nan")]
)
def test_one_slice_that_cannot_be_rescaled(tmp_path: Path, write_series: Write, tag: str, value: Any) -> None:
    def each(dataset: Any, index: int) -> None:
        setattr(dataset, tag, value if index == 2 else "1")

    with pydicom.config.disable_value_validation():
        write_series(tmp_path, blank(), each=each)
    with pytest.raises(InputError, match="cannot be rescaled by slope 0, or by what is not one number; export"):
        read_dicom_image(tmp_path)


def test_a_file_that_is_cut_off_is_named_where_one_series_is_read(
    tmp_path: Path, write_series: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """The slices that are left make a volume."""
    last = write_series(tmp_path, blank())[-1]
    last.write_bytes(last.read_bytes()[:400])
    assert read_dicom_image(tmp_path).array.shape == (5, 6, 3)
    assert "1 file is damaged and left out; copy the examination again" in caplog.text
    assert "unreadable" in {finding.code for finding in choose_series(tmp_path, "t1")[1]}


def test_twelve_bits_with_rubbish_above(tmp_path: Path, write_series: Write) -> None:
    array = np.array([[[-5, 9]] * 2] * 3, np.int16)
    rubbish = (array & 0x0FFF) | np.int16(0x2000)  # an overlay in the unused bits

    write_series(tmp_path, rubbish.astype(np.int16), BitsStored=12, HighBit=11)
    image = only(tmp_path).read()
    assert sorted(np.unique(image.array)) == [-5, 9]


def test_missing_slice_is_refused(tmp_path: Path, write_series: Write) -> None:
    write_series(tmp_path, blank(8), keep=lambda index: index not in {3, 4})
    series = only(tmp_path)
    assert codes(series) == [("gap", "refuse")]
    assert "about 2 of 8 slices missing, the first after slice 3" in series.findings[0].message
    with pytest.raises(InputError, match="slices missing"):
        series.read()


def test_every_second_slice_missing(tmp_path: Path, write_series: Write) -> None:
    write_series(tmp_path, blank(8), keep=lambda index: index % 2 == 0)
    assert codes(only(tmp_path)) == [("sparse-slices", "warning")]


def test_uneven_distances(tmp_path: Path, write_series: Write) -> None:
    def each(size: float) -> Callable[[Any, int], None]:
        def move(dataset: Any, index: int) -> None:
            if index == 2:
                x, y, z = dataset.ImagePositionPatient
                dataset.ImagePositionPatient = [x, y, z + size]

        return move

    write_series(tmp_path / "little", blank(), each=each(0.02))
    write_series(tmp_path / "more", blank(), each=each(0.6))
    assert codes(only(tmp_path / "little")) == []
    assert codes(only(tmp_path / "more")) == [("irregular", "warning")]


def test_copies_are_left_out(tmp_path: Path, write_series: Write) -> None:
    array = blank()
    first = write_series(tmp_path / "a", array, SeriesInstanceUID="1.2.3")
    again = tmp_path / "b"
    again.mkdir()
    (again / "same").write_bytes(first[1].read_bytes())
    renamed = pydicom.dcmread(first[2])
    renamed.SOPInstanceUID = "1.2.3.99"
    renamed.save_as(again / "renamed")
    series = only(tmp_path)
    assert codes(series) == [("copies", "note")]
    np.testing.assert_array_equal(series.read().array.shape, (5, 6, 4))


def test_other_slices_under_one_uid_are_kept(tmp_path: Path, write_series: Write) -> None:
    def same(dataset: Any, index: int) -> None:
        dataset.SOPInstanceUID = "1.2.3.4" if index < 2 else f"1.2.3.5.{index}"

    paths = write_series(tmp_path, blank(), each=same)
    (tmp_path / "copy").write_bytes(paths[1].read_bytes())
    series = only(tmp_path)
    assert codes(series) == [("copies", "note"), ("repeated-uid", "warning")]
    assert "1 slice is there twice" in series.findings[0].message
    assert "1 slice has the SOP instance UID of another slice" in series.findings[1].message
    image = series.read()
    np.testing.assert_array_equal(image.stored.from_lps(image.array), blank().transpose(2, 1, 0))


def test_other_pixels_in_one_place_are_refused(tmp_path: Path, write_series: Write) -> None:
    write_series(tmp_path / "a", blank(), SeriesInstanceUID="1.2.3")
    write_series(
        tmp_path / "b",
        blank() + 1,
        SeriesInstanceUID="1.2.3",
        each=lambda d, i: setattr(d, "SOPInstanceUID", f"1.9.{i}"),
    )
    assert codes(only(tmp_path)) == [("repeated-slices", "refuse")]


def test_several_orientations_are_refused(tmp_path: Path, write_series: Write) -> None:
    for number, cosines in enumerate(right_handed()[:3]):
        write_series(tmp_path / str(number), blank(), cosines=cosines, SeriesInstanceUID="1.2.3", number=5,
                     each=lambda d, i, n=number: setattr(d, "SOPInstanceUID", f"1.{n + 1}.{i}"))  # fmt: skip
    series = only(tmp_path)
    assert codes(series) == [("orientations", "refuse")]
    assert "3 orientations" in series.findings[0].message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d, i: setattr(d, "PixelSpacing", [2, 1 + (i == 1)]), "spacing"),
        (lambda d, i: delattr(d, "ImagePositionPatient"), "no-geometry"),
        (lambda d, i: setattr(d, "ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "no-geometry"),
        (lambda d, i: setattr(d, "PhotometricInterpretation", "MONOCHROME1"), "inverted"),
        (lambda d, i: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "mosaic"),
        (lambda d, i: setattr(d, "SamplesPerPixel", 3), "colour"),
        (lambda d, i: setattr(d, "NumberOfFrames", 3), "multi-frame"),
    ],
)
def test_refused(tmp_path: Path, write_series: Write, change: Callable[[Any, int], None], code: str) -> None:
    write_series(tmp_path, blank(), each=change)
    series = only(tmp_path)
    assert codes(series) == [(code, "refuse")]
    with pytest.raises(InputError, match="series 1"):
        series.read()
    with pytest.raises(InputError, match="series 1"):
        read_dicom_image(tmp_path)


def test_single_slice(tmp_path: Path, write_series: Write) -> None:
    write_series(tmp_path, blank(1))
    assert codes(only(tmp_path)) == [("single-slice", "refuse")]


@pytest.mark.parametrize("shift", [(0.0, 1.0), (-1.0, 0.0)])
def test_tilted_gantry_is_straightened(tmp_path: Path, write_series: Write, shift: tuple[float, float]) -> None:
    array = np.zeros((6, 12, 12), np.int16)
    array[4, 5:8, 4:7] = 500
    write_series(tmp_path, array, shift=shift, spacing=(1.0, 1.0))
    series = only(tmp_path)
    assert codes(series) == [("tilt", "warning")]
    assert "18.4 degrees" in series.findings[0].message
    image = series.read()
    weights = image.array / image.array.sum()
    centre = (np.indices(image.array.shape) * weights).sum(axis=(1, 2, 3))
    world = (image.grid.affine @ [*centre, 1])[:3] * LPS_TO_RAS
    np.testing.assert_allclose(world, [-10 + 5 + 4 * shift[0], -20 + 6 + 4 * shift[1], 30 + 4 * 3], atol=0.01)
    steps = image.grid.affine[:3, :3]
    assert abs(steps.T @ steps - np.diag(np.square(image.grid.spacing))).max() < 1e-9


def test_echoes_of_one_series_are_volumes_of_their_own(tmp_path: Path, write_series: Write) -> None:
    for echo in (12, 90):
        write_series(tmp_path / str(echo), blank() + echo, SeriesInstanceUID="1.2.3", EchoTime=echo,
                     each=lambda d, i, e=echo: setattr(d, "SOPInstanceUID", f"1.{e}.{i}"))  # fmt: skip
    first, second = find_series(tmp_path).series
    assert (first.key, second.key) == ("1.1", "1.2")
    assert codes(first) == codes(second) == [("several-volumes", "note")]
    assert first.read().array.min() == 12
    assert second.read().array.min() == 90


def test_echo_times_that_differ_by_rounding(tmp_path: Path, write_series: Write) -> None:
    write_series(tmp_path, blank(), each=lambda d, i: setattr(d, "EchoTime", 2.49 if i < 2 else 2.51))
    series = only(tmp_path)
    assert (series.key, codes(series), series.grid.shape) == ("1", [], (5, 6, 4))


def test_close_echoes_are_volumes_of_their_own(tmp_path: Path, write_series: Write) -> None:
    for echo in (2.2, 2.7, 3.2):
        write_series(tmp_path / str(echo), blank(), SeriesInstanceUID="1.2.3", EchoTime=echo,
                     each=lambda d, i, e=echo: setattr(d, "SOPInstanceUID", f"1.{round(10 * e)}.{i}"))  # fmt: skip
    assert [codes(one) for one in find_series(tmp_path).series] == [[("several-volumes", "note")]] * 3


NORMALISED = ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"]


@pytest.mark.parametrize("odd", [lambda i: i % 2 == 0, lambda i: i > 1, lambda i: i == 3])
def test_slices_that_were_corrected_otherwise_stay_in_the_volume(
    tmp_path: Path, write_series: Write, odd: Callable[[int], bool]
) -> None:
    def each(dataset: Any, index: int) -> None:
        if odd(index):
            dataset.ImageType = NORMALISED

    write_series(tmp_path, blank(), each=each)
    series = only(tmp_path)
    assert codes(series) == [("mixed-corrections", "warning")]
    image = series.read()
    np.testing.assert_array_equal(image.stored.from_lps(image.array), blank().transpose(2, 1, 0))


def test_two_whole_reconstructions_are_volumes_of_their_own(tmp_path: Path, write_series: Write) -> None:
    write_series(tmp_path / "a", blank(), SeriesInstanceUID="1.2.3")
    write_series(tmp_path / "b", blank() + 1, SeriesInstanceUID="1.2.3", ImageType=NORMALISED,
                 each=lambda d, i: setattr(d, "SOPInstanceUID", f"1.9.{i}"))  # fmt: skip
    assert [codes(one) for one in find_series(tmp_path).series] == [[("several-volumes", "note")]] * 2


def test_halves_of_one_stack_are_warned_of(tmp_path: Path, write_series: Write) -> None:
    """Nothing says whether water and fat were exported by halves, or one volume has wrong tags."""

    def each(dataset: Any, index: int) -> None:
        dataset.ImageType = ["DERIVED", "PRIMARY", "DIXON", "WATER" if index < 2 else "FAT"]

    write_series(tmp_path, blank(), each=each)
    found = find_series(tmp_path).series
    assert [codes(one) for one in found] == [[("several-volumes", "warning")]] * 2
    assert "although their slices make one stack" in found[0].findings[0].message


def test_enhanced_file(tmp_path: Path, write_enhanced: Callable[..., Path]) -> None:
    array = blank().astype(np.uint16)
    slopes = np.array([1, 2, 3, 4])
    write_enhanced(tmp_path / "one", array, [2, 0, 3, 1], slopes=slopes)
    series = only(tmp_path)
    assert codes(series) == []
    assert series.guess.channel == "flair"
    image = series.read()
    np.testing.assert_array_equal(
        image.stored.from_lps(image.array), (array * slopes[:, None, None]).transpose(2, 1, 0)
    )
    np.testing.assert_allclose(image.stored.affine[:3, 3], [10, 20, 30])


def test_mixed_folder_and_zip(tmp_path: Path, examination: Path) -> None:
    contents = find_series(examination)
    assert [one.key for one in contents.series] == ["1", "2", "3", "4", "9"]
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in examination.rglob("*"):
            file.write(path, path.relative_to(examination))
        file.writestr("__MACOSX/._IM1", b"\0" * 200)
    zipped = find_series(archive)
    assert [one.to_dict() for one in zipped.series] == [one.to_dict() for one in contents.series]
    np.testing.assert_array_equal(zipped.series[2].read().array, contents.series[2].read().array)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.zip"]


def test_file_without_preamble(tmp_path: Path, write_series: Write) -> None:
    for path in write_series(tmp_path, blank()):
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        dataset.preamble = None
        dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(only(tmp_path).read().array.max(), blank().max())


def test_damaged_files_are_counted(tmp_path: Path, write_series: Write) -> None:
    write_series(tmp_path, blank())
    (tmp_path / "rubbish").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    contents = find_series(tmp_path)
    assert [finding.code for finding in contents.findings] == ["unreadable"]
    assert contents.unreadable == ("rubbish",)
    assert "rubbish" not in contents.findings[0].message


def test_cut_off_file(tmp_path: Path, write_series: Write) -> None:
    path = write_series(tmp_path, blank())[2]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged or cut off"):
        only(tmp_path).read()


def test_other_objects_are_left_out(tmp_path: Path, write_series: Write) -> None:
    write_series(tmp_path / "mr", blank())
    write_series(tmp_path / "report", blank(1), Modality="SR", number=2)
    contents = find_series(tmp_path)
    assert len(contents.series) == 1
    assert [(finding.code, finding.level) for finding in contents.findings] == [("other-objects", "note")]


def test_several_patients_and_examinations_are_told_apart(tmp_path: Path, write_series: Write) -> None:
    write_series(
        tmp_path / "1", blank(), PatientID="B", StudyInstanceUID="1.5", AcquisitionDate="20210101", AcquisitionTime="1"
    )
    write_series(
        tmp_path / "2", blank(), PatientID="B", StudyInstanceUID="1.4", AcquisitionDate="20220101", AcquisitionTime="1"
    )
    write_series(tmp_path / "3", blank(), PatientID="A", StudyInstanceUID="1.6")
    series = find_series(tmp_path).series
    assert [(one.patient, one.examination) for one in series] == [(1, 1), (2, 2), (2, 3)]


def test_nothing_that_names_the_patient_is_told(
    tmp_path: Path, write_series: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(
        tmp_path, blank(), SeriesDescription="Ax T1 Meier PAT-4711 02.01.2020 20200102", ProtocolName="anna T1",
        AcquisitionTime="101600", AcquisitionDate="20200102", EchoTime=10, RepetitionTime=500,
        ContrastBolusAgent="Meier 7ml", PatientBirthDate="Meier",
    )  # fmt: skip
    with caplog.at_level(0):
        series = only(tmp_path)
        series.read()
    text = (json.dumps(series.to_dict()) + repr(series) + caplog.text).lower()
    for private in ("meier", "anna", "4711", "2020", "1960", "a998877", "1016"):
        assert private not in text, private
    assert series.to_dict()["tags"]["TE (ms)"] == 10


def test_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(InputError, match="no DICOM image"):
        find_series(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        find_series(tmp_path / "nothing")
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(InputError, match="not a zip archive"):
        find_series(tmp_path / "b.zip")


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match=r"needs pydicom; install it with pip install 'tunetseg\[dicom\]'"):
        find_series(tmp_path)


def test_damaged_headers_raise_nothing_unexpected(tmp_path: Path, write_series: Write) -> None:
    paths = write_series(tmp_path, blank())
    whole = [path.read_bytes() for path in paths]
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(60):
        for path, content in zip(paths, whole, strict=True):
            damaged = bytearray(content)
            for place in rng.integers(132, len(content), 4):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
        try:
            for series in find_series(tmp_path).series:
                series.to_dict()
                series.read()
                outcomes.add("read")
        except InputError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_encrypted_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("IM1", b"x")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="encrypted"):
        find_series(path)


def test_one_series_as_image(tmp_path: Path, examination: Path, write_series: Write) -> None:
    write_series(tmp_path, blank())
    assert read_dicom_image(tmp_path).array.shape == (5, 6, 4)
    with pytest.raises(InputError, match="holds 5 series"):
        read_dicom_image(examination)
    assert read_dicom_image(examination, volume=1).array.min() == 2


def test_run_length_encoded(tmp_path: Path, write_series: Write) -> None:
    for path in write_series(tmp_path, blank()):
        dataset = pydicom.dcmread(path)
        dataset.compress(pydicom.uid.RLELossless)
        dataset.save_as(path)
    image = only(tmp_path).read()
    np.testing.assert_array_equal(image.stored.from_lps(image.array), blank().transpose(2, 1, 0))


def test_jpeg_lossless(tmp_path: Path, write_series: Write) -> None:
    """What most archives of hospitals store."""
    gdcm = pytest.importorskip("gdcm", reason="python-gdcm, of the extra dicom, is not installed")
    for path in write_series(tmp_path, blank(slices=3, rows=16, columns=12) * 20 - 300):
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == pydicom.uid.JPEGLosslessSV1
    image = only(tmp_path).read()
    np.testing.assert_array_equal(
        image.stored.from_lps(image.array), (blank(slices=3, rows=16, columns=12) * 20 - 300).transpose(2, 1, 0)
    )


def test_compressed_without_decoder_names_the_way_out(tmp_path: Path, write_series: Write) -> None:
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    for path in write_series(tmp_path, blank()):
        dataset = pydicom.dcmread(path)
        dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")  # MPEG2, not a slice
        dataset.save_as(path)
    with pytest.raises(InputError, match=r"compressed \(MPEG2.*install python-gdcm"):
        only(tmp_path).read()


@pytest.mark.parametrize("tag", ["RescaleSlope", "RescaleIntercept"])
def test_values_beyond_float32(tag: str, tmp_path: Path, write_series: Callable[..., list[Path]]) -> None:
    write_series(tmp_path, blank(), **{tag: "1e308"})
    with pytest.raises(InputError, match="values that are not finite or beyond float32; export it again"):
        only(tmp_path).read()


def test_more_pixels_than_any_image_has(tmp_path: Path, write_series: Callable[..., list[Path]]) -> None:
    """A decoder makes room for what the header says."""

    def huge(dataset: Any, index: int) -> None:
        dataset.Rows = dataset.Columns = 65535

    write_series(tmp_path, blank(), each=huge)
    with pytest.raises(InputError, match="65535 x 65535 x 4 voxels, which no image has"):
        only(tmp_path).read()


def test_a_size_of_pixels_that_cannot_be_read(tmp_path: Path, write_series: Callable[..., list[Path]]) -> None:
    for path in write_series(tmp_path, blank()):
        path.write_bytes(path.read_bytes().replace(b"\x28\0\0\1US", b"\x28\0\0\1ES"))
    with pytest.raises(InputError, match="the size of a file's pixels cannot be read; export the series again"):
        only(tmp_path).read()


def test_a_deflated_file_that_grows_without_end(
    tmp_path: Path, write_series: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    def deflate(dataset: Any, index: int) -> None:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.PixelData = bytes(1 << 24) if index == 1 else dataset.PixelData

    write_series(tmp_path, blank(), each=deflate)
    monkeypatch.setenv("TUNETSEG_MEMORY_GB", "0.02")
    assert len(only(tmp_path).frames) == 3
    monkeypatch.delenv("TUNETSEG_MEMORY_GB")
    assert len(only(tmp_path).frames) == 4
