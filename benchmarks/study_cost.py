"""Days that the models of a study take, from the measured seconds of one training step.

    python benchmarks/study_cost.py --recipe quick --step 2.1 --patch-size 72 88 72 --batch-size 1
        [--cases 1251] [--models 30] [--overhead 0.1] [--grid 12]

Time is taken as proportional to the voxels shown. ``--step`` is the seconds of a step with patches of the given size,
as `benchmarks/training_step.py` measures them; ``--overhead`` is the share that validation, loading and saving add.
``--grid`` is the number of patches per case of a recipe that shows a grid over each case. Early stopping is left out.
The last line is one JSON object.
"""

import argparse
import json
import math

from tunetseg.training.recipes import find_recipe


def main() -> None:
    """Print hours per model and days for 1, 5 and 30 devices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--step", type=float, required=True, help="seconds")
    parser.add_argument("--patch-size", type=int, nargs=3, default=(72, 88, 72))
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--cases", type=int, default=1251)
    parser.add_argument("--models", type=int, default=30)
    parser.add_argument("--overhead", type=float, default=0.1)
    parser.add_argument("--grid", type=int, default=12)
    given = parser.parse_args()
    recipe = find_recipe(given.recipe)
    training = given.cases * (recipe.folds - 1) / recipe.folds
    patches = [given.grid if stage.sampling == "grid" else stage.samples_per_case for stage in recipe.stages]
    voxels = sum(
        stage.epochs * count * math.prod(stage.patch_size) for stage, count in zip(recipe.stages, patches, strict=True)
    )
    speed = given.batch_size * math.prod(given.patch_size) / given.step
    hours = training * voxels / speed * (1 + given.overhead) / 3600
    days = {devices: round(hours * math.ceil(given.models / devices) / 24, 1) for devices in (1, 5, 30)}
    print(f"{speed / 1e6:.2f} million voxels per second, {hours:.1f} hours per model; days: {days}")
    print(json.dumps({"benchmark": "study_cost", **vars(given), "hours_per_model": round(hours, 2), "days": days}))


if __name__ == "__main__":
    main()
