"""The evaluator against its rivals, in turn, in one run, on the same masks.

    python benchmarks/evaluator.py COHORT [--cases 6] [--rounds 3]

Needs MONAI, MedPy and surface-distance (pip install monai medpy surface-distance-based-measures). Masks are the
experts' segmentations of real patients, 240x240x155, and perturbed copies of them as predictions; the three regions
of each. Peak memory is of numpy's and Python's allocations during one call, of the cohort the whole process's. The last
line is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import medpy.metric.binary as medpy
import nibabel as nib
import numpy as np
import surface_distance
import torch
from monai.metrics import compute_hausdorff_distance
from scipy import ndimage

from tunetseg.datasets import find_cases, scheme_named
from tunetseg.io.volume import read_label_map
from tunetseg.metrics import QU_BRATS_THRESHOLDS, hausdorff, score_uncertainty

UNIT = (1.0, 1.0, 1.0)
Pair = tuple[np.ndarray, np.ndarray]


def perturbed(masks: np.ndarray, seed: int) -> np.ndarray:
    """Nested masks whose surfaces are moved by smooth noise of some millimetres."""
    generator = np.random.default_rng(seed)
    shift = ndimage.zoom(generator.normal(size=(8, 8, 6)), np.array(masks.shape[1:]) / (8, 8, 6), order=1) * 2.5
    moved = []
    for mask in masks:
        (box,) = ndimage.find_objects(ndimage.binary_dilation(mask, iterations=8).astype(np.uint8)) or [None]
        out = np.zeros_like(mask)
        if box is not None:
            inner, noise = mask[box], shift[box]
            signed = ndimage.distance_transform_edt(inner) - ndimage.distance_transform_edt(~inner)
            out[box] = signed + noise > 0
        moved.append(out)
    return np.logical_and.accumulate(moved, axis=0)


def load(cohort: Path, count: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Predicted and true masks, shape (region, x, y, z), and a brain mask."""
    loaded = []
    for case in [case for case in find_cases(cohort) if case.segmentation is not None][:count]:
        assert case.segmentation is not None
        labels = read_label_map(case.segmentation).array
        masks = scheme_named(case.labels or "2023").masks(labels)
        brain = np.asarray(nib.load(case.images["t1"]).dataobj) != 0
        loaded.append((perturbed(masks, len(loaded)), masks, brain))
    return loaded


def monai_hd95(prediction: np.ndarray, reference: np.ndarray) -> float:
    """MONAI's, of masks of one region."""
    one, other = (torch.from_numpy(mask)[None, None] for mask in (prediction, reference))
    return float(compute_hausdorff_distance(one, other, include_background=True, percentile=95, spacing=UNIT))


def surface_distance_hd95(prediction: np.ndarray, reference: np.ndarray) -> float:
    """DeepMind's, of masks of one region."""
    return surface_distance.compute_robust_hausdorff(
        surface_distance.compute_surface_distances(reference, prediction, UNIT), 95
    )


def naive_uncertainty(prediction: np.ndarray, reference: np.ndarray, unsure: np.ndarray, brain: np.ndarray) -> float:
    """DAUC, RFTP and RFTN by filtering the volume once a threshold, as the challenge's code does."""
    curves: list[tuple[float, float, float]] = []
    for threshold in QU_BRATS_THRESHOLDS:
        kept = unsure <= threshold
        found, true = prediction & kept, reference & kept
        both = np.count_nonzero(found & true)
        total = np.count_nonzero(found) + np.count_nonzero(true)
        hits = np.count_nonzero(found & true & brain)
        rest = np.count_nonzero(~prediction & ~reference & kept & brain)
        curves.append((2 * both / total if total else 1.0, hits, rest))
    dice, hits, rest = np.array(curves).T
    steps = np.array(QU_BRATS_THRESHOLDS)
    areas = [
        float(((c[1:] + c[:-1]) / 2 * np.diff(steps)).sum()) / 100
        for c in (dice, 1 - hits / hits[-1], 1 - rest / rest[-1])
    ]
    return (areas[0] + 1 - areas[1] + 1 - areas[2]) / 3


def in_turn(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of each call over the rounds, and the peak of one more call."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    result = {}
    for name, call in calls.items():
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        result[name] = {"seconds": round(statistics.median(seconds[name]), 4), "peak_mb": round(peak, 1)}
    return result


def cohort_of(count: int, loaded: list[tuple[np.ndarray, np.ndarray, np.ndarray]], folder: Path) -> None:
    """Write a cohort's worth of label maps, predictions and references, from the loaded cases in turn."""
    for side in ("predictions", "references"):
        (folder / side).mkdir()
    scheme = scheme_named("2020")
    for number in range(count):
        prediction, reference, _ = loaded[number % len(loaded)]
        for side, masks in (("predictions", prediction), ("references", reference)):
            image = nib.Nifti1Image(scheme.merge(masks), np.diag([-1.0, -1, 1, 1]))
            nib.save(image, folder / side / f"case{number:03d}.nii.gz")


def command(folder: Path) -> tuple[float, float]:
    """Seconds and peak resident MB of ``tunet evaluate`` over the cohort, starting Python included."""
    sides = [str(folder / side) for side in ("predictions", "references")]
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "tunetseg", "evaluate", *sides, "--out", str(folder / "scores.csv")],
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit("tunet evaluate failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def main() -> None:
    """Measure, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    loaded = load(given.cohort, given.cases)
    pairs: list[Pair] = [(p, r) for predicted, true, _ in loaded for p, r in zip(predicted, true, strict=True)]
    pairs = [(p, r) for p, r in pairs if p.any() and r.any()]

    def over_pairs(score: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[], object]:
        return lambda: [score(p, r) for p, r in pairs]

    distances = in_turn(
        {
            "tunetseg, directed": over_pairs(lambda p, r: hausdorff(p, r, UNIT)),
            "MONAI": over_pairs(monai_hd95),
            "tunetseg, area-weighted": over_pairs(lambda p, r: hausdorff(p, r, UNIT, definition="area-weighted")),
            "surface-distance": over_pairs(surface_distance_hd95),
            "tunetseg, pooled": over_pairs(lambda p, r: hausdorff(p, r, UNIT, definition="pooled")),
            "MedPy": over_pairs(lambda p, r: medpy.hd95(p, r, UNIT)),
        },
        given.rounds,
    )
    predicted, true, brain = loaded[0]
    field = ndimage.zoom(np.random.default_rng(0).random((12, 12, 8)), np.array(brain.shape) / (12, 12, 8), order=1)
    unsure = (field * 100 * brain).clip(0, 100).astype(np.uint8)
    uncertainty = in_turn(
        {
            "tunetseg": lambda: score_uncertainty(predicted[0], true[0], unsure, brain).score,
            "41 passes": lambda: naive_uncertainty(predicted[0], true[0], unsure, brain),
        },
        given.rounds,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohort_of(125, loaded, folder)
        seconds, peak = command(folder)
    for title, table in (("HD95", distances), ("uncertainty scores", uncertainty)):
        for label, found in table.items():
            print(f"{title:<20}{label:<26}{found['seconds']:9.3f} s  {found['peak_mb']:8.1f} MB")
    print(f"125 cases, files included: {seconds:.1f} s, {peak:.0f} MB")
    ours = {name: distances[f"tunetseg, {name}"]["seconds"] for name in ("directed", "area-weighted", "pooled")}
    print(
        json.dumps(
            {
                "benchmark": "evaluator",
                "masks": len(pairs),
                "hd95": distances,
                "hd95_ratio": {
                    "MONAI": round(distances["MONAI"]["seconds"] / ours["directed"], 1),
                    "surface-distance": round(distances["surface-distance"]["seconds"] / ours["area-weighted"], 1),
                    "MedPy": round(distances["MedPy"]["seconds"] / ours["pooled"], 1),
                },
                "uncertainty": uncertainty,
                "uncertainty_ratio": round(uncertainty["41 passes"]["seconds"] / uncertainty["tunetseg"]["seconds"], 1),
                "cohort_of_125": {"seconds": round(seconds, 1), "peak_mb": round(peak)},
            }
        )
    )


if __name__ == "__main__":
    main()
