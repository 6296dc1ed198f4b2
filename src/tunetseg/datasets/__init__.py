"""Datasets: their descriptions, cases, label values, folds, and synthetic patients."""

from tunetseg.datasets.case import Case, Missing, read_case_list
from tunetseg.datasets.catalogue import candidate_schemes, find_description, find_scheme, packaged_descriptions
from tunetseg.datasets.cohort import NoCaseError, case_from_files, check_case_name, find_cases
from tunetseg.datasets.description import (
    Channel,
    DatasetDescription,
    FileLayout,
    Foreground,
    Normalisation,
    Postprocessing,
    Region,
)
from tunetseg.datasets.examinations import find_patients, with_series
from tunetseg.datasets.folds import split_folds
from tunetseg.datasets.labels import LabelScheme, count_labels, nested, present_labels, recognise_labels
from tunetseg.datasets.recognition import case_of_prediction, nifti_stem, prediction_name

__all__ = [
    "Case",
    "Channel",
    "DatasetDescription",
    "FileLayout",
    "Foreground",
    "LabelScheme",
    "Missing",
    "NoCaseError",
    "Normalisation",
    "Postprocessing",
    "Region",
    "candidate_schemes",
    "case_from_files",
    "case_of_prediction",
    "check_case_name",
    "count_labels",
    "find_cases",
    "find_description",
    "find_patients",
    "find_scheme",
    "nested",
    "nifti_stem",
    "packaged_descriptions",
    "prediction_name",
    "present_labels",
    "read_case_list",
    "recognise_labels",
    "split_folds",
    "with_series",
]
