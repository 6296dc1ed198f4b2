"""Agreement of the rules of 2026 with what the organisers' package gives for stored pairs of label maps.

Only its results are stored here; the package itself (AGPL) is neither needed nor copied.
"""

import json
import math
import os
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tunetseg.metrics import RULES, MatchingRules, joint_box, match_one_to_one, score_case

HERE = Path(__file__).parent
ALL = Path(os.environ.get("TUNETSEG_ORACLES") or HERE.parents[2] / "shared/oracles")
ORACLES = ALL if ALL.is_dir() else HERE / "oracles"
CASES = sorted(path.parent.name for path in ORACLES.glob("*/brats_evaluation.json"))
WORDS = {"whole": "wt", "core": "tc", "enhancing": "et", "necrosis": "netc", "oedema": "snfh", "cavity": "rc"}
COLUMNS = {
    "dice": "global_bin_dsc",
    "hd95": "global_bin_hd95",
    "nsd": "global_bin_nsd",
    "lesion_dice": "sq_dsc",
    "lesion_hd95": "sq_hd95",
    "lesion_nsd": "sq_nsd",
    "f1": "rq",
    "pq": "pq_dsc",
    "lesion_tp": "tp",
    "lesion_fp": "fp",
    "lesion_fn": "fn",
}
MILLIMETRES = {"hd95", "lesion_hd95"}


@cache
def given(case: str) -> tuple[dict[str, Any], tuple[float, ...], np.ndarray, np.ndarray]:
    """Return the package's results, the spacing, and both label maps inside their joint box, with label 4 as 3."""
    wanted = json.loads((ORACLES / case / "brats_evaluation.json").read_text())
    images = [nib.load(ORACLES / case / f"{side}.nii.gz") for side in ("prediction", "reference")]
    first, second = (np.rint(np.asanyarray(image.dataobj)).astype(np.uint8) for image in images)
    first[first == 4], second[second == 4] = 3, 3
    box = joint_box(first, second)
    return wanted, tuple(map(float, images[0].header.get_zooms())), first[box], second[box]


def agrees(column: str, ours: float, theirs: float | str) -> bool:
    value = float(theirs)
    if math.isinf(value):
        return ours == 373
    millimetres = 1e-4 if column in MILLIMETRES else 1e-12
    return ours == pytest.approx(value, rel=1e-6, abs=millimetres, nan_ok=True)


def score(case: str, rules: str) -> list[dict[str, Any]]:
    _, spacing, prediction, reference = given(case)
    regions = {region.name: region.labels for region in RULES[rules].regions}
    masks = (np.stack([np.isin(side, labels) for labels in regions.values()]) for side in (prediction, reference))
    return score_case(*masks, regions=list(regions), spacing=spacing, rules=RULES[rules])


@pytest.mark.parametrize("case", CASES)
def test_every_column_of_glioma(case):
    wanted = given(case)[0]["gli"]
    rows = score(case, "brats2026-gli")
    assert [row["region"] for row in rows] == list(WORDS)
    for row in rows:
        for column, theirs in COLUMNS.items():
            value = wanted[WORDS[row["region"]]][theirs]
            assert agrees(column, row[column], value), (row["region"], column, row[column], value)


@pytest.mark.parametrize("case", CASES)
def test_whole_regions_and_every_lesion_of_metastases(case):
    """The size rule is the platform's, not the package's, so lesions are compared one by one."""
    wanted, spacing, prediction, reference = given(case)
    rows = score(case, "brats2026-met")
    assert [row["region"] for row in rows] == ["whole", "core", "enhancing", "cavity"]
    regions = {region.name: region.labels for region in RULES["brats2026-met"].regions}
    for row in rows:
        theirs = wanted["mets"][WORDS[row["region"]]]
        for column in ("dice", "hd95", "nsd"):
            assert agrees(column, row[column], theirs[COLUMNS[column]]), (row["region"], column)
        masks = (np.isin(side, regions[row["region"]]) for side in (prediction, reference))
        match = match_one_to_one(*masks, spacing, MatchingRules(reversed_axes=True))
        assert (match.true_positives, match.false_positives) == (theirs["tp"], theirs["fp"])
        assert agrees("lesion_dice", match.panoptic_quality, theirs["pq_dsc"])
        ours = sorted((lesion.volume_mm3, lesion.dice, lesion.hd95, *lesion.nsd) for lesion in match.lesions)
        listed = sorted(
            (found["volume"], found.get("sq_dsc", 0.0), found.get("sq_hd95", math.nan), found.get("sq_nsd", 0.0))
            for found in theirs["reference_instances"]
        )
        for our, their in zip(ours, listed, strict=True):
            assert our == pytest.approx(their, rel=1e-6, abs=1e-4, nan_ok=True), row["region"]
