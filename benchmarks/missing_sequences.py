"""Dice with every subset of the sequences: what a missing one costs.

python benchmarks/missing_sequences.py COHORT --model robust --out scores.csv

Each model file is used on the cases of the cohort that it has not seen, which its header names.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from tunetseg.datasets import Case, find_cases
from tunetseg.inference.predictor import Ensemble, load_model
from tunetseg.inference.segment import segment_volume
from tunetseg.io import read_image
from tunetseg.metrics.overlap import count_voxels
from tunetseg.models.zoo import find_models
from tunetseg.preparation import read_volume


def main() -> None:
    """Write the Dice of each case with each subset, and print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--model", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="CSV file")
    arguments = parser.parse_args()
    cases = find_cases(arguments.cohort)
    found: dict[str, list[list[float]]] = {}
    with arguments.out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["case", "sequences", *load_model(arguments.model[0]).dataset.region_names])
        for path in find_models(arguments.model):
            model = load_model(path)
            unseen = {*model.specs[0].training["unseen"]}
            for case in cases:
                if case.id not in unseen:
                    continue
                for kept, dice in every_subset(case, model):
                    table.writerow([case.id, kept, *(f"{value:.4f}" for value in dice)])
                    found.setdefault(kept, []).append(dice)
                file.flush()
    for kept, scores in found.items():
        print(f"{kept:<20} n = {len(scores)}  {' '.join(f'{mean:.3f}' for mean in np.mean(scores, axis=0))}")


def every_subset(case: Case, model: Ensemble) -> Iterator[tuple[str, list[float]]]:
    """Yield the names of the sequences that are there, and the Dice of each region."""
    assert case.reference is not None
    assert case.dataset is not None
    truth = case.dataset.scheme.masks(read_image(case.reference).array.astype(np.int64))
    volume = read_volume(case, model.dataset)
    names = model.dataset.channel_names
    for count in range(len(names), 0, -1):
        for kept in combinations(names, count):
            missing = tuple(name for name in names if name not in kept)
            array = volume.array.copy()
            array[[names.index(name) for name in missing]] = 0
            result = segment_volume(replace(volume, array=array, missing=missing), model)
            pairs = zip(result.grid.to_lps(result.masks), truth, strict=True)
            yield " ".join(kept), [dice(a, b) for a, b in pairs]


def dice(predicted: np.ndarray, reference: np.ndarray) -> float:
    """Return Dice as in the rules of BraTS 2020: 1 where both masks are empty."""
    found = count_voxels(predicted, reference).dice
    return 1.0 if np.isnan(found) else found


if __name__ == "__main__":
    main()
