"""``tunet report``."""

from pathlib import Path
from typing import Annotated

import tyro

from tunetseg.cli.options import OptionalOutPath, OptionalPath, optional

__all__ = ["report"]


def report(
    results: Annotated[tuple[Path, ...], tyro.conf.Positional, optional("RESULT")],
    *,
    images: OptionalPath = None,
    references: OptionalPath = None,
    dataset: Annotated[str | None, optional("NAME-OR-FILE")] = None,
    scores: Annotated[Path | None, optional("SCORES.CSV")] = None,
    each: bool = False,
    out: OptionalOutPath = None,
) -> None:
    """Write a page that anyone can open in a browser, without a network: of a patient, a cohort, or a training.

    RESULT is a label map or manifest of 'tunet segment', or its folder; or run folders of 'tunet train'. A patient's
    page shows images, regions, probabilities and uncertainty in three planes and a render, with measurements and
    findings; several patients give a page with a table of them, outliers first, and distributions; runs a page of
    losses, scores and times. Research use, not a medical device.

    Args:
        results: Files or folders.
        images: Folder of the patients' images, as given to 'tunet segment'; their reference segmentations are shown
            too.
        references: Reference segmentations, if they lie elsewhere.
        dataset: Dataset of the model, if it is not a packaged one: its .toml file.
        scores: Table of 'tunet evaluate --out', for the page of a cohort.
        each: Write the page of each patient of a cohort too; the page of the cohort links to them.
        out: The .html file; by default CASE.html, or report.html for a cohort, next to the label maps, and
            report.html in a run folder, or in the folder above several.
    """
    from tunetseg.cli.console import line_console, shown
    from tunetseg.datasets import find_description
    from tunetseg.report.places import write_reports

    with shown() as progress:
        written = write_reports(
            results,
            images=images,
            references=references,
            dataset=find_description(dataset) if dataset else None,
            scores=scores,
            each=each,
            out=out,
            progress=progress,
        )
    console = line_console()
    for path in written:
        console.print(f"Open {path} in a browser ({path.stat().st_size / 1e6:.1f} MB)")
