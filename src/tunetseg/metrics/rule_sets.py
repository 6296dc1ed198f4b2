"""The rule sets of the challenges, one row each."""

from dataclasses import replace

from tunetseg.errors import InputError
from tunetseg.metrics.lesions import LesionRules
from tunetseg.metrics.matching import MatchingRules
from tunetseg.metrics.rules import LEFT_OUT, EmptyRegions, RegionRules, Rules, WhenEmpty, penalised
from tunetseg.metrics.uncertainty import QU_BRATS_THRESHOLDS

__all__ = ["RULES", "find_rules"]

# The length of the diagonal of 240 x 240 x 155 voxels of 1 mm, as the challenge's tables print it.
_BRATS_DIAGONAL_MM = 373.12866
_PENALTY_2023_MM = 374.0

_BRATS2020 = EmptyRegions(distance=penalised(_BRATS_DIAGONAL_MM))


def _brats2023(challenge: str, lesions: LesionRules) -> Rules:
    return Rules(
        f"brats2023-{challenge}",
        f"lesion-wise: the reference dilated by {lesions.dilation}, lesions of {lesions.min_volume_mm3:g} mm3 or less "
        f"not counted, {_PENALTY_2023_MM:g} mm for a missed lesion or a false positive; also the whole regions, "
        f"with HD95 0 where both masks are empty and {_PENALTY_2023_MM:g} mm where one is",
        EmptyRegions(distance=penalised(_PENALTY_2023_MM)),
        hausdorff=lesions.hausdorff,
        lesions=lesions,
    )


_NESTED = (RegionRules("whole", (1, 2, 3)), RegionRules("core", (1, 3)), RegionRules("enhancing", (3,)))
_TARGET = (RegionRules("target", (1,)),)
_NSD_2024 = (("nsd_05", 0.5), ("nsd_10", 1.0))


def _brats2024(
    challenge: str,
    lesions: LesionRules,
    labels: str | None = None,
    regions: tuple[RegionRules, ...] = (),
    special: str = "",
) -> Rules:
    """Return the rules of one challenge of 2024, which 2025 kept.

    From the parameters of ``rachitsaluja/BraTS-2024-Metrics`` f1131e3. Its "legacy" figures of the whole region are not
    reproduced: it takes them over numbers of components, after small predicted components are gone, so that its HD95,
    sensitivity and specificity go wrong as soon as there are two. Here they are those of the masks. Its dilation by 5
    of the oedema never happens, because the code asks for "SFNH"; that is kept.
    """
    mm = lesions.penalty_mm
    penalty = "the grid's diagonal in voxels" if mm is None else f"{mm:g} mm"
    predicted = "predicted components neither joined nor dropped"
    if lesions.min_predicted is not None:
        unit = "mm3" if lesions.predicted_mm3 else "voxels"
        predicted = f"predicted components joined alike, those of {lesions.min_predicted:g} {unit} or less dropped"
    return Rules(
        f"brats2024-{challenge}",
        f"lesion-wise: the reference dilated by {lesions.dilation}, lesions of {lesions.min_volume_mm3:g} mm3 or less "
        f"not counted, {predicted}{special}, {penalty} for a missed lesion"
        f"{' or a false positive' if lesions.count_false_positives else '; false positives do not count'}; also the "
        "whole regions, which the organisers' code takes from component numbers; cases that fail are left out, and "
        "those without a prediction have the worst scores",
        EmptyRegions(distance=LEFT_OUT if mm is None else penalised(mm)),
        labels=labels,
        hausdorff=lesions.hausdorff,
        lesions=lesions,
        regions=regions,
        nsd=_NSD_2024,
        diagonal="voxels" if mm is None else None,
        skip_failed=True,
        missing_is_worst=True,
    )


def _gli2024() -> Rules:
    usual = LesionRules(min_volume_mm3=20.0, penalty_mm=337.0, min_predicted=20)
    wide = replace(usual, dilation=5)
    small = replace(usual, min_volume_mm3=10.0, min_predicted=10)
    regions = (
        *_NESTED[:2],
        RegionRules("enhancing", (3,), replace(small, joined_by=("necrosis", "cavity"))),
        RegionRules("necrosis", (1,), replace(wide, joined_by=("enhancing", "cavity"))),
        RegionRules("oedema", (2,), replace(usual, joined_by=("enhancing", "cavity", "necrosis"))),
        RegionRules("cavity", (4,), replace(wide, joined_by=("enhancing", "necrosis"))),
    )
    special = " (enhancing: 10; necrosis and cavity: dilated by 5), lesions joined across the labels that they touch"
    return _brats2024("gli", usual, "brats2024", regions, special)


def _enhancing_joined(lesions: LesionRules, *more: RegionRules) -> tuple[RegionRules, ...]:
    enhancing = RegionRules("enhancing", (3,), replace(lesions, joined_by=("necrosis",)))
    return (*_NESTED[:2], enhancing, *more, RegionRules("necrosis", (1,), lesions, scored=False))


_CAVITY = RegionRules("cavity", (4,))
_MET_2024 = LesionRules(dilation=1, min_volume_mm3=2.0, penalty_mm=None, min_predicted=2)
_SSA_2024 = LesionRules(min_predicted=50)
_PED_2024 = LesionRules(dilation=5, min_volume_mm3=10.0, min_predicted=10)
_RT_2024 = LesionRules(dilation=1, penalty_mm=None, min_predicted=50, predicted_mm3=True, count_false_positives=False)
_PED_REGIONS = (
    RegionRules("whole", (1, 2, 3, 4)),
    RegionRules("core", (1, 2, 3)),
    RegionRules("enhancing", (1,)),
    RegionRules("necrosis", (2,)),
    RegionRules("cyst", (3,)),
    RegionRules("oedema", (4,)),
)
_JOINED = ", enhancing lesions joined that touch one of the necrosis"


def _brats2026(
    challenge: str,
    labels: str | None = None,
    regions: tuple[RegionRules, ...] = (),
    matching: MatchingRules | None = None,
) -> Rules:
    """Return the rules of one challenge of 2026, from the parameters that its organisers published.

    Where the two masks of a region share no voxel, the organisers' package reports HD95 as infinite and NSD as 0 even
    if both masks are there. It passes no spacing for the whole region, so that HD95 is in voxels and the tolerance of
    the NSD half a voxel, and for lesions it passes the spacing in the reverse order of the axes, with the smallest
    side as the tolerance; among pairs of equal Dice the order of lesions along the last axis decides. A case whose
    evaluation fails is skipped. All this is kept: at 1 mm, as in the challenge's data, only the tolerance makes a
    difference. In the table of metastases, false positives of every size enter the means of the large lesions, and
    those of the small ones too, and both are left out where there is no lesion of their size, however much is
    predicted. HD95 of lesions is infinite in the package's table, and 373 here, where none is matched, except for
    metastases. Found by comparing results with those of ``brats-evaluation`` 0.0.10.
    """
    chosen = replace(matching or MatchingRules(), reversed_axes=True)
    means = "means over matched pairs only, misses and false positives in the F1"
    if chosen.large_mm3 is not None:
        means = (
            f"means over the lesions of {chosen.large_mm3:g} mm3 and more and all false positives, each miss and false "
            f"positive 0 or {chosen.penalty_mm:g}; F1 of the smaller lesions and all false positives, detected from a "
            f"Dice of {chosen.detection_dice:g} on; left out where there is no lesion of that size"
        )
    nothing = WhenEmpty(both=None, reference=0.0, prediction=0.0)
    mm = chosen.penalty_mm
    return Rules(
        f"brats2026-{challenge}",
        f"26-connected lesions matched one to one for the greatest sum of Dice; {means}; HD95 {mm:g} where nothing "
        "overlaps; left out where both masks are empty; NSD of lesions at the smallest side of a voxel, of whole "
        "regions at half a voxel; distances of whole regions in voxels, as the official code ignores the spacing; "
        "cases that fail are left out, and those without a prediction have the worst scores",
        EmptyRegions(
            distance=WhenEmpty(both=None, reference=mm, prediction=mm),
            overlap=nothing,
            sensitivity=nothing,
            precision=nothing,
        ),
        labels=labels,
        hausdorff=chosen.hausdorff,
        regions=regions,
        matching=chosen,
        nsd=(("nsd", 0.5),),
        voxel_units=True,
        overlap_needed=True,
        skip_failed=True,
        missing_is_worst=True,
    )


_GLI_REGIONS = (*_NESTED, RegionRules("necrosis", (1,)), RegionRules("oedema", (2,)), _CAVITY)


RULES: dict[str, Rules] = {
    rules.name: rules
    for rules in (
        Rules(
            "brats2019",
            "HD95 leaves out a case where either mask is empty; Dice is 1 where both are empty and 0 where one is",
            # Inferred: the ranked means of that year are too small to contain a single penalty.
            EmptyRegions(distance=LEFT_OUT),
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
        _gli2024(),
        _brats2024("met", _MET_2024, "brats2024", _enhancing_joined(_MET_2024, _CAVITY), _JOINED),
        _brats2024("ssa", _SSA_2024, "brats2023", _enhancing_joined(_SSA_2024), _JOINED),
        _brats2024("ped", _PED_2024, "brats2024-ped", _PED_REGIONS),
        _brats2024("men", LesionRules(dilation=1)),
        _brats2024("men-rt", _RT_2024, "brats2024-men-rt", _TARGET),
        _brats2026("gli", "brats2024", _GLI_REGIONS),
        _brats2026("met", "brats2024", (*_NESTED, _CAVITY), MatchingRules(large_mm3=27.0, count_misses=True)),
        _brats2026("ped", "brats2024-ped", _PED_REGIONS),
        _brats2026("goat"),
        _brats2026("men"),
        _brats2026("men-rt", "brats2024-men-rt", _TARGET),
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
                distance=LEFT_OUT,
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

_ALIASES = {
    "brats2021": "brats2020",
    "brats2023": "brats2023-gli",
    "brats2024": "brats2024-gli",
    "brats2025": "brats2024-gli",
    "brats2026": "brats2026-gli",
    **{f"brats2025-{name}": f"brats2024-{name}" for name in ("gli", "met", "ssa", "ped", "men", "men-rt")},
}


def find_rules(name: str) -> Rules:
    """Return a set of rules by its name.

    ``brats2023`` to ``brats2026`` are those of adult glioma, ``brats2021`` is ``brats2020``, and ``brats2025-*`` is
    ``brats2024-*``.

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
