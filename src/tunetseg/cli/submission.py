"""`tunet submission`."""

from pathlib import Path
from typing import Annotated

import tyro

from tunetseg.cli.options import OptionalOutPath, OptionalPath, OptionalText

__all__ = ["submission"]


def submission(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")],
    *,
    cohort: OptionalPath = None,
    cases: OptionalPath = None,
    dataset: OptionalText = None,
    labels: OptionalText = None,
    uncertainty: bool = False,
    challenge: OptionalText = None,
    out: OptionalOutPath = None,
) -> None:
    """Check a folder of segmentations as a challenge would, and zip it.

    Every file is read: all cases must be there and no other, the label values must be those of the dataset, each file
    must lie on the patient's own grid, uncertainty must run from 0 to 100, and no header may hold text.

    Args:
        folder: Folder that 'tunet segment' wrote.
        cohort: The patients' images: their cases must all be there, on their grids.
        cases: Text file of the cases that must be there.
        dataset: Dataset of the challenge, such as kits19, or a .toml file; by default the names of the cases say.
        labels: Year or dataset of the label values that are wanted; by default those that the manifests in FOLDER
            say, else the dataset's.
        uncertainty: The maps of task 3 must be there too.
        challenge: Year of a BraTS challenge, 2024, 2025 or 2026: every file must have the names that it takes.
        out: The .zip file, written only if nothing is wrong.
    """
    from tunetseg.cli.console import shown, table_console
    from tunetseg.errors import InputError
    from tunetseg.evaluation.submission import check_submission, write_zip
    from tunetseg.io.files import check_target

    if out is not None:
        check_target(out, ".zip")
    with shown() as progress:
        check = check_submission(
            folder,
            cohort=cohort,
            cases=cases,
            dataset=dataset,
            labels=labels,
            uncertainty=uncertainty,
            challenge=challenge,
            progress=progress,
        )
    console = table_console()
    for fault in check.faults:
        console.print(f"fault: {fault}", markup=False, soft_wrap=True)
    if check.faults:
        raise InputError(
            f"{folder}: {len(check.faults)} fault(s) in the files of {len(check.cases)} case(s); nothing was zipped"
        )
    values = f", label values of {check.labels}" if check.labels else ""
    console.print(f"{len(check.cases)} cases, {len(check.files)} files, no faults{values}.", markup=False)
    if check.left_out:
        console.print(f"Not part of it: {', '.join(check.left_out[:10])}.", markup=False, soft_wrap=True)
    if out is not None:
        console.print(f"Wrote {write_zip(check, out)}.", markup=False)
