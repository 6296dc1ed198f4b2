"""Scores of segmentations: pure functions over arrays, which need only numpy and scipy."""

from tunetseg.metrics.box import grow, joint_box
from tunetseg.metrics.cells import score_cells
from tunetseg.metrics.diameters import Diameters, LesionSize, axial_diameters, lesion_sizes
from tunetseg.metrics.elements import surface_elements
from tunetseg.metrics.lesion_table import SIZES_ML, lesion_rows, recall_by_size
from tunetseg.metrics.lesions import Lesion, LesionMatch, LesionRules, match_lesions
from tunetseg.metrics.matching import MatchingRules, OneToOneMatch, match_one_to_one
from tunetseg.metrics.overlap import Counts, centre_distance, count_voxels
from tunetseg.metrics.reliability import BORDER_MM, Reliability, border_band, pool_reliability, reliability
from tunetseg.metrics.rule_sets import RULES, find_rules
from tunetseg.metrics.rules import EmptyRegions, RegionRules, Rules, WhenEmpty, emptiness
from tunetseg.metrics.scores import SCORES, Score
from tunetseg.metrics.scoring import match_case, score_case, score_region
from tunetseg.metrics.statistics import Summary, count_empty, summarise, summarise_regions
from tunetseg.metrics.surface import (
    HAUSDORFF,
    Hausdorff,
    SurfaceDistances,
    hausdorff,
    surface_distances,
    surface_voxels,
)
from tunetseg.metrics.uncertainty import QU_BRATS_THRESHOLDS, UncertaintyScores, check_thresholds, score_uncertainty

__all__ = [
    "BORDER_MM",
    "HAUSDORFF",
    "QU_BRATS_THRESHOLDS",
    "RULES",
    "SCORES",
    "SIZES_ML",
    "Counts",
    "Diameters",
    "EmptyRegions",
    "Hausdorff",
    "Lesion",
    "LesionMatch",
    "LesionRules",
    "LesionSize",
    "MatchingRules",
    "OneToOneMatch",
    "RegionRules",
    "Reliability",
    "Rules",
    "Score",
    "Summary",
    "SurfaceDistances",
    "UncertaintyScores",
    "WhenEmpty",
    "axial_diameters",
    "border_band",
    "centre_distance",
    "check_thresholds",
    "count_empty",
    "count_voxels",
    "emptiness",
    "find_rules",
    "grow",
    "hausdorff",
    "joint_box",
    "lesion_rows",
    "lesion_sizes",
    "match_case",
    "match_lesions",
    "match_one_to_one",
    "pool_reliability",
    "recall_by_size",
    "reliability",
    "score_case",
    "score_cells",
    "score_region",
    "score_uncertainty",
    "summarise",
    "summarise_regions",
    "surface_distances",
    "surface_elements",
    "surface_voxels",
]
