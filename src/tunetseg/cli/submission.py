"""`tunet submission`."""

from pathlib import Path
from typing import Annotated

import tyro

__all__ = ["submission"]


def submission(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")],
    *,
    cohort: Path | None = None,
    cases: Path | None = None,
    labels: str = "2020",
    uncertainty: bool = False,
    out: Path | None = None,
) -> None:
    """Check a folder of segmentations as a challenge would, and zip it.

    Looks at every file: are all cases there and no other, do the label values exist in that year, is each file on the
    patient's own grid, does uncertainty run from 0 to 100.

    Args:
        folder: What 'tunet segment' wrote.
        cohort: The patients' images: their cases must all be there, on their grids.
        cases: Text file of the cases that must be there.
        labels: BraTS year whose label values are wanted.
        uncertainty: The maps of task 3 must be there too.
        out: The .zip file, written only if nothing is at fault.
    """
    from rich.console import Console
    from rich.progress import Progress

    from tunetseg.errors import InputError
    from tunetseg.evaluation.submission import check_submission, write_zip
    from tunetseg.io.files import check_target

    if out is not None:
        check_target(out, ".zip")
    console = Console(highlight=False)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Checking", total=None)
        check = check_submission(
            folder,
            cohort=cohort,
            cases=cases,
            year=labels,
            uncertainty=uncertainty,
            progress=lambda: bar.advance(task),
        )
    for fault in check.faults:
        console.print(f"fault: {fault}", markup=False, soft_wrap=True)
    if check.faults:
        raise InputError(
            f"{folder}: {len(check.faults)} file(s) of {len(check.cases)} case(s) at fault; nothing was zipped"
        )
    console.print(f"{len(check.cases)} cases, {len(check.files)} files, nothing at fault.", markup=False)
    if check.passed_over:
        console.print(f"Not part of it: {', '.join(check.passed_over[:10])}.", markup=False, soft_wrap=True)
    if out is not None:
        console.print(f"Wrote {write_zip(check, out)}.", markup=False)
