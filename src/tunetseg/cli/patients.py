"""What `tunet segment` does with its arguments."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tunetseg.data import Case, case_from_files, find_cases
from tunetseg.errors import InputError
from tunetseg.inference.device import choose_device
from tunetseg.inference.ensemble import Ensemble
from tunetseg.inference.segment import Segmentation, segment_cases
from tunetseg.inference.zoo import find_model

__all__ = ["choose_cases", "segment_patients"]


def choose_cases(
    patients: Sequence[Path], files: dict[str, Path | None], *, name: str | None = None, only: Path | None = None
) -> list[Case]:
    """Cases of folders, or of four files.

    Raises:
        InputError: Neither or both are given, or a name of the list is not among the cases.
    """
    given = {modality: path for modality, path in files.items() if path is not None}
    if bool(patients) == bool(given):
        raise InputError("give either patients' folders or four files with --t1 --t1ce --t2 --flair")
    if given:
        return [case_from_files(given, name)]
    if name is not None:
        raise InputError("--name names the case of four files; folders' cases have names")
    cases = {case.id: case for folder in patients for case in find_cases(folder)}
    if only is None:
        return list(cases.values())
    try:
        wanted = only.read_text().split()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{only}: cannot be read; --cases takes a text file of case names") from None
    missing = [case for case in wanted if case not in cases]
    if missing or not wanted:
        raise InputError(f"{only}: {missing[0] if missing else 'no case'} is not among the patients given")
    return [cases[case] for case in wanted]


def segment_patients(
    patients: Sequence[Path],
    files: dict[str, Path | None],
    out: Path,
    *,
    models: Sequence[str] = (),
    name: str | None = None,
    only: Path | None = None,
    device: str = "auto",
    labels: str | None = None,
    probabilities: bool = False,
    mirror: bool = False,
    overlap: float = 0.5,
    picture: bool = False,
    skip_broken: bool = False,
) -> list[Segmentation]:
    """Segment with a progress bar, and say at the end where to look.

    Raises:
        InputError: Bad input; with ``skip_broken`` only when no case could be segmented.
    """
    console = Console(file=sys.stdout, highlight=False)
    cases = choose_cases(patients, files, name=name, only=only)
    paths = tuple(find_model(model) for model in models) or (find_model(),)
    ensemble = Ensemble(paths, choose_device(device), overlap, mirror)
    console.print(f"{len(cases)} case(s), {len(paths)} model(s), on {ensemble.device}", markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        faults: list[InputError] = []

        def broken(fault: InputError) -> None:
            faults.append(fault)
            bar.console.print(f"left out: {fault}", markup=False, highlight=False)

        done = segment_cases(
            cases,
            out,
            ensemble,
            labels=labels,
            probabilities=probabilities,
            on_fault=broken if skip_broken else None,
            progress=lambda case, share: bar.update(task, description=case, completed=share),
        )
    if not done:
        raise InputError(f"none of {len(cases)} cases could be segmented; the last fault: {faults[-1]}")
    by_id = {case.id: case for case in cases}
    for record in done:
        if picture:
            from tunetseg.report.figure import draw_segmentation

            draw_segmentation(by_id[record.case], out, out / f"{record.case}.png")
        volumes = ", ".join(f"{region} {ml:.1f} ml" for region, ml in record.manifest["volume_ml"].items())
        console.print(f"{record.case}: {volumes} ({record.manifest['seconds']:.1f} s)", markup=False)
        for note in record.manifest["notes"]:
            console.print(f"  note: {note}", markup=False)
    labels_written = sorted({record.manifest["labels"] for record in done})
    console.print(
        f"Look at {out}: <case>.nii.gz (labels of {', '.join(labels_written)}), <case>_unc_*.nii.gz (0 certain to "
        f"100 uncertain), <case>.json{', <case>.png' if picture else ''}. Research use, not a medical device.",
        markup=False,
    )
    return done
