"""Scores of segmentations, pure over arrays; needs numpy and scipy only."""

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.calibration import Calibration, calibrate
from tunetseg.metrics.elements import surface_elements
from tunetseg.metrics.lesions import Lesion, LesionMatch, LesionRules, match_lesions
from tunetseg.metrics.overlap import Counts, count_voxels
from tunetseg.metrics.rules import RULES, EmptyRegions, Rules, WhenEmpty, emptiness, rules_named
from tunetseg.metrics.score import SCORES, score_case, score_region
from tunetseg.metrics.statistics import Summary, count_empty, summarise, summarise_regions
from tunetseg.metrics.surface import (
    HAUSDORFF,
    SurfaceDistances,
    hausdorff,
    surface_distances,
    surface_voxels,
)
from tunetseg.metrics.uncertainty import QU_BRATS_THRESHOLDS, UncertaintyScores, check_thresholds, score_uncertainty

__all__ = [
    "HAUSDORFF",
    "QU_BRATS_THRESHOLDS",
    "RULES",
    "SCORES",
    "Calibration",
    "Counts",
    "EmptyRegions",
    "Lesion",
    "LesionMatch",
    "LesionRules",
    "Rules",
    "Summary",
    "SurfaceDistances",
    "UncertaintyScores",
    "WhenEmpty",
    "calibrate",
    "check_thresholds",
    "count_empty",
    "count_voxels",
    "emptiness",
    "hausdorff",
    "joint_box",
    "match_lesions",
    "rules_named",
    "score_case",
    "score_region",
    "score_uncertainty",
    "summarise",
    "summarise_regions",
    "surface_distances",
    "surface_elements",
    "surface_voxels",
]
