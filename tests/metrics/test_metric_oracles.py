"""Agreement with published evaluation codes on stored pairs of label maps."""

import json
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pytest

from tunetseg.metrics import (
    RULES,
    SurfaceDistances,
    count_voxels,
    hausdorff,
    joint_box,
    match_lesions,
    score_case,
    score_uncertainty,
    surface_distances,
)

HERE = Path(__file__).parent
ALL = Path(os.environ.get("TUNETSEG_ORACLES") or HERE.parents[2] / "shared/oracles")
ORACLES = ALL if ALL.is_dir() else HERE / "oracles"
"""All reference vectors where they are available, else the few that are kept here."""
CASES = sorted(path.parent.name for path in ORACLES.glob("*/expected.json"))
BRAIN = [name for name in CASES if not name.startswith("kits")]
KITS = [name for name in CASES if name.startswith("kits")]
UNCERTAIN = [name for name in BRAIN if (ORACLES / name / "unc_whole.nii.gz").exists()]
MAPS = {"WT": "whole", "TC": "core", "ET": "enhance"}


class Oracle(NamedTuple):
    """Expected values, and the masks of both sides inside their joint box."""

    expected: dict[str, Any]
    prediction: dict[str, np.ndarray]
    reference: dict[str, np.ndarray]
    outside: int

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(self.expected["grid"]["spacing_mm"])


def load(path: Path) -> np.ndarray:
    return np.rint(np.asanyarray(nib.load(path).dataobj)).astype(np.uint8)


def masks(labels: np.ndarray, numbers: dict[str, int]) -> dict[str, np.ndarray]:
    enhancing = labels == numbers["ET"]
    return {"WT": labels > 0, "TC": (labels == numbers["NCR"]) | enhancing, "ET": enhancing}


@cache
def oracle(name: str) -> Oracle:
    expected = json.loads((ORACLES / name / "expected.json").read_text())
    prediction, reference = (load(ORACLES / name / f"{side}.nii.gz") for side in ("prediction", "reference"))
    box = joint_box(prediction, reference)
    outside = prediction.size - prediction[box].size
    numbers = expected["labels"]
    return Oracle(expected, masks(prediction[box], numbers), masks(reference[box], numbers), outside)


def same(value: float, wanted: float | str, **tolerance: float) -> bool:
    """Whether a finite value agrees; where the other code gives inf or NaN, ours is NaN."""
    expected = float(wanted)
    return value == pytest.approx(expected, **tolerance) if math.isfinite(expected) else math.isnan(value)


@pytest.mark.parametrize("name", BRAIN)
def test_counts_are_exact(name):
    given = oracle(name)
    for region, wanted in given.expected["regions"].items():
        counts = count_voxels(given.prediction[region], given.reference[region], outside=given.outside)
        assert {key: getattr(counts, key) for key in wanted["counts"]} == wanted["counts"]


@pytest.mark.parametrize("name", BRAIN)
def test_voxel_distances_agree_with_monai_and_medpy(name):
    given = oracle(name)
    for region, wanted in given.expected["regions"].items():
        distances = surface_distances(given.prediction[region], given.reference[region], given.spacing)
        monai, medpy = wanted["monai"], wanted["medpy"]
        pairs = {
            "hd95": (distances.symmetric_max(95), monai["hd95_undirected"]),
            "hd100": (distances.symmetric_max(100), monai["hd100_undirected"]),
            "average": (distances.average_to_reference, monai["average_surface_distance_pred_to_ref"]),
            "symmetric": (distances.average_symmetric, monai["average_surface_distance_symmetric"]),
        }
        if distances.to_reference.size:
            pairs["pooled"] = (distances.pooled(95), medpy["hd95"])
            pairs["pooled 100"] = (distances.pooled(100), medpy["hd"])
            pairs["asd"] = (distances.average_to_reference, medpy["asd_pred_to_ref"])
        else:
            assert "exception" in medpy["hd95"]
        for key, (ours, theirs) in pairs.items():
            assert same(ours, theirs, abs=1e-4, rel=1e-6), (region, key, ours, theirs)


@pytest.mark.parametrize("name", BRAIN)
def test_area_distances_agree_with_surface_distance(name):
    given = oracle(name)
    for region, wanted in given.expected["regions"].items():
        distances = surface_distances(
            given.prediction[region], given.reference[region], given.spacing, elements="areas"
        )
        deepmind = wanted["deepmind"]
        if not distances.to_reference.size:
            assert not math.isfinite(float(deepmind["robust_hausdorff_95"]))
            continue
        assert len(distances.to_prediction) == deepmind["n_surface_elements_ref"]
        assert len(distances.to_reference) == deepmind["n_surface_elements_pred"]
        for key, ours in {
            "surface_area_ref": distances.reference_areas.sum(),
            "surface_area_pred": distances.prediction_areas.sum(),
            "robust_hausdorff_95": distances.area_weighted(95),
            "robust_hausdorff_100": distances.area_weighted(100),
            "average_surface_distance_ref_to_pred": distances.average_to_prediction,
            "average_surface_distance_pred_to_ref": distances.average_to_reference,
            "surface_dice_1mm": distances.surface_dice(1.0),
        }.items():
            assert ours == pytest.approx(float(deepmind[key]), rel=1e-6, abs=1e-9), (region, key)


@pytest.mark.parametrize("name", BRAIN)
def test_lesions_agree_with_the_challenges_code(name):
    given = oracle(name)
    for challenge, regions in given.expected["brats2023_lesionwise"].items():
        rules = RULES[challenge.lower().replace("brats-", "brats2023-")].lesions
        assert rules is not None
        for region, wanted in regions.items():
            match = match_lesions(given.prediction[region], given.reference[region], given.spacing, rules)
            place = (challenge, region)
            assert len(match.lesions) == wanted["n_reference_lesions_before_size_filter"], place
            assert match.false_positives == wanted["n_false_positive_components"] == wanted["Num_FP"], place
            assert (match.true_positives, match.false_negatives) == (wanted["Num_TP"], wanted["Num_FN"]), place
            assert match.dice == pytest.approx(wanted["LesionWise_Score_Dice"], rel=1e-6), place
            assert match.hd95 == pytest.approx(wanted["LesionWise_Score_HD95"], rel=1e-6, abs=1e-4), place
            # Lesions of one volume come in any order.
            ours = sorted((lesion.volume_mm3, lesion.components, lesion.dice, lesion.hd95) for lesion in match.lesions)
            theirs = sorted(
                (lesion["volume_mm3"], lesion["n_pred_components"], lesion["dice"], float(lesion["hd95"]))
                for lesion in wanted["lesions"]
            )
            for our_lesion, their_lesion in zip(ours, theirs, strict=True):
                assert our_lesion[:3] == pytest.approx(their_lesion[:3], rel=1e-6), place
                assert same(our_lesion[3], their_lesion[3], rel=1e-6, abs=1e-4), place


@pytest.mark.parametrize("name", BRAIN)
def test_scores_under_the_rules_of_2023(name):
    given = oracle(name)
    for challenge, regions in given.expected["brats2023_lesionwise"].items():
        rules = RULES[challenge.lower().replace("brats-", "brats2023-")]
        names = list(regions)
        rows = score_case(
            np.stack([given.prediction[region] for region in names]),
            np.stack([given.reference[region] for region in names]),
            regions=names,
            spacing=given.spacing,
            rules=rules,
            outside=given.outside,
        )
        for row in rows:
            wanted = regions[row["region"]]
            for key, theirs in {
                "dice": "Legacy_Dice",
                "hd95": "Legacy_HD95",
                "sensitivity": "Sensitivity",
                "specificity": "Specificity",
                "lesion_dice": "LesionWise_Score_Dice",
                "lesion_hd95": "LesionWise_Score_HD95",
                "lesion_tp": "Num_TP",
                "lesion_fp": "Num_FP",
                "lesion_fn": "Num_FN",
            }.items():
                assert row[key] == pytest.approx(float(wanted[theirs]), rel=1e-6, abs=1e-6), (challenge, key)
            assert 1000 * row["reference_ml"] == pytest.approx(wanted["GT_Complete_Volume"], rel=1e-6)


@pytest.mark.parametrize("name", BRAIN)
def test_scores_under_the_rules_of_2020(name):
    given = oracle(name)
    regions = list(given.expected["regions"])
    rows = score_case(
        np.stack([given.prediction[region] for region in regions]),
        np.stack([given.reference[region] for region in regions]),
        regions=regions,
        spacing=given.spacing,
        rules=RULES["brats2020"],
        tolerance=1.0,
        outside=given.outside,
    )
    for row in rows:
        wanted = given.expected["regions"][row["region"]]
        assert row["dice"] == pytest.approx(wanted["monai"]["dice_not_ignore_empty"], abs=1e-6)
        assert row["dice"] == pytest.approx(wanted["medpy"]["dc"], abs=1e-6)
        assert row["specificity"] == pytest.approx(wanted["medpy"]["specificity"], abs=1e-6)
        if row["empty"] == "none":
            assert row["sensitivity"] == pytest.approx(wanted["medpy"]["sensitivity"], abs=1e-6)
            assert row["precision"] == pytest.approx(wanted["medpy"]["precision"], abs=1e-6)
            assert row["surface_dice"] == pytest.approx(wanted["deepmind"]["surface_dice_1mm"], rel=1e-6)
        elif row["empty"] == "both":
            assert (row["dice"], row["hd95"]) == (1, 0)
        else:
            assert (row["dice"], row["hd95"]) == (0, 373.12866)


@pytest.mark.parametrize("name", UNCERTAIN)
def test_uncertainty_agrees_with_qu_brats(name):
    expected = oracle(name).expected
    prediction, reference = (
        masks(load(ORACLES / name / f"{side}.nii.gz"), expected["labels"]) for side in ("prediction", "reference")
    )
    brain = np.asarray(nib.load(ORACLES / name / "brain.nii.gz").dataobj) > 0
    for points, wanted_all in expected["qu_brats"].items():
        thresholds = sorted(wanted_all["thresholds"])
        for region, word in MAPS.items():
            wanted = wanted_all[region]
            unsure = np.asarray(nib.load(ORACLES / name / f"unc_{word}.nii.gz").dataobj)
            scores = score_uncertainty(prediction[region], reference[region], unsure, brain, thresholds)
            for ours, theirs in (
                (scores.dauc, "DICE_AUC"),
                (scores.rftp, "FTP_RATIO_AUC"),
                (scores.rftn, "FTN_RATIO_AUC"),
            ):
                assert ours == pytest.approx(wanted[theirs], rel=1e-6, abs=1e-6), (points, region, theirs)
            if "curves" in wanted:
                assert scores.dice[::-1] == pytest.approx(wanted["curves"]["DICE"], rel=1e-6, abs=1e-6)
                assert scores.filtered_tp[::-1] == pytest.approx(wanted["curves"]["FTP_RATIO"], rel=1e-6, abs=1e-6)
                assert scores.filtered_tn[::-1] == pytest.approx(wanted["curves"]["FTN_RATIO"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", KITS)
def test_kits_agrees_with_its_code(name):
    expected = json.loads((ORACLES / name / "expected.json").read_text())
    prediction, reference = (load(ORACLES / name / f"{side}.nii.gz") for side in ("prediction", "reference"))
    rows = score_case(
        np.stack([prediction > 0, prediction > 1]),
        np.stack([reference > 0, reference > 1]),
        regions=["kidney", "tumour"],
        spacing=expected["grid"]["spacing_mm"],
        rules=RULES["kits19"],
    )
    for row, key in zip(rows, ("kidney_and_tumour_dice", "tumour_dice"), strict=True):
        assert same(row["dice"], expected["kits19"][key], rel=1e-6)


@pytest.mark.parametrize("name", BRAIN[:6])
@pytest.mark.parametrize("definition", ["symmetric-max", "pooled", "area-weighted"])
def test_one_call_gives_each_definition(name, definition):
    given = oracle(name)
    key = {
        "symmetric-max": SurfaceDistances.symmetric_max,
        "pooled": SurfaceDistances.pooled,
        "area-weighted": SurfaceDistances.area_weighted,
    }[definition]
    for region in given.expected["regions"]:
        pair = given.prediction[region], given.reference[region], given.spacing
        wanted = key(surface_distances(*pair, elements="areas" if definition == "area-weighted" else "voxels"), 95)
        assert hausdorff(*pair, definition=definition) == pytest.approx(wanted, nan_ok=True)


def test_metrics_import_without_torch_pandas_or_nibabel():
    code = (
        "import sys, tunetseg.metrics; "
        "print([name for name in ('torch', 'pandas', 'nibabel', 'rich') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
