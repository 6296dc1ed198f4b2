"""How unsure the model is of patients and of brains without a tumour: where the limit of the warning ``unsure`` lies.

A brain without a tumour is made of a patient whose tumour lies in one half: the other half, mirrored, replaces it.

    python benchmarks/tumourless.py COHORT --brains 12
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from tunetseg.checks.result import unsureness
from tunetseg.checks.thresholds import THRESHOLDS
from tunetseg.datasets import Case, find_cases
from tunetseg.inference.predictor import Ensemble, load_model
from tunetseg.inference.segment import segment_volume
from tunetseg.io import read_image
from tunetseg.models.zoo import DEFAULT
from tunetseg.preparation import Volume, read_volume


def main() -> None:
    """Print the mean uncertainty of each case, and the extremes of both kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--brains", type=int, default=12, help="brains without a tumour")
    parser.add_argument("--model", default=DEFAULT)
    given = parser.parse_args()
    model, cases = load_model(given.model, device="cpu"), find_cases(given.cohort)
    made = []
    for case, volume in tumourless(cases, model, given.brains):
        made.append(of_volume(volume, model))
        print(f"{case.id}: without tumour {made[-1]:.2f}", flush=True)
    began, real = time.monotonic(), []
    for case in cases:
        real.append(of_volume(read_volume(case, model.dataset), model))
        print(f"{case.id}: {real[-1]:.2f}", flush=True)
    largest = ", ".join(f"{value:.2f}" for value in sorted(real)[:-4:-1])
    print(f"patients: at the most {largest}; {time.monotonic() - began:.0f} s")
    nothing = int(np.isnan(made).sum())
    print(f"without tumour: {np.nanmin(made):.2f} to {np.nanmax(made):.2f}, nothing found in {nothing} of {len(made)}")
    print(f"limit: {THRESHOLDS.uncertainty}")


def tumourless(cases: list[Case], model: Ensemble, count: int) -> Iterator[tuple[Case, Volume]]:
    """Yield brains whose diseased half is the mirror image of the other."""
    for case in cases:
        if count == 0:
            return
        volume = read_volume(case, model.dataset)
        assert case.reference is not None
        tumour = read_image(case.reference).array > 0
        brain = np.flatnonzero((volume.array != 0).any(axis=(0, 2, 3)))
        middle = int(brain[0] + brain[-1] + 1) // 2
        width = min(middle, tumour.shape[0] - middle)
        first, second = slice(middle - width, middle), slice(middle, middle + width)
        share = tumour[:middle].sum() / max(1, tumour.sum())
        if 0.001 < share < 0.999:
            continue
        array = volume.array.copy()
        ill, well = (first, second) if share > 0.5 else (second, first)
        array[:, ill] = array[:, well][:, ::-1]
        count -= 1
        yield case, replace(volume, array=array)


def of_volume(volume: Volume, model: Ensemble) -> float:
    """Return what the warning judges; NaN where nothing is found."""
    result = segment_volume(volume, model)
    return unsureness(result.probabilities[0]) if result.masks[0].any() else float("nan")


if __name__ == "__main__":
    main()
