"""Checks of images before a network sees them, and of results afterwards; research use, not a medical device."""

from tunetseg.checks.images import check_grid, check_volume
from tunetseg.checks.inspection import Inspection, inspect_case, inspect_place
from tunetseg.checks.missing import missing_channels
from tunetseg.checks.result import check_result
from tunetseg.checks.thresholds import THRESHOLDS, Thresholds
from tunetseg.findings import Finding, Level, refusals

__all__ = [
    "THRESHOLDS",
    "Finding",
    "Inspection",
    "Level",
    "Thresholds",
    "check_grid",
    "check_result",
    "check_volume",
    "inspect_case",
    "inspect_place",
    "missing_channels",
    "refusals",
]
