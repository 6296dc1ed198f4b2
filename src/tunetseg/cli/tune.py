"""`tunet tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from tunetseg.tuning.cohort import Tuning

from tunetseg.cli.options import OptionalPath, optional

__all__ = ["tune"]


def tune(
    predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PREDICTIONS")],
    references: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCES")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="FILE.toml", aliases=("-o",))],
    model: Annotated[tuple[Path, ...], optional("FILE")] = (),
    objective: Literal["both", "lesion", "dice"] = "both",
    calibration: Literal["temperature", "isotonic", "none"] = "temperature",
    rules: str = "brats2023",
    base: Annotated[str, tyro.conf.arg(metavar="model|paper|none|FILE.toml")] = "model",
    cases: OptionalPath = None,
    dataset: Annotated[str | None, optional("NAME-OR-FILE")] = None,
    folds: int = 5,
    seed: int = 0,
) -> None:
    """Choose post-processing and calibration on patients that the models never saw.

    PREDICTIONS holds what 'tunet segment --probabilities' wrote for each patient with a model that had not seen the
    patient, such as each fold's model for its own validation patients. Chosen are, per region, threshold and smallest
    component, the smallest volume of the region that the rules remove where it is small, and whether its thresholds are
    lowered where nothing is found. The figure that is printed as nested is honest: each patient is scored with what was
    chosen without the fold of the patient.

    Args:
        predictions: Label maps with probability maps next to them.
        references: Cohort with reference segmentations.
        out: File to write, which --postprocessing of 'tunet segment' takes.
        model: Model files that what was chosen is stored in too; their weights stay as they are.
        objective: What is optimised: lesion-wise Dice, plain Dice, or the mean of both.
        calibration: Curve per region that makes probabilities agree with frequencies, for uncertainty maps; none fits
            none.
        rules: Lesion-wise rules.
        base: Rules to start from: those of the dataset (or of the first --model), the paper's, none, or a file's.
        cases: Text file of case names; only these are used.
        dataset: Dataset of both sides; by default the names of the files say.
        folds: Folds of the nested figure.
        seed: Seed of these folds.
    """
    from tunetseg.cli.console import shown, table_console
    from tunetseg.datasets import find_description, read_case_list
    from tunetseg.errors import InputError
    from tunetseg.evaluation.pairing import pair_files
    from tunetseg.inference.postprocess import find_postprocessing
    from tunetseg.io.files import check_target, make_folder
    from tunetseg.models.store import read_spec
    from tunetseg.tuning.cohort import check_tuned
    from tunetseg.tuning.cohort import tune as search

    make_folder(out.parent)
    check_target(out, ".toml")
    description = find_description(dataset) if dataset else None
    only = None if cases is None else read_case_list(cases)
    pairs = pair_files(predictions, references, only, description).pairs
    known = read_spec(model[0]).dataset if model else pairs[0].reference.dataset
    if known is None:
        raise InputError(f"{references}: its dataset is not recognised; name it with --dataset")
    for path in model:
        check_tuned(path, known.region_names)
    with shown() as progress:
        found = search(
            pairs,
            base=find_postprocessing(base, known),
            objective=objective,
            rules=rules,
            folds=folds,
            seed=seed,
            calibration=calibration,
            progress=progress,
        )
    found.save(out)
    found.store(model)
    console = table_console()
    for line in _lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    stored = f", stored in {', '.join(map(str, model))}" if model else ""
    console.print(f"Wrote {out}{stored}.", markup=False, highlight=False, soft_wrap=True)


def _lines(found: "Tuning") -> list[str]:
    """Return what was found as lines of text."""
    titles = {
        "before": "rules as they were",
        "none": "threshold 0.5 alone",
        "nested": "tuned, nested",
        "chosen": "tuned on the same cases (flatters)",
    }
    lines = [f"{found.cases} cases; lesion-wise Dice / Dice of {', '.join(found.regions)}"]
    for policy, scores in found.scores.items():
        values = "   ".join(f"{row['lesion_dice']:.3f} / {row['dice']:.3f}" for row in scores.values())
        lines.append(f"{titles[policy]:<36}{values}")
    for when, rows in found.reliability.items():
        title = "plain probabilities" if when == "before" else "calibrated, nested"
        values = "   ".join(f"{row['ece']:.4f} / {row['brier']:.4f} / {row['qu_score']:.3f}" for row in rows.values())
        lines.append(f"{title:<36}{values}   (ECE / Brier / QU-BraTS)")
    rules = found.postprocessing
    for region in found.regions:
        least = rules.min_component_mm3.get(region, 0)
        lines.append(f"{region}: threshold {rules.threshold_of(region):g}, components from {least:g} mm3")
    if rules.min_volume_region is not None:
        lines.append(f"{rules.min_volume_region}: removed where smaller than {rules.min_volume_mm3:g} mm3")
    return lines
