"""`tunet evaluate`."""

from pathlib import Path
from typing import Annotated

import tyro

__all__ = ["evaluate"]


def evaluate(
    predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PREDICTIONS")],
    references: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCES")],
    *,
    rules: str = "brats2020",
    cases: Path | None = None,
    uncertainty: bool = False,
    thresholds: tuple[float, ...] | None = None,
    tolerance: float | None = None,
    out: Path | None = None,
    tables: bool = False,
    labels: str | None = None,
    prediction_labels: str | None = None,
    workers: int | None = None,
) -> None:
    """Score predicted label maps against the experts' and print means and standard deviations.

    Each side is a cohort folder, a flat folder of <case>.nii.gz, or a single file. A reference whose prediction is
    missing, unreadable, on another grid or of unknown labels counts as one for which nothing was found. For research
    use; not a medical device.

    Args:
        predictions: What was predicted.
        references: What the experts drew.
        rules: brats2019 leaves empty regions out of HD95, brats2020 gives them 373.12866 mm; brats2023-gli, -ssa,
            -ped, -men and -met count lesions; qu-brats scores uncertainty; kits19.
        cases: Text file of case names, such as a run folder's validation.txt; only these are scored.
        uncertainty: Score the uncertainty maps beside the predictions too, and probability maps where there are any;
            REFERENCES must hold the patients' images, which tell where the brain is.
        thresholds: Of uncertainty, such as 0 10 25 50 75, instead of 0 2.5 ... 100; implies --uncertainty.
        tolerance: Score surface Dice too, at this many mm.
        out: CSV file for one row a case and region; the summary goes beside it as JSON.
        tables: Write .md and .tex tables of the means beside the CSV file too.
        labels: BraTS year or scheme of both sides' label values, instead of what the files themselves tell.
        prediction_labels: The same for the predictions alone.
        workers: Cases scored at the same time.
    """
    from tunetseg.cli.console import table_console
    from tunetseg.evaluation.evaluate import evaluate as score_files
    from tunetseg.evaluation.tables import print_summary

    scores = score_files(
        predictions,
        references,
        rules=rules,
        cases=cases,
        labels=labels,
        prediction_labels=prediction_labels,
        uncertainty=uncertainty,
        thresholds=thresholds,
        tolerance=tolerance,
        out=out,
        tables=tables,
        workers=workers,
        progress=True,
    )
    console = table_console()
    print_summary(scores.summary, console)
    if out is not None:
        also = [out.with_suffix(ending) for ending in (".json", *((".md", ".tex") if tables else ()))]
        console.print(f"Wrote {', '.join(map(str, [out, *also]))}.", markup=False, highlight=False)
