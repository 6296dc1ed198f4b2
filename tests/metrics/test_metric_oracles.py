"""Agreement with published evaluation codes on stored pairs of label maps."""

import json
import math
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tunetseg.metrics import RULES, count_voxels, hausdorff, joint_box, score_case

ORACLES = Path(__file__).parents[2].parent / "shared/oracles"
CASES = sorted(path.parent.name for path in ORACLES.glob("*/expected.json"))
BRAIN = [name for name in CASES if not name.startswith("kits")]

pytestmark = pytest.mark.skipif(not CASES, reason=f"no reference vectors in {ORACLES}")


def load(path: Path) -> np.ndarray:
    return np.rint(np.asanyarray(nib.load(path).dataobj)).astype(np.uint8)


def masks(labels: np.ndarray, numbers: dict[str, int]) -> dict[str, np.ndarray]:
    enhancing = labels == numbers["ET"]
    return {"WT": labels > 0, "TC": (labels == numbers["NCR"]) | enhancing, "ET": enhancing}


@cache
def pair(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """What is expected, both sides' masks inside their joint box, and how many voxels lie outside it."""
    expected = json.loads((ORACLES / name / "expected.json").read_text())
    prediction, reference = (load(ORACLES / name / f"{side}.nii.gz") for side in ("prediction", "reference"))
    box = joint_box(prediction, reference)
    outside = prediction.size - prediction[box].size
    numbers = expected["labels"]
    return expected, masks(prediction[box], numbers), masks(reference[box], numbers), outside


def number(value: float | str) -> float:
    return float(value)


@pytest.mark.parametrize("name", BRAIN)
def test_counts_are_exact(name):
    expected, prediction, reference, outside = pair(name)
    for region, told in expected["regions"].items():
        counts = count_voxels(prediction[region], reference[region], outside=outside)
        assert {key: getattr(counts, key) for key in told["counts"]} == told["counts"]


@pytest.mark.parametrize("name", BRAIN)
def test_distances_agree_with_monai(name):
    expected, prediction, reference, _ = pair(name)
    for region, told in expected["regions"].items():
        for percentile, key in ((95, "hd95_undirected"), (100, "hd100_undirected")):
            want = number(told["monai"][key])
            found = hausdorff(prediction[region], reference[region], expected["grid"]["spacing_mm"], percentile)
            # Where one mask is empty MONAI's maximum is infinite, its percentile NaN; here both are NaN.
            if math.isfinite(want):
                assert found == pytest.approx(want, abs=1e-4), (region, key)
            else:
                assert math.isnan(found)


@pytest.mark.parametrize("name", BRAIN)
def test_scores_agree_under_the_rules(name):
    expected, prediction, reference, outside = pair(name)
    regions = list(expected["regions"])
    rows = score_case(
        np.stack([prediction[region] for region in regions]),
        np.stack([reference[region] for region in regions]),
        regions=regions,
        spacing=expected["grid"]["spacing_mm"],
        rules=RULES["brats2020"],
        outside=outside,
    )
    for row in rows:
        told = expected["regions"][row["region"]]
        assert row["dice"] == pytest.approx(told["monai"]["dice_not_ignore_empty"], abs=1e-6)
        assert row["dice"] == pytest.approx(told["medpy"]["dc"], abs=1e-6)
        assert row["specificity"] == pytest.approx(told["medpy"]["specificity"], abs=1e-6)
        official = next(iter(expected["brats2023_lesionwise"].values()))[row["region"]]
        # The challenge's own code of 2023, empty references included.
        assert row["sensitivity"] == pytest.approx(number(official["Sensitivity"]), abs=1e-6)
        assert row["specificity"] == pytest.approx(number(official["Specificity"]), abs=1e-6)
        if row["empty"] == "none":
            assert row["sensitivity"] == pytest.approx(told["medpy"]["sensitivity"], abs=1e-6)
            assert row["precision"] == pytest.approx(told["medpy"]["precision"], abs=1e-6)
        elif row["empty"] == "both":
            assert (row["dice"], row["hd95"]) == (1, 0)
        else:
            assert (row["dice"], row["hd95"]) == (0, 373.12866)


def test_metrics_import_without_torch_pandas_or_nibabel():
    code = (
        "import sys, tunetseg.metrics; "
        "print([name for name in ('torch', 'pandas', 'nibabel', 'rich') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
