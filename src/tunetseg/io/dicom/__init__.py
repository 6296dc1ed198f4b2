"""DICOM: examinations in, segmentations out. Needs the extra ``dicom``; research use, not a medical device."""

from tunetseg.findings import Finding, Level, refusals
from tunetseg.io.dicom.case import DicomCase, choose_series, find_dicom_cases, read_dicom_image
from tunetseg.io.dicom.segmentation import write_dicom_labels, write_dicom_probabilities
from tunetseg.io.dicom.sequence import SequenceGuess, SequenceTags, guess_sequence
from tunetseg.io.dicom.series import Contents, Series, find_series

__all__ = [
    "Contents",
    "DicomCase",
    "Finding",
    "Level",
    "SequenceGuess",
    "SequenceTags",
    "Series",
    "choose_series",
    "find_dicom_cases",
    "find_series",
    "guess_sequence",
    "read_dicom_image",
    "refusals",
    "write_dicom_labels",
    "write_dicom_probabilities",
]
