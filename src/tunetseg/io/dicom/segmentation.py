"""Write segmentations as DICOM SEG objects that belong to the series they were drawn on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.io.dicom.codes import region_code
from tunetseg.io.dicom.files import quiet
from tunetseg.io.dicom.headers import value_of
from tunetseg.io.dicom.series import Series
from tunetseg.io.extras import need
from tunetseg.io.files import check_target, whole_file
from tunetseg.io.grid import LPS_TO_RAS, Grid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["DISCLAIMER", "write_dicom_labels", "write_dicom_probabilities"]

DISCLAIMER = "research use, not a medical device"

_NEEDED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"
)  # fmt: skip
"""Elements that a SEG object copies, which may be empty but not missing."""


def write_dicom_labels(
    path: str | Path, label_map: NDArray[np.integer], grid: Grid, series: Series, labels: Mapping[int, str]
) -> None:
    """Write a label map as a DICOM SEG object of type BINARY, one segment per label value.

    The object is filed with the series: like every DICOM object of an examination, it carries the patient's name,
    number and dates, copied from the series. The file appears only when complete.

    Args:
        path: Ends in ``.dcm``.
        label_map: Shape of the grid, in its order of axes.
        grid: Where the voxels lie: the lattice of the series in any order of axes, or another right-angled one.
        series: The series that the segmentation was drawn on.
        labels: Label value -> what it means. All are described, also those that no voxel has.

    Raises:
        InputError: The file cannot be written, the series has no frame of reference, its files have disappeared, its
            headers are damaged, or highdicom is not installed.
        ValueError: The label map does not have the shape of the grid, holds a value that is not in ``labels``, or
            there are no labels.
    """
    if not labels:
        raise ValueError("there are no labels")
    unknown = sorted(set(np.unique(label_map).tolist()) - {0, *labels})
    if unknown:
        raise ValueError(f"label map holds {unknown[0]}, which is none of the labels {', '.join(map(str, labels))}")
    segments = np.stack([label_map == value for value in labels]).astype(np.uint8)
    described = [(meaning, f"label value {value}") for value, meaning in labels.items()]
    _write(path, segments, grid, series, described, "BINARY")


def write_dicom_probabilities(
    path: str | Path, probabilities: NDArray[np.floating], grid: Grid, series: Series, regions: Sequence[str]
) -> None:
    """Write probability maps as a DICOM SEG object of type FRACTIONAL, one segment per region.

    Probabilities are stored in steps of 1/255. See `write_dicom_labels` for what else the file holds.

    Args:
        path: Ends in ``.dcm``.
        probabilities: From 0 to 1, shape (region, ...) and then that of the grid, in its order of axes.
        grid: Where the voxels lie.
        series: The series that the segmentation was drawn on.
        regions: What each region is called; they may overlap.

    Raises:
        InputError: As `write_dicom_labels`.
        ValueError: Shapes or numbers do not fit, or a probability is outside of 0 to 1.
    """
    if not len(regions) or len(regions) != len(probabilities):
        raise ValueError(f"{len(probabilities)} probability maps for {len(regions)} regions")
    if not (np.isfinite(probabilities).all() and probabilities.min() >= 0 and probabilities.max() <= 1):
        raise ValueError("a probability is outside of 0 to 1")
    described = [(region, "probability") for region in regions]
    _write(path, np.asarray(probabilities, np.float32), grid, series, described, "FRACTIONAL")


def _write(
    path: str | Path,
    segments: NDArray,
    grid: Grid,
    series: Series,
    described: Sequence[tuple[str, str]],
    kind: Literal["BINARY", "FRACTIONAL"],
) -> None:
    """Write segments of shape (segment, ...) and then that of the grid."""
    if segments.shape[1:] != grid.shape:
        raise ValueError(f"array of shape {segments.shape[1:]} on a grid of {grid.shape}")
    target = check_target(path, ".dcm")
    highdicom = need("highdicom", "dicom", f"{target}: writing DICOM SEG")
    sources = _sources(series)
    volume = _volume(segments, grid, series, sources[0], highdicom)
    what = "segmentation" if kind == "BINARY" else "probabilities"
    with quiet():
        try:
            result = highdicom.seg.Segmentation(
                source_images=sources,
                pixel_array=volume,
                segmentation_type=kind,
                segment_descriptions=_descriptions(described, highdicom),
                series_instance_uid=highdicom.UID(),
                series_number=9001 if kind == "BINARY" else 9002,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer="tunetseg",
                manufacturer_model_name="tunetseg",
                software_versions=_version(),
                device_serial_number="none",
                content_label="TUMOUR" if kind == "BINARY" else "PROBABILITY",
                content_description=DISCLAIMER,
                # highdicom's own default for objects without content, which it warns of, is to keep all frames.
                omit_empty_frames=bool(segments.any()),
                series_description=f"tunetseg {what} ({DISCLAIMER})",
            )
            with whole_file(target) as partial:
                result.save_as(partial, enforce_file_format=True)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # highdicom reads elements that nothing else needs, and raises errors of many kinds
            raise InputError(
                f"{series.name}: its headers lack something that a DICOM SEG object must copy, or it is damaged "
                f"({type(error).__name__}); export the series again, or segment without DICOM SEG"
            ) from error


def _version() -> str:
    from tunetseg import __version__

    return __version__


def _sources(series: Series) -> list["Dataset"]:
    sources = series.datasets()
    for dataset in sources:
        for keyword in _NEEDED:
            if keyword not in dataset:
                setattr(dataset, keyword, "")
        if "PerFrameFunctionalGroupsSequence" not in dataset and not value_of(dataset, "SliceThickness"):
            dataset.add_new("SliceThickness", "DS", f"{series.grid.spacing[2]:.6g}")
        if not value_of(dataset, "FrameOfReferenceUID"):
            raise InputError(f"{series.name}: has no frame of reference, to which a DICOM SEG object must refer")
    return sources


def _volume(segments: NDArray, grid: Grid, series: Series, source: "Dataset", highdicom: ModuleType) -> Any:
    """Segments as highdicom wants them: axes (slice, row, column, segment), in the slices of the series if possible."""
    if series.grid.same_lattice(grid):
        place = series.grid
        array = place.from_lps(grid.to_lps(segments))
    else:
        place = grid.in_lps()
        array = grid.to_lps(segments)
    affine = LPS_TO_RAS @ place.affine
    sizes = np.array(place.spacing)
    if np.abs((affine[:3, :3] / sizes).T @ (affine[:3, :3] / sizes) - np.eye(3)).max() > 1e-3:
        raise InputError("the grid is sheared, and DICOM SEG holds right-angled ones only; resample the images first")
    affine = affine[:, [2, 1, 0, 3]]
    affine[:3, :3] = _right_angled(affine[:3, :3])
    return highdicom.Volume(
        np.ascontiguousarray(array.transpose(3, 2, 1, 0)),
        affine,
        coordinate_system="PATIENT",
        frame_of_reference_uid=source.FrameOfReferenceUID,
        channels={"SegmentNumber": list(range(1, len(segments) + 1))},
    )


def _right_angled(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest axes that are right-angled to the last digit; NIfTI stores them with six."""
    sizes = np.linalg.norm(axes, axis=0)
    left, _, right = np.linalg.svd(axes / sizes)
    return (left @ right) * sizes


def _descriptions(described: Sequence[tuple[str, str]], highdicom: ModuleType) -> list[Any]:
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="tunetseg", version=_version(), family=codes.DCM.ArtificialIntelligence
    )
    result = []
    for number, (meaning, more) in enumerate(described, start=1):
        code = region_code(meaning)
        segment = highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=meaning[:64],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=Code(code.value, code.scheme, code.meaning),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=highdicom.UID(),
            tracking_id=f"{meaning[:40]}, {more}"[:64],
            display_color=highdicom.color.CIELabColor.from_rgb(*code.colour),
        )
        segment.SegmentDescription = f"{more}; {DISCLAIMER}"
        result.append(segment)
    return result
