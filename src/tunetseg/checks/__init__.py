"""Checks of images before a network sees them, and of results afterwards; research use, not a medical device."""

from tunetseg.checks.images import check_volume
from tunetseg.checks.result import check_result
from tunetseg.checks.thresholds import THRESHOLDS, Thresholds
from tunetseg.findings import Finding, Level, refusals

__all__ = [
    "THRESHOLDS",
    "Finding",
    "Level",
    "Thresholds",
    "check_result",
    "check_volume",
    "refusals",
]
