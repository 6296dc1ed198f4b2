"""`tunet segment`."""

from pathlib import Path
from typing import Annotated

import tyro

__all__ = ["segment"]


def segment(
    patients: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATIENT")] = (),
    *,
    out: Path,
    model: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME-OR-PATH")] = (),
    t1: Path | None = None,
    t1ce: Path | None = None,
    t2: Path | None = None,
    flair: Path | None = None,
    name: str | None = None,
    cases: Path | None = None,
    device: str = "auto",
    labels: str | None = None,
    probabilities: bool = False,
    picture: bool = False,
    mirror: bool = False,
    overlap: float = 0.5,
    skip_broken: bool = False,
) -> None:
    """Find the tumour: label map, uncertainty maps and a manifest for each patient.

    PATIENT is a case folder or a cohort folder; or name four files with --t1 --t1ce --t2 --flair. The images must
    be co-registered and skull-stripped. For research use; not a medical device.

    Args:
        patients: Case folders or cohort folders.
        out: Folder of the results.
        model: Packaged models, model files or run folders; several are averaged.
        t1: T1 image.
        t1ce: T1 image after contrast.
        t2: T2 image.
        flair: FLAIR image.
        name: What to call the case of the four files.
        cases: Text file of case names; only these are segmented, such as a run folder's validation.txt.
        device: auto, cpu, cuda or mps.
        labels: BraTS year or scheme of the label values to write; by default the case's own dataset's.
        probabilities: Write probability maps too.
        picture: Draw <case>.png: images, labels and uncertainty in the slice with the most tumour.
        mirror: Average with the prediction of the mirror image; takes twice as long.
        overlap: Least overlap of windows, for models trained on patches.
        skip_broken: Report a broken case and go on without it.
    """
    from tunetseg.cli.patients import segment_patients

    given = {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair}
    segment_patients(
        patients,
        out,
        files={modality: path for modality, path in given.items() if path is not None},
        models=model,
        name=name,
        only=cases,
        device=device,
        labels=labels,
        probabilities=probabilities,
        picture=picture,
        mirror=mirror,
        overlap=overlap,
        skip_broken=skip_broken,
    )
