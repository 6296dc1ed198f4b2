"""SEG objects lie where the series lies: proved by centroids in the patient's space, by two readers."""

from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.io import Grid
from tunetseg.io.dicom import Series, find_series, write_dicom_labels, write_dicom_probabilities

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
highdicom = pytest.importorskip("highdicom", reason="the extra dicom is not installed")

Write = Callable[..., list[Path]]
LPS_TO_RAS = np.array([-1, -1, 1])
LABELS = {1: "necrosis and non-enhancing core", 2: "oedema", 4: "enhancing tumour"}
SHAPE = (7, 9, 8)  # slices, rows, columns
HALF_VOXEL = 0.5  # mm, of the smallest


def right_handed() -> list[tuple[float, ...]]:
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    return [tuple(np.concatenate([row, column]).tolist()) for row, column in product(axes, axes) if row @ column == 0]


def oblique(degrees: float) -> tuple[float, ...]:
    from scipy.spatial.transform import Rotation

    turned = Rotation.from_euler("xyz", [degrees, -degrees / 2, degrees / 3], degrees=True).as_matrix()
    return (*turned[:, 0].tolist(), *turned[:, 1].tolist())


def only(folder: Path) -> Series:
    (series,) = find_series(folder).series
    return series


def labelled() -> NDArray[np.uint8]:
    """A label map in the order of the slices, with three lopsided regions."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:5, 3:7] = 2
    labels[2, 3, 3:6] = 1
    labels[5, 7:9, 1] = 4
    return labels


def true_centroids(labels: NDArray, cosines: tuple[float, ...]) -> dict[int, NDArray]:
    """Label -> centre of its voxels in DICOM's space, from the tags that the series was written with."""
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    result = {}
    for label in LABELS:
        k, r, c = np.argwhere(labels == label).mean(axis=0)
        result[label] = np.array([-10, -20, 30]) + c * 1.0 * row + r * 2.0 * column + k * 3.0 * np.cross(row, column)
    return result


def centroids_by_tags(path: Path, threshold: float = 0.5) -> dict[int, NDArray]:
    """Segment number -> centre, from the position and orientation of each frame alone."""
    dataset = pydicom.dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    rows, columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    limit = threshold * getattr(dataset, "MaximumFractionalValue", 1)
    found: dict[int, list[NDArray]] = {}
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    for frame, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        # What is the same for all frames stands in the shared groups.
        home = groups if "SegmentIdentificationSequence" in groups else shared
        number = int(home.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for r, c in np.argwhere(frame >= limit):
            found.setdefault(number, []).append(position + c * columns * cosines[:3] + r * rows * cosines[3:])
    return {number: np.mean(points, axis=0) for number, points in found.items()}


def centroids_by_highdicom(path: Path) -> dict[int, NDArray]:
    segmentation = highdicom.seg.segread(path)
    found = {}
    for number in segmentation.segment_numbers:
        volume = segmentation.get_volume(segment_numbers=[number], combine_segments=False)
        points = np.argwhere(volume.array[..., 0] > 0)
        found[number] = volume.map_indices_to_reference(points.mean(axis=0, keepdims=True))[0]
    return found


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cosines", [*right_handed(), oblique(20), oblique(-40)])
def test_label_map_round_trip(tmp_path: Path, write_series: Write, cosines: tuple[float, ...], reverse: bool) -> None:
    labels = labelled()
    write_series(tmp_path / "mr", labels.astype(np.int16) * 10, cosines=cosines, reverse=reverse)
    series = only(tmp_path / "mr")
    # What was read is what is written, so that the whole way is tested: DICOM, memory, DICOM SEG.
    image = series.read(dtype=np.uint8)
    write_dicom_labels(tmp_path / "seg.dcm", image.array // 10, image.grid, series, LABELS)
    expected = true_centroids(labels, cosines)
    for found in (centroids_by_tags(tmp_path / "seg.dcm"), centroids_by_highdicom(tmp_path / "seg.dcm")):
        assert sorted(found) == [1, 2, 3]
        for number, label in enumerate(LABELS, start=1):
            assert np.linalg.norm(found[number] - expected[label]) < HALF_VOXEL / 100


@pytest.mark.parametrize("cosines", [*right_handed(), oblique(20), oblique(-40)])
def test_probabilities_round_trip(tmp_path: Path, write_series: Write, cosines: tuple[float, ...]) -> None:
    labels = labelled()
    write_series(tmp_path / "mr", labels.astype(np.int16), cosines=cosines)
    series = only(tmp_path / "mr")
    image = series.read()
    whole = np.where(image.array > 0, 0.8, 0.1)
    core = np.where(np.isin(image.array, (1, 4)), 0.6, 0.0)
    write_dicom_probabilities(tmp_path / "p.dcm", np.stack([whole, core]), image.grid, series, ("whole tumour", "core"))
    found = centroids_by_tags(tmp_path / "p.dcm")
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    for number, inside in ((1, labels > 0), (2, np.isin(labels, (1, 4)))):
        k, r, c = np.argwhere(inside).mean(axis=0)
        expected = np.array([-10, -20, 30]) + c * row + r * 2.0 * column + k * 3.0 * np.cross(row, column)
        assert np.linalg.norm(found[number] - expected) < HALF_VOXEL / 100
    dataset = pydicom.dcmread(tmp_path / "p.dcm")
    assert (dataset.SegmentationType, dataset.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    values = set(np.unique(dataset.pixel_array).tolist())
    assert {204, 153} <= values
    assert values <= {0, 25, 26, 153, 204}


def test_grid_in_any_order_of_axes(tmp_path: Path, write_series: Write) -> None:
    """The label map may come in all 48 orders of axes, as from NIfTI files."""
    labels = labelled()
    write_series(tmp_path / "mr", labels.astype(np.int16), cosines=oblique(20))
    series = only(tmp_path / "mr")
    image = series.read(dtype=np.uint8)
    write_dicom_labels(tmp_path / "first.dcm", image.array, image.grid, series, LABELS)
    expected = pydicom.dcmread(tmp_path / "first.dcm").PixelData
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        turn = np.array(list(zip(axes, signs, strict=True)), float)
        turned = apply_orientation(image.array, turn)
        grid = Grid(image.grid.affine @ inv_ornt_aff(turn, image.array.shape), turned.shape)
        write_dicom_labels(tmp_path / "seg.dcm", turned, grid, series, LABELS)
        assert pydicom.dcmread(tmp_path / "seg.dcm").PixelData == expected


def test_grid_from_nifti_with_rounded_affine(tmp_path: Path, write_series: Write) -> None:
    labels = labelled()
    cosines = oblique(-40)
    write_series(tmp_path / "mr", labels.astype(np.int16), cosines=cosines)
    series = only(tmp_path / "mr")
    image = series.read(dtype=np.uint8)
    affine = nib.Nifti1Image(image.array, image.grid.affine.astype(np.float32)).affine
    write_dicom_labels(tmp_path / "seg.dcm", image.array, Grid(affine, image.array.shape), series, LABELS)
    found = centroids_by_tags(tmp_path / "seg.dcm")
    for number, (label, centre) in enumerate(true_centroids(labels, cosines).items(), start=1):
        assert np.linalg.norm(found[number] - centre) < 0.01, label


def test_another_grid(tmp_path: Path, write_series: Write) -> None:
    """A label map on a grid of its own, such as after registration, keeps its place."""
    write_series(tmp_path / "mr", np.ones(SHAPE, np.int16))
    grid = Grid(np.diag([1.5, 1.5, 1.5, 1]), (6, 7, 8))
    labels = np.zeros(grid.shape, np.uint8)
    labels[2, 3:5, 6] = 1
    labels[2, 4, 5] = 1
    write_dicom_labels(tmp_path / "seg.dcm", labels, grid, only(tmp_path / "mr"), {1: "tumour"})
    expected = np.array([2, 11 / 3, 17 / 3]) * 1.5 * LPS_TO_RAS
    np.testing.assert_allclose(centroids_by_tags(tmp_path / "seg.dcm")[1], expected, atol=1e-6)


def test_straightened_series(tmp_path: Path, write_series: Write) -> None:
    array = np.zeros(SHAPE, np.int16)
    array[4, 5, 4] = 100
    write_series(tmp_path / "mr", array, shift=(0.0, 2.0))
    series = only(tmp_path / "mr")
    image = series.read()
    write_dicom_labels(tmp_path / "seg.dcm", (image.array > 50).astype(np.uint8), image.grid, series, {1: "tumour"})
    expected = [-10 + 4 * 1.0, -20 + 5 * 2.0 + 4 * 2.0, 30 + 4 * 3.0]
    np.testing.assert_allclose(centroids_by_tags(tmp_path / "seg.dcm")[1], expected, atol=1e-6)


def test_what_it_says(tmp_path: Path, write_series: Write) -> None:
    paths = write_series(tmp_path / "mr", labelled().astype(np.int16))
    series = only(tmp_path / "mr")
    image = series.read(dtype=np.uint8)
    write_dicom_labels(tmp_path / "seg.dcm", image.array, image.grid, series, LABELS)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    source = pydicom.dcmread(paths[0])
    assert (dataset.Modality, dataset.SegmentationType) == ("SEG", "BINARY")
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert dataset[keyword].value == source[keyword].value
    assert dataset.ContentDescription == "research use, not a medical device"
    assert "research use, not a medical device" in dataset.SeriesDescription
    codes = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in dataset.SegmentSequence]
    assert [(code.CodeValue, code.CodingSchemeDesignator) for code in codes] == [
        ("6574001", "SCT"),
        ("79654002", "SCT"),
        ("C113842", "NCIt"),
    ]
    described = [(segment.SegmentLabel, segment.SegmentDescription) for segment in dataset.SegmentSequence]
    assert described[2] == ("enhancing tumour", "label value 4; research use, not a medical device")
    assert {segment.SegmentAlgorithmType for segment in dataset.SegmentSequence} == {"AUTOMATIC"}
    (referenced,) = dataset.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == series.uid
    known = {pydicom.dcmread(path).SOPInstanceUID for path in paths}
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} <= known
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        (image_item,) = groups.DerivationImageSequence[0].SourceImageSequence
        (own,) = (path for path in paths if pydicom.dcmread(path).SOPInstanceUID == image_item.ReferencedSOPInstanceUID)
        np.testing.assert_allclose(pydicom.dcmread(own).ImagePositionPatient, position, atol=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mr", "seg.dcm"]


def test_from_enhanced_file(tmp_path: Path, write_enhanced: Callable[..., Path]) -> None:
    labels = labelled()
    write_enhanced(tmp_path / "mr" / "one", labels, [6, 0, 3, 1, 5, 2, 4])
    series = only(tmp_path / "mr")
    image = series.read(dtype=np.uint8)
    write_dicom_labels(tmp_path / "seg.dcm", image.array, image.grid, series, LABELS)
    found = centroids_by_tags(tmp_path / "seg.dcm")
    for number, centre in enumerate(true_centroids(labels, (1, 0, 0, 0, 1, 0)).values(), start=1):
        assert np.linalg.norm(found[number] - centre) < HALF_VOXEL / 100


def test_no_tumour(tmp_path: Path, write_series: Write) -> None:
    write_series(tmp_path / "mr", labelled().astype(np.int16))
    series = only(tmp_path / "mr")
    empty = np.zeros(series.grid.in_lps().shape, np.uint8)
    write_dicom_labels(tmp_path / "seg.dcm", empty, series.grid.in_lps(), series, LABELS)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    assert len(dataset.SegmentSequence) == 3
    assert not dataset.pixel_array.any()


def test_series_without_patient_module(tmp_path: Path, write_series: Write) -> None:
    def strip(dataset: Any, _: int) -> None:
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber", "StudyID"):
            delattr(dataset, keyword)

    write_series(tmp_path / "mr", labelled().astype(np.int16), each=strip)
    series = only(tmp_path / "mr")
    image = series.read(dtype=np.uint8)
    write_dicom_labels(tmp_path / "seg.dcm", image.array, image.grid, series, LABELS)
    assert pydicom.dcmread(tmp_path / "seg.dcm").PatientID == ""


def test_series_without_slice_thickness(tmp_path: Path, write_series: Write) -> None:
    def strip(dataset: Any, _: int) -> None:
        del dataset.SliceThickness

    write_series(tmp_path / "mr", labelled().astype(np.int16), each=strip)
    series = only(tmp_path / "mr")
    image = series.read(dtype=np.uint8)
    write_dicom_labels(tmp_path / "seg.dcm", image.array, image.grid, series, LABELS)
    shared = pydicom.dcmread(tmp_path / "seg.dcm").SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].SliceThickness == 3.0


def test_headers_that_cannot_be_copied(tmp_path: Path, write_series: Write) -> None:
    """The element that no reading of images needs has a type of value that does not exist."""
    paths = write_series(tmp_path / "mr", labelled().astype(np.int16))
    series = only(tmp_path / "mr")
    image = series.read(dtype=np.uint8)
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"\x10\0\x10\0PN", b"\x10\0\x10\0QQ"))
    with pytest.raises(InputError, match=r"lack something that a DICOM SEG object must copy.*\(NotImplementedError\)"):
        write_dicom_labels(tmp_path / "seg.dcm", image.array, image.grid, series, LABELS)
    assert not list(tmp_path.glob("*.dcm"))


def test_refusals(tmp_path: Path, write_series: Write) -> None:
    paths = write_series(tmp_path / "mr", labelled().astype(np.int16))
    series = only(tmp_path / "mr")
    image = series.read(dtype=np.uint8)
    with pytest.raises(ValueError, match="holds 4, which is none of the labels 1, 2"):
        write_dicom_labels(tmp_path / "a.dcm", image.array, image.grid, series, {1: "a", 2: "b"})
    with pytest.raises(ValueError, match="on a grid of"):
        write_dicom_labels(tmp_path / "a.dcm", image.array[1:], image.grid, series, LABELS)
    with pytest.raises(ValueError, match="outside of 0 to 1"):
        write_dicom_probabilities(tmp_path / "a.dcm", image.array[None] * 1.0, image.grid, series, ["whole"])
    with pytest.raises(ValueError, match="1 probability maps for 2 regions"):
        write_dicom_probabilities(tmp_path / "a.dcm", image.array[None] * 0.1, image.grid, series, ["a", "b"])
    with pytest.raises(InputError, match=r"ends in \.dcm"):
        write_dicom_labels(tmp_path / "a.nii", image.array, image.grid, series, LABELS)
    sheared = image.grid.affine.copy()
    sheared[0, 2] += 1
    with pytest.raises(InputError, match="sheared"):
        write_dicom_labels(tmp_path / "a.dcm", image.array, Grid(sheared, image.array.shape), series, LABELS)
    paths[0].unlink()
    with pytest.raises(InputError, match="no longer be read"):
        write_dicom_labels(tmp_path / "a.dcm", image.array, image.grid, series, LABELS)
    assert not (tmp_path / "a.dcm").exists()
