"""Write the label map of each case by the rules that ``tunet tune`` chooses without the fold of the case.

python tools/nested_maps.py PREDICTIONS COHORT OUT

PREDICTIONS holds out-of-fold predictions with probability maps. ``tunet evaluate OUT COHORT`` gives the scores of the
nested rules, patient by patient. ``OUT/rules.toml`` holds the rules chosen on all cases.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from tunetseg.datasets import find_scheme
from tunetseg.evaluation.maps import read_map
from tunetseg.evaluation.pairing import pair_files
from tunetseg.inference.postprocess import postprocess
from tunetseg.io.nifti import read_image, write_image
from tunetseg.tuning.cohort import tune


def main() -> None:
    """Choose rules, and write ``OUT/CASE.nii.gz`` with the manifest of each prediction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pairs = pair_files(given.predictions, given.cohort).pairs
    found = tune(pairs, calibration="none")
    found.save(given.out / "rules.toml")
    for pair in pairs:
        assert pair.prediction is not None
        reference = read_image(pair.reference.path)
        maps = [read_map(pair, "prob", region, reference, 1) for region in found.regions]
        rules = found.folds[found.fold_of[pair.case]]
        masks, _ = postprocess(np.stack(maps), found.regions, 1000 * reference.stored.voxel_ml, rules)
        scheme = find_scheme(str(pair.prediction.manifest["labels"]))
        write_image(given.out / f"{pair.case}.nii.gz", scheme.merge(masks), reference.stored)
        shutil.copy(pair.prediction.path.with_name(f"{pair.case}.json"), given.out)
    print(json.dumps(found.scores["nested"], indent=1))


if __name__ == "__main__":
    main()
