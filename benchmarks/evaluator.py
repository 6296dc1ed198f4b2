"""Measure the evaluator and its rivals, in turn, in one run, on the same masks.

    python benchmarks/evaluator.py COHORT [--cases 6] [--rounds 3] [--cohort-size 125]

Rivals are MONAI, MedPy, surface-distance, panoptica and brats-evaluation, those that are installed (``make oracles``).
Masks are the reference segmentations of real patients, 240x240x155, and perturbed copies of them as predictions. HD95
is that of each region; panoptica scores whole cases from arrays, and brats-evaluation from files, both by the
organisers' configuration for gliomas of 2026, with ``brats2026-gli`` beside them. Times are CPU seconds, so that other
work on the machine matters little. Peak memory is that of numpy's and Python's allocations during one call, for the
cohort that of the whole process. The last line is one JSON object.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from tunetseg.datasets import candidate_schemes, find_cases, find_description, find_scheme, recognise_labels
from tunetseg.datasets.labels import present_labels
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.io import read_image, read_label_map
from tunetseg.metrics import HAUSDORFF, QU_BRATS_THRESHOLDS, hausdorff, score_uncertainty

UNIT = (1.0, 1.0, 1.0)
Masks = np.ndarray


def perturbed(masks: Masks, seed: int) -> Masks:
    """Return nested masks whose surfaces are moved by smooth noise of some millimetres."""
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


def load(cohort: Path, count: int) -> list[tuple[Masks, Masks, Masks]]:
    """Return predicted and reference masks, shape (region, x, y, z), and a brain mask, of some cases."""
    loaded = []
    for case in [case for case in find_cases(cohort) if case.reference is not None][:count]:
        assert case.reference is not None
        labels = read_label_map(case.reference).array
        candidates = candidate_schemes(case.dataset or find_description("glioma"))
        masks = recognise_labels(present_labels(labels), candidates, case.id).masks(labels)
        channel, path = next(iter(case.images.items()))
        brain = read_image(path, volume=case.volumes.get(channel)).array != 0
        loaded.append((perturbed(masks, len(loaded)), masks, brain))
    return loaded


def monai_hd95(prediction: Masks, reference: Masks) -> float:
    """Return MONAI's HD95 of masks of one region."""
    import torch
    from monai.metrics import compute_hausdorff_distance

    tensors = (torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (prediction, reference))
    return float(compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=UNIT))


def surface_distance_hd95(prediction: Masks, reference: Masks) -> float:
    """Return DeepMind's HD95 of masks of one region."""
    import surface_distance

    distances = surface_distance.compute_surface_distances(reference, prediction, UNIT)
    return surface_distance.compute_robust_hausdorff(distances, 95)


def medpy_hd95(prediction: Masks, reference: Masks) -> float:
    """Return MedPy's HD95 of masks of one region."""
    import medpy.metric.binary as medpy

    return medpy.hd95(prediction, reference, UNIT)


RIVALS = {
    "symmetric-max": ("MONAI", "monai", monai_hd95),
    "area-weighted": ("surface-distance", "surface_distance", surface_distance_hd95),
    "pooled": ("MedPy", "medpy", medpy_hd95),
}
"""Definition of HD95 -> the rival that computes it: title, package and function."""


def naive_uncertainty(prediction: Masks, reference: Masks, uncertainty: Masks, brain: Masks) -> float:
    """Return the score of uncertainty by filtering the volume once per threshold, as the challenge's code does."""
    curves: list[tuple[float, float, float]] = []
    for threshold in QU_BRATS_THRESHOLDS:
        kept = uncertainty <= threshold
        predicted, present = prediction & kept, reference & kept
        both = np.count_nonzero(predicted & present)
        total = np.count_nonzero(predicted) + np.count_nonzero(present)
        tp = np.count_nonzero(predicted & present & brain)
        tn = np.count_nonzero(~prediction & ~reference & kept & brain)
        curves.append((2 * both / total if total else 1.0, tp, tn))
    dice, tps, tns = np.array(curves).T
    steps = np.array(QU_BRATS_THRESHOLDS)
    areas = [
        float(((curve[1:] + curve[:-1]) / 2 * np.diff(steps)).sum()) / 100
        for curve in (dice, 1 - tps / tps[-1], 1 - tns / tns[-1])
    ]
    return (areas[0] + 1 - areas[1] + 1 - areas[2]) / 3


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it has waited for."""
    return time.process_time() + sum(os.times()[2:4])


def in_turn(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Return the median CPU seconds of each call over the rounds, and the peak of one more call."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = cpu_seconds()
            call()
            seconds[name].append(cpu_seconds() - began)
    result = {}
    for name, call in calls.items():
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        result[name] = {"seconds": round(statistics.median(seconds[name]), 4), "peak_mb": round(peak, 1)}
    return result


def time_hd95(loaded: list[tuple[Masks, Masks, Masks]], rounds: int) -> tuple[int, dict[str, dict[str, float]]]:
    """Return the number of pairs of masks, and the times of each definition and its rival over all of them."""
    pairs = [
        (prediction, reference)
        for predicted, present, _ in loaded
        for prediction, reference in zip(predicted, present, strict=True)
        if prediction.any() and reference.any()
    ]

    def over_pairs(score: Callable[[Masks, Masks], float]) -> Callable[[], object]:
        return lambda: [score(prediction, reference) for prediction, reference in pairs]

    def ours(definition: str) -> Callable[[], object]:
        return over_pairs(lambda prediction, reference: hausdorff(prediction, reference, UNIT, definition=definition))

    calls = {}
    for definition in HAUSDORFF:
        calls[f"tunetseg, {definition}"] = ours(definition)
        title, package, rival = RIVALS[definition]
        if find_spec(package) is not None:
            calls[title] = over_pairs(rival)
    return len(pairs), in_turn(calls, rounds)


def time_uncertainty(loaded: tuple[Masks, Masks, Masks], rounds: int) -> dict[str, dict[str, float]]:
    """Return the times of the uncertainty scores of one region, and of the challenge's way to compute them."""
    predicted, present, brain = loaded
    field = ndimage.zoom(np.random.default_rng(0).random((12, 12, 8)), np.array(brain.shape) / (12, 12, 8), order=1)
    uncertainty = (field * 100 * brain).clip(0, 100).astype(np.uint8)
    return in_turn(
        {
            "tunetseg": lambda: score_uncertainty(predicted[0], present[0], uncertainty, brain).score,
            "41 passes": lambda: naive_uncertainty(predicted[0], present[0], uncertainty, brain),
        },
        rounds,
    )


def time_cases(
    loaded: list[tuple[Masks, Masks, Masks]], rounds: int, folder: Path
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the times of whole cases by the rules of 2026, from arrays and from files; empty without the rivals."""
    if find_spec("brats_evaluation") is None:
        return {}
    from brats_evaluation import config_path, evaluate_single_exam
    from panoptica import Panoptica_Evaluator

    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = Panoptica_Evaluator.load_from_config(str(config_path("gli")))
    scheme = find_scheme("brats2023")
    pairs = [(scheme.merge(predicted), scheme.merge(present)) for predicted, present, _ in loaded]
    paths = []
    for number, pair in enumerate(pairs):
        files = [folder / f"{side}-{number:05d}-000.nii.gz" for side in ("prediction", "reference")]
        for path, label_map in zip(files, pair, strict=True):
            nib.save(nib.Nifti1Image(label_map, np.diag([-1.0, -1, 1, 1])), path)
        paths.append(files)
    arrays = in_turn(
        {
            "tunetseg": lambda: [evaluate(*pair, rules="brats2026-gli", spacing=1) for pair in pairs],
            "panoptica": lambda: [evaluator.evaluate(*pair) for pair in pairs],
        },
        rounds,
    )
    files = in_turn(
        {
            "tunetseg": lambda: [evaluate(*pair, rules="brats2026-gli") for pair in paths],
            "brats-evaluation": lambda: [evaluate_single_exam(*map(str, pair), "case", evaluator) for pair in paths],
        },
        rounds,
    )
    return {"panoptica": arrays, "brats-evaluation": files}


def write_cohort(count: int, loaded: list[tuple[Masks, Masks, Masks]], folder: Path) -> None:
    """Write the label maps of a cohort, predictions and references, from the loaded cases in turn."""
    for side in ("predictions", "references"):
        (folder / side).mkdir()
    scheme = find_scheme("brats2020")
    for number in range(count):
        prediction, reference, _ = loaded[number % len(loaded)]
        for side, masks in (("predictions", prediction), ("references", reference)):
            image = nib.Nifti1Image(scheme.merge(masks), np.diag([-1.0, -1, 1, 1]))
            nib.save(image, folder / side / f"case{number:03d}.nii.gz")


_RUN = """
import json, os, subprocess, sys, time
began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(json.dumps([status, time.perf_counter() - began, usage.ru_maxrss / 1024]))
"""
"""Run a command from a small process: what a large one starts counts that one's memory as its own peak."""


def time_command(folder: Path) -> tuple[float, float]:
    """Return seconds and peak resident MB of ``tunet evaluate`` over the cohort, with the start of Python."""
    sides = [str(folder / side) for side in ("predictions", "references")]
    command = [sys.executable, "-m", "tunetseg", "evaluate", *sides, "--out", str(folder / "scores.csv")]
    run = subprocess.run([sys.executable, "-c", _RUN, *command], capture_output=True, text=True, check=True)
    status, seconds, peak = json.loads(run.stdout)
    if status:
        raise SystemExit(f"tunet evaluate failed: {run.stderr}")
    return seconds, peak


def main() -> None:
    """Measure, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cohort-size", type=int, default=125)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    loaded = load(options.cohort, options.cases)
    pairs, distances = time_hd95(loaded, options.rounds)
    uncertainty = time_uncertainty(loaded[0], options.rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = time_cases(loaded, options.rounds, folder)
        write_cohort(options.cohort_size, loaded, folder)
        seconds, peak = time_command(folder)
    tables = {"HD95": distances, **{f"case by {name}": table for name, table in cases.items()}}
    for title, table in {**tables, "uncertainty scores": uncertainty}.items():
        for label, measured in table.items():
            print(f"{title:<26}{label:<26}{measured['seconds']:9.3f} s  {measured['peak_mb']:8.1f} MB")
    print(f"{options.cohort_size} cases, files included: {seconds:.1f} s, {peak:.0f} MB")
    print(
        json.dumps(
            {
                "benchmark": "evaluator",
                "masks": pairs,
                "hd95": distances,
                "hd95_ratio": {
                    title: round(distances[title]["seconds"] / distances[f"tunetseg, {definition}"]["seconds"], 1)
                    for definition, (title, _, _) in RIVALS.items()
                    if title in distances
                },
                "cases": cases,
                "cases_ratio": {
                    name: round(table[name]["seconds"] / table["tunetseg"]["seconds"], 1)
                    for name, table in cases.items()
                },
                "uncertainty": uncertainty,
                "uncertainty_ratio": round(uncertainty["41 passes"]["seconds"] / uncertainty["tunetseg"]["seconds"], 1),
                "cohort": {"cases": options.cohort_size, "seconds": round(seconds, 1), "peak_mb": round(peak)},
            }
        )
    )


if __name__ == "__main__":
    main()
