"""The one table of scores: what each is called, how it is printed, and which way is better.

Tables, files, comparisons and plots all read `SCORES`, so that a new score is one entry here and the code
that computes it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

__all__ = ["SCORES", "EmptyRule", "PrintedTable", "Score"]

EmptyRule = Literal["overlap", "distance", "sensitivity", "precision"]
"""Field of `EmptyRegions` that gives a score its value where a mask is empty."""

PrintedTable = Literal["masks", "surfaces", "lesions", "uncertainty"]
"""Table on the screen, in the order of printing."""


@dataclass(frozen=True)
class Score:
    """One score of one region of one case.

    Args:
        name: Key in rows and summaries, and heading of the column in a CSV file.
        title: What people call it, such as ``surface Dice``.
        unit: ``mm`` or ``ml``; empty for a ratio.
        digits: After the decimal point, in printed tables.
        higher_is_better: Direction that methods are ranked by; None for a score that is not ranked.
        when_empty: Rule that gives its value where a mask is empty; None for a score that needs no rule.
        table: Printed table that shows it; None for a score that stands in files only. ``surfaces`` and
            ``uncertainty`` are printed where all of their scores were computed, the others with those that were.
        paper_title: Heading in the layout of the paper's tables; empty: `title`.

    Examples:
        >>> SCORES["hd95"].heading, SCORES["hd95"].higher_is_better
        ('HD95 in mm', False)
    """

    name: str
    title: str
    unit: str = ""
    digits: int = 3
    higher_is_better: bool | None = True
    when_empty: EmptyRule | None = None
    table: PrintedTable | None = None
    paper_title: str = ""

    @property
    def heading(self) -> str:
        """Title with the unit, for a column or an axis."""
        return f"{self.title} in {self.unit}" if self.unit else self.title

    @property
    def percent(self) -> bool:
        """Whether the paper's tables give it in percent: they do so for ratios."""
        return not self.unit


_distance = partial(Score, unit="mm", digits=2, higher_is_better=False)

SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("dice", "Dice", when_empty="overlap", table="masks", paper_title="DSC"),
        _distance("hd95", "HD95", when_empty="distance", table="masks"),
        Score("nsd", "NSD", when_empty="overlap", table="masks"),
        Score("nsd_05", "NSD at 0.5 mm", when_empty="overlap", table="masks"),
        Score("nsd_10", "NSD at 1 mm", when_empty="overlap", table="masks"),
        Score("sensitivity", "sensitivity", when_empty="sensitivity", table="masks"),
        Score("specificity", "specificity", digits=4, table="masks"),
        Score("precision", "precision", when_empty="precision"),
        Score("jaccard", "Jaccard", when_empty="overlap"),
        _distance("hd100", "HD100", when_empty="distance", table="surfaces"),
        _distance("assd", "ASSD", when_empty="distance", table="surfaces"),
        Score("surface_dice", "surface Dice", when_empty="overlap", table="surfaces"),
        _distance("centre_distance", "distance of centres", when_empty="distance"),
        Score("volume_error_ml", "volume error", unit="ml", digits=2, higher_is_better=None),
        Score("lesion_dice", "lesion-wise Dice", table="lesions", paper_title="lesion-wise DSC"),
        _distance("lesion_hd95", "lesion-wise HD95", table="lesions"),
        Score("lesion_nsd", "lesion-wise NSD", table="lesions"),
        Score("lesion_nsd_05", "lesion-wise NSD at 0.5 mm", table="lesions"),
        Score("lesion_nsd_10", "lesion-wise NSD at 1 mm", table="lesions"),
        Score("f1", "F1 of lesions", table="lesions"),
        Score("sq", "segmentation quality"),
        Score("pq", "panoptic quality", table="lesions"),
        Score("cc_dice", "CC-Dice", when_empty="overlap", table="lesions"),
        _distance("cc_hd95", "CC-HD95", when_empty="distance", table="lesions"),
        Score("dauc", "DAUC", table="uncertainty"),
        Score("rftp", "RFTP", higher_is_better=False, table="uncertainty", paper_title="RFTPs"),
        Score("rftn", "RFTN", higher_is_better=False, table="uncertainty", paper_title="RFTNs"),
        Score("qu_score", "score", table="uncertainty", paper_title="Score"),
        Score("ece", "ECE", digits=4, higher_is_better=False, table="uncertainty"),
        Score("ece_border", "ECE near the border", digits=4, higher_is_better=False),
        Score("brier_border", "Brier score near the border", digits=4, higher_is_better=False),
    )
}
"""Scores that are averaged over cases, by name, in the order of a CSV file's columns.

A row holds those that its rules and its files give. `score_case` computes all but the last seven, which need
uncertainty maps (`score_uncertainty`) or probabilities (`reliability`).
"""
