"""What a working spacing costs before anything is learned: reference masks to it and back.

By the share of a working voxel that a mask covers, as in training, and by linear interpolation, as for images.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from tunetseg.datasets import candidate_schemes, find_cases, present_labels, recognise_labels
from tunetseg.io import read_label_map
from tunetseg.preparation.resample import covered, resample, resampled_shape


def main() -> None:
    """Print one JSON object: for each kind of mask and region the cases, mean Dice and mean share of the volume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--spacing", type=float, default=2.0, help="mm; the cohort's own is taken to be 1 mm")
    arguments = parser.parse_args()
    scale = (arguments.spacing,) * 3
    figures: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for case in find_cases(arguments.cohort):
        if case.reference is None or case.dataset is None:
            continue
        array = read_label_map(case.reference).array
        scheme = recognise_labels(present_labels(array), candidate_schemes(case.dataset), str(case.reference))
        masks = scheme.masks(array)
        places = np.argwhere(masks[0])
        low = np.maximum(places.min(0) - 12, 0) // 12 * 12  # on the working grid at 2, 3 and 4 mm
        x, y, z = (slice(a, b) for a, b in zip(low, places.max(0) + 13, strict=True))
        masks = masks[:, x, y, z]
        nx, ny, nz = resampled_shape(masks.shape[1:], (1.0, 1.0, 1.0), arguments.spacing)
        shares = {
            "covered": covered(masks, scale, (nx, ny, nz)),
            "interpolated": resample(masks.astype(np.float32), scale, (nx, ny, nz)),
        }
        sx, sy, sz = masks.shape[1:]
        for kind, share in shares.items():
            there = (share >= 0.5).astype(np.float32)
            back = resample(there, (1 / scale[0], 1 / scale[1], 1 / scale[2]), (sx, sy, sz)) >= 0.5
            for region, mask, found in zip(scheme.region_names, masks, back, strict=True):
                if mask.any():
                    dice = 2 * float((mask & found).sum()) / float(mask.sum() + found.sum())
                    figures[f"{kind} {region}"].append((dice, float(found.sum() / mask.sum())))
    means = {
        name: {"n": len(pairs), "dice": round(float(dice), 3), "volume": round(float(volume), 3)}
        for name, pairs in figures.items()
        for dice, volume in [np.mean(pairs, axis=0)]
    }
    print(json.dumps({"benchmark": "mask_round_trip", "spacing_mm": arguments.spacing, "mean": means}))


if __name__ == "__main__":
    main()
