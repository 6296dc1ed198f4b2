"""Dataset layouts, cases, volumes, preprocessing, cache and folds."""

from tunetseg.data.case import MODALITIES, Case, read_case_list
from tunetseg.data.layouts import NoCaseError, case_from_files, find_cases

__all__ = ["MODALITIES", "Case", "NoCaseError", "case_from_files", "find_cases", "read_case_list"]
