"""Scores of segmentations, pure over arrays; needs numpy and scipy only."""

from tunetseg.metrics.box import joint_box
from tunetseg.metrics.overlap import Counts, count_voxels
from tunetseg.metrics.rules import RULES, EmptyRegions, Rules, WhenEmpty, emptiness, rules_named
from tunetseg.metrics.score import SCORES, RegionScores, score_case, score_region
from tunetseg.metrics.statistics import Summary, count_empty, summarise, summarise_regions
from tunetseg.metrics.surface import (
    HD95_DEFINITIONS,
    HD95_DESCRIPTIONS,
    hausdorff,
    surface_distances,
    surface_voxels,
)

__all__ = [
    "HD95_DEFINITIONS",
    "HD95_DESCRIPTIONS",
    "RULES",
    "SCORES",
    "Counts",
    "EmptyRegions",
    "RegionScores",
    "Rules",
    "Summary",
    "WhenEmpty",
    "count_empty",
    "count_voxels",
    "emptiness",
    "hausdorff",
    "joint_box",
    "rules_named",
    "score_case",
    "score_region",
    "summarise",
    "summarise_regions",
    "surface_distances",
    "surface_voxels",
]
