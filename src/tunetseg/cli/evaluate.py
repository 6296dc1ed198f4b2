"""`tunet evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

__all__ = ["evaluate"]


def evaluate(
    predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PREDICTIONS")],
    references: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCES")],
    *,
    rules: Literal["brats2019", "brats2020"] = "brats2020",
    out: Path | None = None,
    labels: str | None = None,
    prediction_labels: str | None = None,
    all_references: bool = False,
    workers: int | None = None,
) -> None:
    """Score predicted label maps against the experts' and print means and standard deviations.

    Each side is a cohort folder, a flat folder of <case>.nii.gz, or a single file. For research use; not a
    medical device.

    Args:
        predictions: What was predicted.
        references: What the experts drew.
        rules: Conventions for empty regions: brats2019 leaves them out of HD95, brats2020 gives 373.12866 mm.
        out: CSV file for one row a case and region; the summary goes beside it as JSON.
        labels: BraTS year or scheme of both sides' label values, instead of what the files themselves tell.
        prediction_labels: The same for the predictions alone.
        all_references: Count references without a prediction as empty predictions, not only list them.
        workers: Cases scored at the same time.
    """
    from rich.console import Console

    from tunetseg.report.scores import evaluate as score_files
    from tunetseg.report.scores_tables import print_summary

    scores = score_files(
        predictions,
        references,
        rules=rules,
        labels=labels,
        prediction_labels=prediction_labels,
        all_references=all_references,
        out=out,
        workers=workers,
        progress=True,
    )
    console = Console()
    print_summary(scores.summary, console)
    if out is not None:
        console.print(f"Wrote {out} and {out.with_suffix('.json')}.", markup=False, highlight=False)
