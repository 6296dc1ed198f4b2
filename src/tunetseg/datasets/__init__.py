"""Datasets: cases, layouts, nested regions and label values, folds, synthetic patients."""

from tunetseg.datasets.case import MODALITIES, Case, read_case_list
from tunetseg.datasets.labels import LabelScheme, nested
from tunetseg.datasets.layouts import NoCaseError, case_from_files, find_cases
from tunetseg.datasets.table import (
    FILE_WORDS,
    GLIOMA_REGIONS,
    SCHEMES,
    fitting_scheme,
    is_map_name,
    recognise_labels,
    scheme_named,
)

__all__ = [
    "FILE_WORDS",
    "GLIOMA_REGIONS",
    "MODALITIES",
    "SCHEMES",
    "Case",
    "LabelScheme",
    "NoCaseError",
    "case_from_files",
    "find_cases",
    "fitting_scheme",
    "is_map_name",
    "nested",
    "read_case_list",
    "recognise_labels",
    "scheme_named",
]
