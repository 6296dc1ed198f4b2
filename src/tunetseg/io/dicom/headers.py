"""What the header of a DICOM file says about its images; nothing of who the patient is leaves this module."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunetseg.io.dicom.files import StoredFile
from tunetseg.io.dicom.geometry import Plane
from tunetseg.io.dicom.sequence import SequenceTags

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["TAGS", "Frame", "Header", "read_header", "says_image", "value_of"]

TAGS = [
    "AcquisitionContrast", "AcquisitionDate", "AcquisitionDateTime", "AcquisitionTime",
    "ContrastBolusAgent", "ContrastBolusAgentSequence", "DiffusionBValue", "EchoTime", "FrameOfReferenceUID",
    "ImageOrientationPatient", "ImagePositionPatient", "ImageType", "ImagesInAcquisition", "InstanceNumber",
    "InversionTime", "MagneticFieldStrength", "Manufacturer", "Modality", "NumberOfFrames", "PatientBirthDate",
    "PatientID", "PatientName", "OtherPatientIDs", "AccessionNumber", "PerFrameFunctionalGroupsSequence",
    "PhotometricInterpretation", "PixelSpacing", "ProtocolName", "RepetitionTime", "RescaleIntercept", "RescaleSlope",
    "Rows", "Columns", "SOPClassUID", "SOPInstanceUID", "SamplesPerPixel", "ScanningSequence", "SequenceName",
    "PulseSequenceName", "SeriesDate", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber", "SeriesTime",
    "SharedFunctionalGroupsSequence", "SliceThickness", "StudyInstanceUID",
]  # fmt: skip
"""All that is read of a header. Names and numbers of patients are compared and cut out of descriptions, not kept."""

_MODALITIES = {"MR", "CT", "PT"}
_SCANNER_IMAGES = ("MR Image", "CT Image", "PET Image", "Positron Emission Tomography Image")
_NO_IMAGES = ("Secondary Capture", "Segmentation", "Presentation State", "Spectroscopy", "Raw Data")


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice.

    Args:
        file: Where its pixels are.
        number: Of the frame in a multi-frame file, from 0.
        uid: SOP instance UID of the file.
        plane: Where it lies; None where the file does not say.
        slope: Factor of the stored values.
        intercept: Added to the product.
        tags: For guessing the sequence, and for telling volumes apart.
    """

    file: StoredFile
    number: int
    uid: str
    plane: Plane | None
    slope: float
    intercept: float
    tags: SequenceTags


@dataclass(frozen=True, eq=False)
class Header:
    """One file of a series.

    Args:
        patient: Tells patients apart; not to be stored.
        study: Study instance UID.
        series: Series instance UID.
        number: Series number.
        description: Series description, without the patient's name and number and without dates.
        modality: ``MR``, ``CT`` or ``PT``.
        space: Frame of reference UID.
        when: Sorts series by time; not to be stored.
        facts: Further tags for readers, ready for JSON.
        frames: Its slices.
        fault: Code and reason why the file cannot be used, or nothing.
        expected: Number of images of the acquisition, where the scanner wrote it.
    """

    patient: str
    study: str
    series: str
    number: int
    description: str
    modality: str
    space: str
    when: str
    facts: dict[str, str | float]
    frames: tuple[Frame, ...]
    fault: tuple[str, str] | None
    expected: int


def read_header(file: StoredFile, dataset: "Dataset") -> Header | None:
    """Return what a file says, or None where it holds no image of a scanner.

    Args:
        file: Where the dataset came from.
        dataset: Read with `TAGS`, without pixels.
    """
    modality = _text(dataset, "Modality").upper()
    if modality not in _MODALITIES or not _number(dataset, "Rows") or not _text(dataset, "SeriesInstanceUID"):
        return None
    if any(word in _kind(dataset) for word in _NO_IMAGES):
        return None
    private = _private_words(dataset)
    frames, fault = _frames(file, dataset)
    return Header(
        patient=_text(dataset, "PatientID") or _text(dataset, "PatientName").lower(),
        study=_text(dataset, "StudyInstanceUID"),
        series=_text(dataset, "SeriesInstanceUID"),
        number=int(_number(dataset, "SeriesNumber") or 0),
        description=_clean(_text(dataset, "SeriesDescription") or _text(dataset, "ProtocolName"), private),
        modality=modality,
        space=_text(dataset, "FrameOfReferenceUID"),
        when=_when(dataset),
        facts=_facts(dataset, frames, private),
        frames=frames,
        fault=fault,
        expected=int(_number(dataset, "ImagesInAcquisition") or 0),
    )


def says_image(dataset: "Dataset") -> bool:
    """Return whether a file claims to hold an image of a scanner; where it has no `Header`, it is cut off."""
    modality = _text(dataset, "Modality").upper()
    return modality in {"", *_MODALITIES} and any(word in _kind(dataset) for word in _SCANNER_IMAGES)


def _kind(dataset: "Dataset") -> str:
    """Names of the classes in the header and in the file's preamble, of which the first may be cut off."""
    meta = getattr(dataset, "file_meta", None)
    uids = value_of(dataset, "SOPClassUID"), value_of(meta, "MediaStorageSOPClassUID")
    return ", ".join(getattr(uid, "name", "") for uid in uids)


def _text(dataset: "Dataset | None", keyword: str) -> str:
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).replace("\0", "").strip()


def value_of(dataset: "Dataset | None", keyword: str) -> Any:
    """Return an element's value; None where it is missing, empty, or cannot be decoded."""
    if dataset is None:
        return None
    try:
        return dataset.get(keyword)
    except Exception:
        # pydicom decodes a value when it is asked for, and raises errors of many kinds.
        return None


def _number(dataset: "Dataset | None", keyword: str) -> float | None:
    values = _numbers(dataset, keyword)
    return values[0] if values else None


def _numbers(dataset: "Dataset | None", keyword: str) -> list[float]:
    value = value_of(dataset, keyword)
    if value is None or value == "":
        return []
    values = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    try:
        numbers = [float(number) for number in values]
    except (TypeError, ValueError, OverflowError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _texts(dataset: "Dataset | None", keyword: str) -> tuple[str, ...]:
    value = value_of(dataset, keyword)
    if value is None:
        return ()
    values = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
    return tuple(str(part).strip() for part in values)


def _first(dataset: "Dataset | None", keyword: str) -> "Dataset | None":
    """The first item of a sequence."""
    sequence = value_of(dataset, keyword)
    try:
        return sequence[0] if sequence else None
    except (TypeError, IndexError, KeyError):
        return None


def _private_words(dataset: "Dataset") -> set[str]:
    """Words by which the patient could be known."""
    keywords = ("PatientName", "PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber")
    parts = (part for keyword in keywords for part in re.split(r"[\W_]+", _text(dataset, keyword)))
    return {part.lower() for part in parts if len(part) > 2}


def _clean(text: str, private: set[str]) -> str:
    """Remove the patient's name and number, dates, and characters that cannot be printed."""
    words = re.split(r"(\W+|_)", text)
    kept = "".join("" if word.lower() in private else word for word in words)
    kept = re.sub(r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}|\d{6,}", "", kept)
    return re.sub(r"\s+", " ", "".join(letter for letter in kept if letter.isprintable())).strip()[:64]


def _when(dataset: "Dataset") -> str:
    """Text that sorts by the time of acquisition."""
    whole = _text(dataset, "AcquisitionDateTime")
    if whole:
        return whole
    date = _text(dataset, "AcquisitionDate") or _text(dataset, "SeriesDate")
    time = _text(dataset, "AcquisitionTime") or _text(dataset, "SeriesTime")
    return date + time if time else ""


def _facts(dataset: "Dataset", frames: tuple[Frame, ...], private: set[str]) -> dict[str, str | float]:
    """Tags that people want to see, without those that are empty."""
    tags = frames[0].tags if frames else SequenceTags()
    facts = {
        "manufacturer": _clean(_text(dataset, "Manufacturer"), private),
        "field strength (T)": _number(dataset, "MagneticFieldStrength"),
        "protocol": _clean(_text(dataset, "ProtocolName"), private),
        "sequence name": _clean(tags.sequence_name, private),
        "scanning sequence": " ".join(tags.scanning_sequence),
        "TE (ms)": tags.echo_time,
        "TR (ms)": tags.repetition_time,
        "TI (ms)": tags.inversion_time,
        "contrast agent": _clean(tags.contrast_agent, private),
        "image type": " ".join(tags.image_type),
    }
    return {name: value for name, value in facts.items() if value is not None and value != ""}


def _frames(file: StoredFile, dataset: "Dataset") -> tuple[tuple[Frame, ...], tuple[str, str] | None]:
    """The slices of a file, and why it cannot be used."""
    fault = _fault(dataset)
    count = int(_number(dataset, "NumberOfFrames") or 1)
    groups = value_of(dataset, "PerFrameFunctionalGroupsSequence")
    if groups:
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        if len(groups) != count and fault is None:
            fault = "damaged", f"describes {len(groups)} of its {count} frames; export it again"
        frames = tuple(_frame(file, dataset, _Groups(shared, group), number) for number, group in enumerate(groups))
        return frames, fault or _fault_of_values(frames)
    if count > 1 and fault is None:
        fault = "multi-frame", "has many frames in a file that does not say where they lie; export single slices"
    if "MOSAIC" in {part.upper() for part in _texts(dataset, "ImageType")} and fault is None:
        fault = "mosaic", "holds mosaics of slices, as functional and diffusion series do"
    frames = (_frame(file, dataset, None, 0),)
    return frames, fault or _fault_of_values(frames)


def _fault_of_values(frames: Iterable[Frame]) -> tuple[str, str] | None:
    if all(frame.slope and math.isfinite(frame.slope + frame.intercept) for frame in frames):
        return None
    return "damaged", "its values cannot be rescaled by slope 0, or by what is not one number; export it again"


def _fault(dataset: "Dataset") -> tuple[str, str] | None:
    if (_number(dataset, "SamplesPerPixel") or 1) > 1:
        return "colour", "holds colours, as maps and screen captures do; one number per pixel is needed"
    if _text(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        return "inverted", "is stored with inverted grey values; export it as MONOCHROME2"
    return None


class _Groups:
    """Functional groups of one frame of an enhanced file: its own before the shared ones."""

    def __init__(self, shared: "Dataset | None", own: "Dataset") -> None:
        self.places = (own, shared)

    def item(self, keyword: str) -> "Dataset | None":
        return next((item for place in self.places if (item := _first(place, keyword)) is not None), None)


def _frame(file: StoredFile, dataset: "Dataset", groups: _Groups | None, number: int) -> Frame:
    position: Dataset | None = dataset
    orientation: Dataset | None = dataset
    measures: Dataset | None = dataset
    values: Dataset | None = dataset
    if groups is not None:
        position = groups.item("PlanePositionSequence")
        orientation = groups.item("PlaneOrientationSequence")
        measures = groups.item("PixelMeasuresSequence")
        values = groups.item("PixelValueTransformationSequence")
    tags = _tags(dataset, groups)
    return Frame(
        file,
        number,
        _text(dataset, "SOPInstanceUID"),
        _plane(dataset, position, orientation, measures),
        _rescale(values, "RescaleSlope", 1.0),
        _rescale(values, "RescaleIntercept", 0.0),
        tags,
    )


def _rescale(item: "Dataset | None", keyword: str, usual: float) -> float:
    """Rescale slope or intercept of a frame; NaN where something else than one number is stored."""
    if item is None or keyword not in item or not item.get_item(keyword).value:
        return usual
    numbers = _numbers(item, keyword)
    return numbers[0] if len(numbers) == 1 else math.nan


def _plane(
    dataset: "Dataset", position: "Dataset | None", orientation: "Dataset | None", measures: "Dataset | None"
) -> Plane | None:
    place = _numbers(position, "ImagePositionPatient")
    cosines = _numbers(orientation, "ImageOrientationPatient")
    spacing = _numbers(measures, "PixelSpacing")
    if len(place) != 3 or len(cosines) != 6 or len(spacing) != 2:
        return None
    rows, columns = int(_number(dataset, "Rows") or 0), int(_number(dataset, "Columns") or 0)
    array: NDArray[np.float64] = np.array(cosines)
    thickness = _number(measures, "SliceThickness")
    return Plane(np.array(place), array[:3], array[3:], (spacing[0], spacing[1]), (rows, columns), thickness)


def _tags(dataset: "Dataset", groups: _Groups | None) -> SequenceTags:
    """Tags of one frame; an enhanced file keeps them in its functional groups."""
    echo = timing = modifier = frame_type = diffusion = None
    if groups is not None:
        echo = groups.item("MREchoSequence")
        timing = groups.item("MRTimingAndRelatedParametersSequence")
        modifier = groups.item("MRModifierSequence")
        frame_type = groups.item("MRImageFrameTypeSequence")
        diffusion = groups.item("MRDiffusionSequence")
    agent = _text(dataset, "ContrastBolusAgent")
    if not agent and (item := _first(dataset, "ContrastBolusAgentSequence")) is not None:
        agent = _text(item, "CodeMeaning") or "yes"
    inversion = _numbers(modifier, "InversionTimes") or _numbers(dataset, "InversionTime")
    scanning = _texts(dataset, "ScanningSequence")
    if _text(modifier, "InversionRecovery").upper() == "YES":
        scanning = (*scanning, "IR")
    b_value = _number(diffusion, "DiffusionBValue") or _number(dataset, "DiffusionBValue")
    return SequenceTags(
        description=_text(dataset, "SeriesDescription"),
        protocol=_text(dataset, "ProtocolName"),
        sequence_name=_text(dataset, "SequenceName") or _text(dataset, "PulseSequenceName"),
        modality=_text(dataset, "Modality").upper(),
        echo_time=_number(echo, "EffectiveEchoTime") or _number(dataset, "EchoTime"),
        repetition_time=_number(timing, "RepetitionTime") or _number(dataset, "RepetitionTime"),
        inversion_time=inversion[0] if inversion else None,
        contrast_agent=agent,
        scanning_sequence=scanning,
        acquisition_contrast=_text(frame_type, "AcquisitionContrast") or _text(dataset, "AcquisitionContrast"),
        image_type=_texts(frame_type, "FrameType") or _texts(dataset, "ImageType"),
        diffusion=bool(b_value),
    )
