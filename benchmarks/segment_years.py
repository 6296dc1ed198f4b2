"""Segment one patient of each dataset of a cohort with ``tunet segment``: Dice, seconds, peak memory.

    python benchmarks/segment_years.py COHORT [--model NAME-OR-PATH ...] [--unseen CASES.txt]

The patient of a dataset is the first that the list of unseen cases names, else the first. Each is segmented by a
process of its own, as a user would, so seconds include starting Python and loading torch, and the peak is that
process's. The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tunetseg.datasets import Case, find_cases, read_case_list
from tunetseg.evaluation.evaluate import evaluate


def choose(cohort: Path, unseen: set[str]) -> dict[str, Case]:
    """Return dataset -> one case of it."""
    chosen: dict[str, Case] = {}
    for case in sorted(find_cases(cohort), key=lambda case: (case.id not in unseen, case.id)):
        if case.reference is not None and case.dataset is not None:
            chosen.setdefault(case.dataset.name, case)
    return dict(sorted(chosen.items()))


def segment(case: Case, out: Path, options: list[str]) -> tuple[float, float]:
    """Return seconds and peak resident memory in MB of one ``tunet segment``."""
    folder = next(iter(case.images.values())).parent
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "tunetseg", "segment", str(folder), "--out", str(out), *options],
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{case.id}: tunet segment failed")
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    """Segment, score, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--model", nargs="+", default=[])
    parser.add_argument("--unseen", type=Path)
    given = parser.parse_args()
    unseen = set(read_case_list(given.unseen)) if given.unseen else set()
    options = ["--model", *given.model] if given.model else []
    rows = []
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        for dataset, case in choose(given.cohort, unseen).items():
            seconds, peak = segment(case, out, options)
            assert case.reference is not None
            scores = evaluate(out / f"{case.id}.nii.gz", case.reference, rules="brats2020")
            dice = {row["region"]: round(row["dice"], 3) for row in scores.rows}
            rows.append(
                {
                    "dataset": dataset,
                    "case": case.id,
                    "unseen": case.id in unseen,
                    "dice": dice,
                    "seconds": round(seconds, 1),
                    "peak_mb": round(peak),
                }
            )
            print(f"{dataset}  {case.id}  {dice}  {seconds:.1f} s  {peak:.0f} MB", flush=True)
    print(json.dumps({"benchmark": "segment_years", "models": given.model or ["packaged"], "patients": rows}))


if __name__ == "__main__":
    main()
