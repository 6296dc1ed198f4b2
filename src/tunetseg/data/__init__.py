"""Dataset layouts, cases, volumes, preprocessing, cache and folds."""

from tunetseg.data.case import MODALITIES, Case
from tunetseg.data.layouts import case_from_files, find_cases

__all__ = ["MODALITIES", "Case", "case_from_files", "find_cases"]
