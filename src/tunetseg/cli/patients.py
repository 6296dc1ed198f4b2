"""What ``tunet segment`` shows while it works, and what it says at the end."""

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tunetseg.inference.cohort import choose_cases, segment
from tunetseg.inference.segment import Segmentation

__all__ = ["segment_patients"]


def segment_patients(
    patients: tuple[Path, ...],
    out: Path,
    *,
    files: dict[str, Path] | None = None,
    picture: bool = False,
    **options: Any,
) -> list[Segmentation]:
    """Segment with a progress bar, draw pictures if asked, say where to look; ``options`` are those of `segment`."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        done = segment(
            patients,
            out,
            files=files,
            say=lambda line: bar.console.print(line, markup=False, highlight=False, soft_wrap=True),
            progress=lambda case, share: bar.update(task, description=case, completed=share),
            **options,
        )
    for record in done:
        volumes = ", ".join(f"{region} {ml:.1f} ml" for region, ml in record.manifest["volume_ml"].items())
        console.print(f"{record.case}: {volumes} ({record.manifest['seconds']:.1f} s)", markup=False)
        for note in record.manifest["notes"]:
            console.print(f"  note: {note}", markup=False)
    if picture:
        _draw(done, patients, out, files, options.get("name"))
    written = ", ".join(sorted({record.manifest["labels"] for record in done}))
    console.print(
        f"Look at {out}: <case>.nii.gz (labels of {written}), <case>_unc_*.nii.gz (0 certain to 100 uncertain), "
        f"<case>.json{', <case>.png' if picture else ''}. Research use, not a medical device.",
        markup=False,
    )
    return done


def _draw(
    done: list[Segmentation], patients: tuple[Path, ...], out: Path, files: dict[str, Path] | None, name: str | None
) -> None:
    """``<case>.png`` beside each label map."""
    from tunetseg.report.figure import draw_segmentation

    cases = {case.id: case for case in choose_cases(patients, files, name=name)}
    for record in done:
        draw_segmentation(cases[record.case], out, out / f"{record.case}.png")
