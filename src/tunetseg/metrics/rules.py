"""A set of evaluation rules: what a score is where its definition leaves a choice."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tunetseg.metrics.lesions import LesionRules
from tunetseg.metrics.matching import MatchingRules
from tunetseg.metrics.overlap import Counts
from tunetseg.metrics.scores import EmptyRule
from tunetseg.metrics.surface import HAUSDORFF

__all__ = ["LEFT_OUT", "Emptiness", "EmptyRegions", "RegionRules", "Rules", "WhenEmpty", "emptiness", "penalised"]

Emptiness = Literal["none", "both", "reference", "prediction"]


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
LEFT_OUT = WhenEmpty(both=None, reference=None, prediction=None)
"""Rule of a score that leaves out every case with an empty mask."""


def penalised(mm: float) -> WhenEmpty:
    """Return the rule of a distance that is 0 where both masks are empty and a penalty where one is."""
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
class RegionRules:
    """One region that rules score, in terms of the label values of the dataset that the rules are for.

    Args:
        name: Name in tables, such as ``necrosis``.
        labels: Label values that make the region up; regions need not be nested.
        lesions: How its lesions are counted, if not as the rules say for every region.
        scored: False: the region only joins the lesions of others.
    """

    name: str
    labels: tuple[int, ...]
    lesions: LesionRules | None = None
    scored: bool = True


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
        lesions: How lesions are counted; None: they are not counted, or by ``matching``.
        uncertainty: Thresholds of the scores of uncertainty maps; None: such maps are scored only on request.
        round_labels: Round label values that are not whole, instead of refusing them.
        version: Raised whenever a score under these rules may change.
        regions: Regions that are scored, from the label values of ``labels``; empty: those of the label scheme.
        matching: How lesions are matched one to one; None: they are counted by ``lesions``, if at all.
        nsd: Columns of the normalised surface Dice over surface voxels (`SurfaceDistances.nsd`) and their tolerances
            in mm.
        voxel_units: Distances of the whole region, and the tolerances of ``nsd``, are in voxels, as by an official
            code that ignores the spacing there.
        diagonal: The penalty is the grid's diagonal, counted in ``voxels`` or in ``mm``; None: it is the one given.
        overlap_needed: Where two masks share no voxel, distances have the penalty and surface Dice is 0.
        skip_failed: A case whose prediction cannot be scored is left out, as by the official code, instead of counting
            as one with an empty prediction.
        missing_is_worst: A case without a prediction has the worst scores in every region, even in one that is empty,
            as by the official code, instead of counting as one with an empty prediction.

    Examples:
        >>> from tunetseg.metrics import RULES
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
    regions: tuple[RegionRules, ...] = ()
    matching: MatchingRules | None = None
    nsd: tuple[tuple[str, float], ...] = ()
    voxel_units: bool = False
    diagonal: Literal["voxels", "mm"] | None = None
    overlap_needed: bool = False
    skip_failed: bool = False
    missing_is_worst: bool = False

    def __post_init__(self) -> None:
        """Check that the definition of HD95 exists."""
        if self.hausdorff not in HAUSDORFF:
            raise ValueError(
                f"rules {self.name}: unknown definition of the Hausdorff distance {self.hausdorff!r}; "
                f"choose from {', '.join(HAUSDORFF)}"
            )

    @property
    def penalty_mm(self) -> float | None:
        """HD95 of a region that was missed completely, in millimetres; None where such cases are left out.

        None too where it is the grid's diagonal, until `for_grid` fills it in.
        """
        return self.empty.distance.prediction

    @property
    def penalty(self) -> str | None:
        """The penalty in words, for tables and files; None where such cases are left out."""
        if self.diagonal is not None:
            return f"the grid's diagonal in {self.diagonal}"
        return None if self.penalty_mm is None else f"{self.penalty_mm} mm"

    @property
    def hd95_description(self) -> str:
        """Meaning of HD95 under these rules, for tables and files."""
        return HAUSDORFF[self.hausdorff].description.format(p=95)

    @property
    def margin(self) -> int:
        """Voxels of background that must be kept around the masks of a case for its lesions to be joined as given."""
        rules = [region.lesions or self.lesions for region in self.regions]
        joined = any(found is not None and found.joined_by for found in rules)
        return max((found.dilation for found in rules if found is not None), default=0) if joined else 0

    def scores(self, region: str) -> bool:
        """Return whether a region is scored, and not only there to join the lesions of others."""
        return all(found.scored for found in self.regions if found.name == region)

    def lesions_of(self, region: str) -> LesionRules | None:
        """Return how the lesions of a region are counted; None where they are not, or are matched one to one."""
        own = next((found.lesions for found in self.regions if found.name == region), None)
        return own or self.lesions

    def for_grid(self, shape: Sequence[int], spacing: Sequence[float]) -> "Rules":
        """Return the rules with the penalty that they have on one grid.

        Args:
            shape: Of the whole grid.
            spacing: Voxel size in mm along each axis.

        Examples:
            >>> from tunetseg.metrics import find_rules
            >>> find_rules("brats2024-met").for_grid((3, 4, 12), (1, 1, 1)).penalty_mm
            13.0
        """
        if self.diagonal is None:
            return self
        units = spacing if self.diagonal == "mm" else (1.0,) * len(shape)
        length = math.hypot(*(n * unit for n, unit in zip(shape, units, strict=True)))
        return replace(
            self,
            diagonal=None,
            empty=replace(self.empty, distance=penalised(length)),
            lesions=None if self.lesions is None else replace(self.lesions, penalty_mm=length),
            matching=None if self.matching is None else replace(self.matching, penalty_mm=length),
            regions=tuple(
                replace(found, lesions=found.lesions and replace(found.lesions, penalty_mm=length))
                for found in self.regions
            ),
        )

    def matched_by_iou(self, threshold: float) -> "Rules":
        """Return the same rules with lesions matched one to one by their IoU, as in panoptic quality.

        Whole regions are scored as before. Kirillov et al., CVPR 2019.

        Args:
            threshold: Smallest IoU of a pair, above 0 and at most 1.

        Raises:
            ValueError: The threshold lies outside.

        Examples:
            >>> from tunetseg.metrics import RULES
            >>> rules = RULES["brats2023-gli"].matched_by_iou(0.5)
            >>> rules.name, rules.matching.measure, rules.lesions
            ('brats2023-gli-iou', 'iou', None)
        """
        if not 0 < threshold <= 1:
            raise ValueError(f"a threshold of IoU lies above 0 and is at most 1, not {threshold}")
        usual = MatchingRules()
        penalty = usual.penalty_mm if self.penalty_mm is None else self.penalty_mm
        return replace(
            self,
            name=f"{self.name}-iou",
            description=f"whole regions as by {self.name}; 26-connected lesions matched one to one from an IoU of "
            f"{threshold:g} on, means over matched pairs only, misses and false positives in the F1",
            lesions=None,
            matching=replace(usual, threshold=threshold, measure="iou", penalty_mm=penalty, hausdorff=self.hausdorff),
            regions=tuple(replace(found, lesions=None) for found in self.regions),
        )

    def strict(self) -> "Rules":
        """Return the strict version, which leaves nothing out and counts every miss.

        A case whose prediction cannot be scored counts like a missing one; a region that is empty on both sides is
        perfect, and one that is empty on one side is a miss, with the penalty, or the grid's diagonal
        where the rules have none; missed and false lesions enter every lesion-wise mean; distances are in mm.

        Examples:
            >>> from tunetseg.metrics import RULES
            >>> strict = RULES["brats2019"].strict()
            >>> strict.name, strict.for_grid((240, 240, 155), (1, 1, 1)).penalty_mm == math.hypot(240, 240, 155)
            ('brats2019-strict', True)
        """
        diagonal = "mm" if self.penalty_mm is None and self.diagonal is None else self.diagonal
        distance = penalised(self.penalty_mm) if diagonal is None and self.penalty_mm is not None else LEFT_OUT
        return replace(
            self,
            name=f"{self.name}-strict",
            description=f"as {self.name}, but nothing is left out: failed cases, missed and false lesions count",
            empty=EmptyRegions(distance=distance),
            diagonal=diagonal,
            skip_failed=False,
            lesions=self.lesions and replace(self.lesions, count_false_positives=True),
            regions=tuple(
                replace(found, lesions=found.lesions and replace(found.lesions, count_false_positives=True))
                for found in self.regions
            ),
            matching=self.matching
            and replace(self.matching, count_misses=True, empty_is_perfect=True, reversed_axes=False),
            voxel_units=False,
        )
