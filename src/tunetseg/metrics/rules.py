"""Named sets of evaluation rules: what a score is where its definition leaves a choice."""

import math
from dataclasses import dataclass
from typing import Literal

from tunetseg.errors import InputError
from tunetseg.metrics.lesions import LesionRules
from tunetseg.metrics.overlap import Counts
from tunetseg.metrics.scores import EmptyRule
from tunetseg.metrics.surface import HAUSDORFF
from tunetseg.metrics.uncertainty import QU_BRATS_THRESHOLDS

__all__ = ["RULES", "Emptiness", "EmptyRegions", "Rules", "WhenEmpty", "emptiness", "find_rules"]

Emptiness = Literal["none", "both", "reference", "prediction"]

# The length of the diagonal of 240 x 240 x 155 voxels of 1 mm, as the challenge's tables print it.
_BRATS_DIAGONAL_MM = 373.12866


def emptiness(counts: Counts) -> Emptiness:
    """Return which of the two masks is empty."""
    if not counts.reference:
        return "reference" if counts.predicted else "both"
    return "none" if counts.predicted else "prediction"


@dataclass(frozen=True)
class WhenEmpty:
    """Value of one score where a mask is empty; None leaves the case out of that score.

    Args:
        both: Both masks are empty.
        reference: Only the reference is empty: everything predicted is a false positive.
        prediction: Only the prediction is empty: everything is missed.
    """

    both: float | None
    reference: float | None
    prediction: float | None

    def value(self, empty: Literal["both", "reference", "prediction"]) -> float:
        """Return the score in that event; NaN where the case is left out."""
        value = {"both": self.both, "reference": self.reference, "prediction": self.prediction}[empty]
        return math.nan if value is None else value


_PERFECT_OR_NOTHING = WhenEmpty(both=1.0, reference=0.0, prediction=0.0)
_LEFT_OUT = WhenEmpty(both=None, reference=None, prediction=None)


def _penalty(mm: float) -> WhenEmpty:
    return WhenEmpty(both=0.0, reference=mm, prediction=mm)


@dataclass(frozen=True)
class EmptyRegions:
    """Value of every score where a mask is empty.

    Args:
        distance: Every distance between surfaces, in millimetres.
        overlap: Dice, Jaccard and surface Dice.
        sensitivity: Share of the reference that was predicted. The challenge's own code of 2023 gives 1 where both
            masks are empty and 0 where only the reference is; the older platform's code was never published, so
            every BraTS rule set here does the same.
        precision: Share of the prediction that is right; by analogy with sensitivity.

    Specificity needs no rule: its denominator is 0 only where the reference fills the whole grid, so that no false
    positive is possible, and it is then 1.
    """

    distance: WhenEmpty
    overlap: WhenEmpty = _PERFECT_OR_NOTHING
    sensitivity: WhenEmpty = _PERFECT_OR_NOTHING
    precision: WhenEmpty = _PERFECT_OR_NOTHING

    def rule(self, name: EmptyRule) -> WhenEmpty:
        """Return the rule that an entry of `SCORES` names."""
        rule: WhenEmpty = getattr(self, name)
        return rule


@dataclass(frozen=True)
class Rules:
    """One named set of evaluation rules.

    Args:
        name: Key, such as ``brats2020``.
        description: One sentence for tables and files.
        empty: Values of the scores where a region is empty.
        labels: Dataset whose regions the rules are for, and whose label values a file has where nothing else says;
            None: any nested regions.
        hausdorff: Key of `HAUSDORFF`: the meaning of HD95 and HD100, and the surface elements that the average
            distance is taken over.
        lesions: How lesions are counted; None: they are not counted.
        uncertainty: Thresholds of the scores of uncertainty maps; None: such maps are scored only on request.
        round_labels: Round label values that are not whole, instead of refusing them.
        version: Raised whenever a score under these rules may change.

    Examples:
        >>> RULES["brats2020"].penalty_mm
        373.12866
    """

    name: str
    description: str
    empty: EmptyRegions
    labels: str | None = None
    hausdorff: str = "symmetric-max"
    lesions: LesionRules | None = None
    uncertainty: tuple[float, ...] | None = None
    round_labels: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        """Check that the definition of HD95 exists."""
        if self.hausdorff not in HAUSDORFF:
            raise ValueError(
                f"rules {self.name}: unknown definition of the Hausdorff distance {self.hausdorff!r}; "
                f"choose from {', '.join(HAUSDORFF)}"
            )

    @property
    def penalty_mm(self) -> float | None:
        """HD95 of a region that was missed completely, in millimetres; None where such cases are left out."""
        return self.empty.distance.prediction

    @property
    def hd95_description(self) -> str:
        """Meaning of HD95 under these rules, for tables and files."""
        return HAUSDORFF[self.hausdorff].description.format(p=95)


_BRATS2020 = EmptyRegions(distance=_penalty(_BRATS_DIAGONAL_MM))


def _brats2023(challenge: str, lesions: LesionRules) -> Rules:
    return Rules(
        f"brats2023-{challenge}",
        f"lesion-wise: the reference dilated by {lesions.dilation}, lesions of {lesions.min_volume_mm3:g} mm3 or less "
        f"not counted, {lesions.penalty_mm:g} mm for a missed lesion or a false positive; also the whole regions, "
        f"with HD95 0 where both masks are empty and {lesions.penalty_mm:g} mm where one is",
        EmptyRegions(distance=_penalty(lesions.penalty_mm)),
        hausdorff=lesions.hausdorff,
        lesions=lesions,
    )


RULES: dict[str, Rules] = {
    rules.name: rules
    for rules in (
        Rules(
            "brats2019",
            "HD95 leaves out a case where either mask is empty; Dice is 1 where both are empty and 0 where one is",
            # Inferred: the ranked means of that year are too small to contain a single penalty.
            EmptyRegions(distance=_LEFT_OUT),
        ),
        Rules(
            "brats2020",
            f"HD95 is 0 where both masks are empty and {_BRATS_DIAGONAL_MM} mm where one is; "
            "Dice is 1 where both are empty and 0 where one is",
            _BRATS2020,
        ),
        *(_brats2023(challenge, LesionRules()) for challenge in ("gli", "ssa", "ped")),
        _brats2023("men", LesionRules(dilation=1)),
        _brats2023("met", LesionRules(dilation=1, min_volume_mm3=2.0)),
        Rules(
            "qu-brats",
            "uncertainty maps filtered at rising thresholds; the rest as in brats2020",
            _BRATS2020,
            uncertainty=QU_BRATS_THRESHOLDS,
        ),
        Rules(
            "kits19",
            "Dice of kidney with tumour and of tumour, left out where both masks are empty, as the official code's "
            "NaN does; label values that are not whole are rounded, as there",
            EmptyRegions(
                distance=_LEFT_OUT,
                overlap=WhenEmpty(both=None, reference=0.0, prediction=0.0),
                sensitivity=WhenEmpty(both=None, reference=None, prediction=0.0),
                precision=WhenEmpty(both=None, reference=0.0, prediction=None),
            ),
            labels="kits19",
            round_labels=True,
        ),
    )
}
"""Rule sets by name."""

_ALIASES = {"brats2023": "brats2023-gli", "brats2021": "brats2020"}


def find_rules(name: str) -> Rules:
    """Return a set of rules by its name; ``brats2023`` is that of adult glioma, ``brats2021`` is ``brats2020``.

    Raises:
        InputError: Unknown name; the message lists the known ones.

    Examples:
        >>> find_rules("brats2023").name
        'brats2023-gli'
    """
    rules = RULES.get(_ALIASES.get(name, name))
    if rules is None:
        raise InputError(f"unknown rules {name!r}; choose from {', '.join((*RULES, *_ALIASES))}")
    return rules
