"""The rules of 2026 against the organisers' package itself, from files to the table that it writes.

``brats-evaluation`` (AGPL) is run where it is installed (``make oracles``); nothing of it is needed or copied.
"""

import contextlib
import csv
import io
import json
import math
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tunetseg.datasets import (
    candidate_schemes,
    find_cases,
    find_description,
    find_scheme,
    present_labels,
    recognise_labels,
)
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.text import summary_lines
from tunetseg.io import read_label_map

package = pytest.importorskip("brats_evaluation", reason="brats-evaluation is not installed; run make oracles")

NESTED = {"whole": "wt", "core": "tc", "enhancing": "et"}
GLIOMA = {**NESTED, "necrosis": "netc", "oedema": "snfh", "cavity": "rc"}
CHALLENGES: dict[str, tuple[str, dict[str, str], int]] = {
    # Rules -> configuration of the package, its names of the regions, highest label value.
    "brats2026-gli": ("gli", GLIOMA, 4),
    "brats2026-met": ("mets", {**NESTED, "cavity": "rc"}, 4),
    "brats2026-ped": ("ped", {**NESTED, "necrosis": "netc", "cyst": "cc", "oedema": "ed"}, 4),
    "brats2026-goat": ("GoAT", NESTED, 3),
    "brats2026-men": ("MenPre", NESTED, 3),
    "brats2026-men-rt": ("MenRT", {"target": "gtv"}, 1),
}
COLUMNS = {
    "dice": "global_dsc", "hd95": "global_hd95", "nsd": "global_nsd",
    "lesion_dice": "lesionwise_dsc_mean", "lesion_hd95": "lesionwise_hd95_mean", "lesion_nsd": "lesionwise_nsd_mean",
}  # fmt: skip
COUNTS = {"f1": "f1", "lesion_tp": "tp", "lesion_fp": "fp", "lesion_fn": "fn"}
LARGE_MM3, DETECTION_DICE = 27, 0.2


@cache
def evaluator(config: str) -> Any:
    from panoptica import Panoptica_Evaluator

    return Panoptica_Evaluator.load_from_config(str(package.config_path(config)))


def theirs(config: str, prediction: Path, reference: Path) -> dict[str, float]:
    """Return the row of the organisers' table for one case."""
    found = package.evaluate_single_exam(str(prediction), str(reference), "case", evaluator(config))
    assert "error" not in found
    results, table = reference.with_name("results.json"), reference.with_name("table.csv")
    results.write_text(json.dumps({"metrics": [found], "missings": []}, default=float))
    with contextlib.redirect_stdout(io.StringIO()):
        if config == "mets":
            package.parse_mets_results(results, LARGE_MM3, DETECTION_DICE, table)
        else:
            package.parse_seg_results(results, table)
    with table.open(newline="") as lines:
        row = next(csv.DictReader(lines))
    return {name: float(value or "nan") for name, value in row.items() if name != "subject_id"}


def check(rules: str, prediction: np.ndarray, reference: np.ndarray, affine: np.ndarray) -> None:
    """Compare every column of every region of one pair of label maps, written to files."""
    config, words, _ = CHALLENGES[rules]
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{side}-00001-000.nii.gz" for side in ("prediction", "reference")]
        for path, array in zip(paths, (prediction, reference), strict=True):
            nib.save(nib.Nifti1Image(array.astype(np.uint8), affine), path)
        official = theirs(config, *paths)
        rows = evaluate(*paths, rules=rules, labels="brats2023" if rules.endswith(("goat", "-men")) else None).rows
    assert [row["region"] for row in rows] == list(words)
    counted = "small_instance" if config == "mets" else "all_instance"
    for row in rows:
        for ours, column in (*COLUMNS.items(), *((ours, f"{counted}_{name}") for ours, name in COUNTS.items())):
            value = official[f"{column}_{words[row['region']]}"]
            if math.isnan(value) and ours.startswith("lesion_") and ours[-2:] in ("tp", "fp", "fn"):
                # Where no lesion is of the size that is counted, the package leaves a blank and we the counts.
                assert not row["lesion_tp"] + row["lesion_fn"]
                continue
            wanted = 373.0 if math.isinf(value) else value
            close = 1e-4 if ours.endswith("hd95") else 1e-9
            assert row[ours] == pytest.approx(wanted, rel=1e-6, abs=close, nan_ok=True), (row["region"], ours)


def noise(rng: np.random.Generator, highest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two label maps of single voxels and a few of them side by side."""
    shape = tuple(rng.integers(3, 9, 3))
    density = rng.choice([0.05, 0.15, 0.4])
    return tuple((rng.random((2, *shape)) < density) * rng.integers(1, highest + 1, (2, *shape)))


def blobs(rng: np.random.Generator, highest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a label map of balls and a copy with some more of them, which also wipe out others."""
    shape = tuple(rng.integers(8, 18, 3))
    grid = np.indices(shape)
    label_map = np.zeros(shape, np.uint8)

    def add(side: np.ndarray, number: int) -> None:
        for _ in range(number):
            centre = np.array([rng.integers(0, n) for n in shape]).reshape(3, 1, 1, 1)
            side[((grid - centre) ** 2).sum(axis=0) < rng.uniform(0.8, 3.5) ** 2] = rng.integers(0, highest + 1)

    add(label_map, rng.integers(0, 10))
    other = label_map.copy()
    add(other, rng.integers(0, 5))
    return (label_map, other) if rng.random() < 0.5 else (other, label_map)


@pytest.mark.parametrize("rules", CHALLENGES)
@pytest.mark.parametrize("make", [noise, blobs])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spacing=st.sampled_from([(1, 1, 1), (1, 1, 1), (0.5, 0.5, 0.5), (1, 1, 3)]))
def test_every_column(rules, make, seed, spacing):
    rng = np.random.default_rng(seed)
    prediction, reference = make(rng, CHALLENGES[rules][2])
    check(rules, prediction, reference, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))


def test_a_missing_file_has_the_worst_scores_even_of_empty_regions(tmp_path):
    label_map = np.zeros((12, 10, 8), np.uint8)
    label_map[2:6, 2:6, 2:6] = 2
    sides = {name: tmp_path / name for name in ("predictions", "references")}
    for side, cases in zip(sides.values(), ((0,), (0, 1)), strict=True):
        side.mkdir()
        for case in cases:
            nib.save(nib.Nifti1Image(label_map, np.eye(4)), side / f"BraTS-GLI-0000{case}-000.nii.gz")
    found = package.evaluate_single_exam(
        *[str(side / "BraTS-GLI-00000-000.nii.gz") for side in sides.values()], "case", evaluator("gli")
    )
    (tmp_path / "results.json").write_text(json.dumps({"metrics": [found], "missings": ["other"]}, default=float))
    with contextlib.redirect_stdout(io.StringIO()):
        package.parse_seg_results(tmp_path / "results.json", tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as lines:
        _, official, mean, *_ = csv.DictReader(lines)
    scores = evaluate(*sides.values(), rules="brats2026-gli", strict=True)
    rows = [row for row in scores.rows if row["status"] == "missing"]
    assert len(rows) == len(GLIOMA)
    for row in rows:
        for ours, column in (*COLUMNS.items(), ("f1", "all_instance_f1")):
            assert row[ours] == float(official[f"{column}_{GLIOMA[row['region']]}"]), (row["region"], ours)
    for region, word in GLIOMA.items():
        for ours in ("dice", "hd95", "nsd"):
            ours_mean = scores.summary["regions"][region][ours]["mean"]
            assert ours_mean == pytest.approx(float(mean[f"{COLUMNS[ours]}_{word}"])), (region, ours)
    assert all(row["dice"] == 0 for row in scores.strict_rows if row["status"] == "missing")
    assert any("has the worst scores, even of empty regions" in line for line in summary_lines(scores.summary))


def perturbed(label_map: np.ndarray, seed: int) -> np.ndarray:
    """Return a label map moved by some voxels of smooth noise, with parts lost and islands and a cavity added."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(scale=2.5, size=(3, 6, 6, 5))
    field = [ndimage.zoom(shift, np.array(label_map.shape) / shift.shape, order=1) for shift in coarse]
    places = [np.rint(axis + shift).astype(int) for axis, shift in zip(np.indices(label_map.shape), field, strict=True)]
    moved = label_map[tuple(np.clip(p, 0, n - 1) for p, n in zip(places, label_map.shape, strict=True))]
    corners = np.argwhere(moved)
    for value in (0, 0, 1, 3, 4):
        x, y, z = corners[rng.integers(len(corners))]
        size = rng.integers(2, 9)
        moved[x : x + size, y : y + size, z : z + size] = value
    x, y, z = rng.integers(5, np.array(label_map.shape) - 10)
    moved[x : x + 3, y : y + 4, z : z + 3] = rng.integers(1, 4)
    return moved


@pytest.mark.slow
@pytest.mark.needs_cohort
@pytest.mark.parametrize("number", range(20))
def test_real_label_maps(number, real_cohort):
    """Twenty real label maps, as of the glioma challenge and as of that of metastases."""
    cases = [case for case in find_cases(real_cohort) if case.reference is not None]
    case = cases[number * len(cases) // 20]
    label_map = read_label_map(case.reference).array
    candidates = candidate_schemes(case.dataset or find_description("glioma"))
    scheme = recognise_labels(present_labels(label_map), candidates, case.id)
    reference = find_scheme("brats2023").label_map(scheme.nesting(label_map))
    prediction = perturbed(reference, number)
    for rules in ("brats2026-gli", "brats2026-met"):
        check(rules, prediction, reference, np.diag([-1.0, -1, 1, 1]))
