"""Tiny DICOM series, made with pydicom; no real patient is in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

AXIAL = (1, 0, 0, 0, 1, 0)

STUDY = "1.2.826.0.1.3680043.8.498.1"
SPACE = "1.2.826.0.1.3680043.8.498.2"

SEQUENCES: dict[str, dict[str, Any]] = {
    "t1": {"SeriesDescription": "AX T1 SE", "EchoTime": 10, "RepetitionTime": 500},
    "t1ce": {
        "SeriesDescription": "AX T1 SE +C",
        "EchoTime": 10,
        "RepetitionTime": 500,
        "ContrastBolusAgent": "Gadovist",
    },
    "t2": {"SeriesDescription": "AX T2 TSE", "EchoTime": 100, "RepetitionTime": 4500},
    "flair": {"SeriesDescription": "AX FLAIR", "EchoTime": 120, "RepetitionTime": 9000, "InversionTime": 2500},
}


def slice_positions(
    count: int, cosines: tuple[float, ...], origin: tuple[float, ...], step: float, shift: tuple[float, float]
) -> NDArray[np.float64]:
    """Positions along the normal, each shifted within the plane against the one before."""
    row, column = np.array(cosines[:3], float), np.array(cosines[3:], float)
    direction = np.cross(row, column) * step + row * shift[0] + column * shift[1]
    return np.array(origin, float) + np.arange(count)[:, None] * direction


def _base(uid: str, number: int, instance: int, tags: dict[str, Any]) -> Any:
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[uid, str(number), str(instance)])
    dataset.Modality = "MR"
    dataset.PatientName = "Meier^Anna"
    dataset.PatientID = "PAT-4711"
    dataset.PatientBirthDate = "19600101"
    dataset.PatientSex = "F"
    dataset.StudyInstanceUID = STUDY
    dataset.StudyID = "1"
    dataset.StudyDate = "20200102"
    dataset.StudyTime = "101500"
    dataset.AccessionNumber = "A998877"
    dataset.SeriesInstanceUID = uid
    dataset.SeriesNumber = number
    dataset.FrameOfReferenceUID = SPACE
    dataset.InstanceNumber = instance
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored = 16
    dataset.HighBit = 15
    with pydicom.config.disable_value_validation():
        for keyword, value in tags.items():
            if keyword in dataset:
                del dataset[keyword]  # an element keeps the checks of the time when it was made
            setattr(dataset, keyword, value)
    return dataset


@pytest.fixture(scope="session")
def write_series() -> Callable[..., list[Path]]:
    """A function that writes an array of shape (slice, row, column) as single-frame MR images."""
    pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    from pydicom.uid import generate_uid

    def write(
        folder: Path,
        array: NDArray,
        *,
        cosines: tuple[float, ...] = AXIAL,
        spacing: tuple[float, float] = (2.0, 1.0),
        step: float = 3.0,
        origin: tuple[float, ...] = (-10.0, -20.0, 30.0),
        shift: tuple[float, float] = (0.0, 0.0),
        number: int = 1,
        reverse: bool = False,
        keep: Callable[[int], bool] = lambda _: True,
        name: str = "IM{:04d}",
        each: Callable[[Any, int], None] = lambda *_: None,
        **tags: Any,
    ) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        uid = tags.pop("SeriesInstanceUID", None) or generate_uid(entropy_srcs=[str(folder), str(number), str(tags)])
        positions = slice_positions(len(array), cosines, origin, step, shift)
        paths = []
        for index in filter(keep, range(len(array))):
            instance = len(array) - index if reverse else index + 1
            dataset = _base(uid, number, instance, tags)
            dataset.ImageOrientationPatient = [float(f"{value:.9f}") for value in cosines]
            dataset.ImagePositionPatient = [float(f"{value:.6f}") for value in positions[index]]
            dataset.PixelSpacing = list(spacing)
            dataset.SliceThickness = step
            dataset.Rows, dataset.Columns = array.shape[1:]
            dataset.PixelRepresentation = int(array.dtype.kind == "i")
            dataset.PixelData = np.ascontiguousarray(array[index]).tobytes()
            each(dataset, index)
            path = folder / name.format(instance)
            with pydicom.config.disable_value_validation():
                dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    return write


@pytest.fixture(scope="session")
def write_enhanced() -> Callable[..., Path]:
    """A function that writes an array of shape (slice, row, column) as one enhanced multi-frame file."""
    pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence
    from pydicom.uid import EnhancedMRImageStorage, generate_uid

    def item(**elements: Any) -> Any:
        dataset = Dataset()
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        return dataset

    def write(
        path: Path,
        array: NDArray,
        order: list[int],
        *,
        spacing: tuple[float, float] = (2.0, 1.0),
        step: float = 3.0,
        origin: tuple[float, ...] = (-10.0, -20.0, 30.0),
        contrast: str = "FLUID_ATTENUATED",
        slopes: NDArray | None = None,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = _base(generate_uid(entropy_srcs=[str(path)]), 1, 1, {})
        dataset.SOPClassUID = EnhancedMRImageStorage
        dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
        dataset.Rows, dataset.Columns = array.shape[1:]
        dataset.PixelRepresentation = 0
        dataset.NumberOfFrames = len(array)
        dataset.PixelData = np.ascontiguousarray(array[order]).astype(np.uint16).tobytes()
        dataset.SharedFunctionalGroupsSequence = Sequence(
            [
                item(
                    PixelMeasuresSequence=[item(PixelSpacing=list(spacing), SliceThickness=step)],
                    PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))],
                    MRTimingAndRelatedParametersSequence=[item(RepetitionTime=9000.0)],
                    MREchoSequence=[item(EffectiveEchoTime=120.0)],
                    MRImageFrameTypeSequence=[
                        item(FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"], AcquisitionContrast=contrast)
                    ],
                )
            ]
        )
        positions = slice_positions(len(array), AXIAL, origin, step, (0, 0))
        dataset.PerFrameFunctionalGroupsSequence = Sequence(
            [
                item(
                    PlanePositionSequence=[item(ImagePositionPatient=positions[index].tolist())],
                    PixelValueTransformationSequence=[
                        item(RescaleSlope=1.0 if slopes is None else float(slopes[index]), RescaleIntercept=0.0)
                    ],
                )
                for index in order
            ]
        )
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture(scope="session")
def examination(tmp_path_factory: pytest.TempPathFactory, write_series: Callable[..., list[Path]]) -> Path:
    """A folder with the four sequences, a localizer and files that are no images, nested and mixed."""
    root = tmp_path_factory.mktemp("export")
    array = np.arange(4 * 6 * 5, dtype=np.int16).reshape(4, 6, 5)
    for number, (channel, tags) in enumerate(SEQUENCES.items(), start=1):
        place = root / "DICOM" / ("A" if number < 3 else "B/C")
        time = f"10{number:02d}00"
        write_series(place, array + number, number=number, name=f"{channel}{{}}", AcquisitionTime=time, **tags)
    write_series(root / "DICOM" / "A", array[:3], number=9, name="loc{}.dcm", SeriesDescription="Localizer")
    (root / "README.txt").write_text("exported")
    (root / "DICOM" / "notes.pdf").write_bytes(b"%PDF-1.4")
    return root
