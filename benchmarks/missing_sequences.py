"""Dice with every subset of the sequences: what a missing one costs.

python benchmarks/missing_sequences.py COHORT --cases UNSEEN.txt --model robust narrow
"""

import argparse
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from tunetseg.datasets import find_cases
from tunetseg.inference.predictor import load_model
from tunetseg.inference.segment import segment_volume
from tunetseg.io import read_image
from tunetseg.preparation import read_volume


def main() -> None:
    """Print the mean Dice of each region for each subset and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--cases", type=Path, required=True, help="list of cases that no model has seen")
    parser.add_argument("--model", nargs="+", required=True)
    arguments = parser.parse_args()
    wanted = set(arguments.cases.read_text().split())
    cases = [case for case in find_cases(arguments.cohort) if case.id in wanted]
    models = [load_model(name) for name in arguments.model]
    dataset = models[0].dataset
    volumes = [read_volume(case, dataset) for case in cases]
    truths = []
    for case in cases:
        assert case.reference is not None
        assert case.dataset is not None
        truths.append(case.dataset.scheme.masks(read_image(case.reference).array.astype(np.int64)))
    names = dataset.channel_names
    for count in range(len(names), 0, -1):
        for kept in combinations(range(len(names)), count):
            missing = tuple(name for number, name in enumerate(names) if number not in kept)
            line = []
            for model in models:
                scores = []
                for volume, truth in zip(volumes, truths, strict=True):
                    array = volume.array.copy()
                    array[[number for number in range(len(names)) if number not in kept]] = 0
                    result = segment_volume(replace(volume, array=array, missing=missing), model)
                    masks = result.grid.to_lps(result.masks)
                    scores.append(
                        [2 * (a & b).sum() / max(1, a.sum() + b.sum()) for a, b in zip(masks, truth, strict=True)]
                    )
                line.append(" ".join(f"{score:.3f}" for score in np.mean(scores, axis=0)))
            print(f"{' '.join(names[number] for number in kept):<20} {'   '.join(line)}", flush=True)


if __name__ == "__main__":
    main()
