"""Named sets of evaluation conventions: what a score is where arithmetic alone does not say."""

import math
from dataclasses import dataclass
from typing import Literal

from tunetseg.metrics.overlap import Counts
from tunetseg.metrics.surface import HD95_DEFINITIONS

__all__ = ["RULES", "Emptiness", "EmptyRegions", "Rules", "WhenEmpty", "emptiness", "rules_named"]

Emptiness = Literal["none", "both", "reference", "prediction"]

# The length of the diagonal of 240 x 240 x 155 voxels of 1 mm, as the challenge's tables print it.
_BRATS_DIAGONAL_MM = 373.12866


def emptiness(counts: Counts) -> Emptiness:
    """Which of the two masks is empty."""
    if not counts.reference:
        return "reference" if counts.predicted else "both"
    return "none" if counts.predicted else "prediction"


@dataclass(frozen=True)
class WhenEmpty:
    """What one score is where a mask is empty; None leaves the case out of that score.

    Args:
        both: Neither the reference nor the prediction has a voxel.
        reference: Only the reference is empty: everything predicted is false.
        prediction: Only the prediction is empty: everything is missed.
    """

    both: float | None
    reference: float | None
    prediction: float | None

    def value(self, empty: Literal["both", "reference", "prediction"]) -> float:
        """Score in that event; NaN where it is left out."""
        found = {"both": self.both, "reference": self.reference, "prediction": self.prediction}[empty]
        return math.nan if found is None else found


_PERFECT_OR_NOTHING = WhenEmpty(both=1.0, reference=0.0, prediction=0.0)


@dataclass(frozen=True)
class EmptyRegions:
    """What every score is where a mask is empty.

    Args:
        hd95: 95th percentile of surface distance, millimetres.
        dice: Overlap.
        sensitivity: Share of the reference found. The challenge's own 2023 code gives 1 where both masks are
            empty and 0 where only the reference is; the older platform's code was never published, so every
            rule set here does the same.
        precision: Share of the prediction that is right; by analogy with sensitivity.

    Specificity needs no rule: its denominator vanishes only where the reference fills the whole grid, so that
    nothing could be wrong, and it is then 1.
    """

    hd95: WhenEmpty
    dice: WhenEmpty = _PERFECT_OR_NOTHING
    sensitivity: WhenEmpty = _PERFECT_OR_NOTHING
    precision: WhenEmpty = _PERFECT_OR_NOTHING


@dataclass(frozen=True)
class Rules:
    """One named set of evaluation conventions.

    Args:
        name: Key, such as ``brats2020``.
        description: One sentence for tables and files.
        empty: What the scores are where a region is empty.
        hd95: Key of `HD95_DEFINITIONS`.

    Examples:
        >>> RULES["brats2020"].penalty_mm
        373.12866
    """

    name: str
    description: str
    empty: EmptyRegions
    hd95: str = "directed"

    def __post_init__(self) -> None:
        """Check that the definition of HD95 exists."""
        if self.hd95 not in HD95_DEFINITIONS:
            raise ValueError(f"rules {self.name}: no definition of HD95 called {self.hd95!r}")

    @property
    def penalty_mm(self) -> float | None:
        """HD95 of a region that was missed altogether, in millimetres; None where such cases are left out."""
        return self.empty.hd95.prediction


RULES: dict[str, Rules] = {
    rules.name: rules
    for rules in (
        Rules(
            "brats2019",
            "HD95 leaves out a case where either mask is empty; Dice is 1 where both are empty and 0 where one is",
            # Inferred: the ranked means of that year are too small to hold a single penalty.
            EmptyRegions(hd95=WhenEmpty(both=None, reference=None, prediction=None)),
        ),
        Rules(
            "brats2020",
            f"HD95 is 0 where both masks are empty and {_BRATS_DIAGONAL_MM} mm where one is; "
            "Dice is 1 where both are empty and 0 where one is",
            EmptyRegions(hd95=WhenEmpty(both=0.0, reference=_BRATS_DIAGONAL_MM, prediction=_BRATS_DIAGONAL_MM)),
        ),
    )
}


def rules_named(name: str) -> Rules:
    """Set of rules by its name.

    Raises:
        ValueError: No such rules; the message lists what there is.
    """
    if name not in RULES:
        raise ValueError(f"rules {name!r}: no such set; there are {', '.join(RULES)}")
    return RULES[name]
