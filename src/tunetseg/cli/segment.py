"""``tunet segment``."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tunetseg.cli.options import (
    FlairPath,
    OptionalInt,
    OptionalPath,
    OptionalText,
    OutPath,
    T1cePath,
    T1Path,
    T2Path,
    optional,
)

__all__ = ["segment"]


def segment(
    patients: Annotated[tuple[Path, ...], tyro.conf.Positional, optional("PATIENT")] = (),
    *,
    out: OutPath,
    model: Annotated[tuple[str, ...], optional("NAME-OR-PATH")] = (),
    t1: T1Path = None,
    t1ce: T1cePath = None,
    t2: T2Path = None,
    flair: FlairPath = None,
    image: Annotated[tuple[str, ...], optional("CHANNEL=FILE")] = (),
    without: Annotated[tuple[str, ...], optional("CHANNEL")] = (),
    name: OptionalText = None,
    cases: OptionalPath = None,
    dataset: Annotated[str | None, optional("NAME-OR-FILE")] = None,
    engine: Literal["auto", "openvino", "onnxruntime", "torch"] = "auto",
    device: str = "auto",
    labels: OptionalText = None,
    postprocessing: Annotated[str, tyro.conf.arg(metavar="model|paper|none|FILE.toml")] = "model",
    probabilities: bool = False,
    plain_uncertainty: bool = False,
    picture: bool = False,
    report: bool = False,
    mirror: bool = False,
    overlap: float = 0.5,
    series: Annotated[tuple[str, ...], optional("CHANNEL=NUMBER")] = (),
    reference: Annotated[str | None, optional("CHANNEL")] = None,
    grid: Annotated[str | None, optional("CHANNEL")] = None,
    dicom_seg: bool = False,
    skip_broken: bool = False,
    redo: bool = False,
    strict: bool = False,
    shards: int = 1,
    launcher: Literal["local", "slurm"] = "local",
    template: OptionalPath = None,
    limit: OptionalInt = None,
    dry_run: bool = False,
) -> None:
    """Find the tumour: label map, uncertainty maps and a manifest for each patient.

    PATIENT is the folder of a case or of a cohort, or a folder or zip archive of DICOM files; or give the file of each
    sequence with --t1 --t1ce --t2 --flair, and of any other channel with --image. The images must be co-registered and,
    for brains, skull-stripped ('tunet prepare' does both); they may lie on different grids. Regions of the default
    model: whole tumour (WT), tumour core (TC), enhancing tumour (ET). A missing sequence is replaced by zeros, and a
    warning says so; a DICOM series that is not found must be left out with --without. A broken case among several is
    skipped, and the exit code is 2. The model has seen adults with glioma before treatment only: it finds a tumour in
    most brains without one. Research use, not a medical device.

    Args:
        patients: Folders of cases or cohorts, folders or archives of DICOM files.
        out: Folder of the results; one process at a time writes to it, or one per list of --cases.
        model: Packaged models, model files, run folders or study folders; several are averaged. By default robust, the
            mean of five; fast is one model.
        t1: T1 image.
        t1ce: Contrast-enhanced T1 image.
        t2: T2 image.
        flair: FLAIR image.
        image: Image of any channel of the model, such as ct=scan.nii.gz.
        without: Channels that are not used, such as t2, as if the patients lacked them.
        name: Name of the case whose files are given one by one.
        cases: Text file of case names, one per line, such as validation.txt of a run folder; only these are segmented.
            Processes with other lists, which must name other cases, may write to the same folder at the same time.
        dataset: Dataset whose file names the folders follow: a name from 'tunet info', or a .toml file.
        engine: What runs the network: auto is PyTorch on a GPU, else OpenVINO, which needs no PyTorch.
        device: auto, cpu, cuda or mps.
        labels: Dataset or BraTS year whose label values are written; by default those of each case's own dataset.
        postprocessing: Rules that turn probabilities into labels: the model's own, the paper's, none but a threshold of
            one half, or those of a file that 'tunet tune' has written.
        probabilities: Write probability maps too.
        plain_uncertainty: Let uncertainty follow from the probabilities as they are, without the model's calibration.
        picture: Draw <case>.png: images, labels and uncertainty in the slice with the most tumour.
        report: Write <case>.html, a page with a viewer, measurements and findings that opens in any browser.
        mirror: Average with the prediction of the mirror image; takes twice as long.
        overlap: Least overlap of windows, for models trained on patches.
        series: DICOM series of a channel, where its tags mislead, by the number that 'tunet inspect' shows: t1ce=7.
        reference: Channel to whose grid the others are brought; by default T1ce where the grids differ.
        grid: Channel on whose own grid the result is written; by default that of --reference.
        dicom_seg: Write <case>_seg.dcm too, a DICOM SEG object that refers to the series on whose grid it lies; with
            --probabilities also <case>_prob.dcm.
        skip_broken: End with exit code 0 although broken cases were left out.
        redo: Segment those of several cases again whose results of the same model and settings are complete; they are
            skipped otherwise.
        strict: End with exit code 3 if anything was warned of.
        shards: Parts of the cases that are segmented at the same time, each by a process of its own.
        launcher: Run the parts here, or submit an array job to SLURM, and a job that makes the table of volumes.
        template: Job script in place of the packaged one for SLURM; the folder 'jobs' of the results keeps a copy.
        limit: Parts at the same time.
        dry_run: Write the job files and show them; submit nothing.
    """
    given_flags = dict(locals())
    from tunetseg.cli.cases import choose_cases, images_by_channel, series_by_channel
    from tunetseg.cli.console import shown
    from tunetseg.cli.patients import Wanted, segment_patients
    from tunetseg.datasets import find_description
    from tunetseg.errors import InputError
    from tunetseg.inference.postprocess import find_postprocessing
    from tunetseg.inference.predictor import load_model

    if out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"--out {out}: name a folder; the label map will be <case>.nii.gz in it")
    given = {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair}
    predictor = load_model(*model, engine=engine, device=device, overlap=overlap, mirror=mirror)
    with shown() as progress:
        chosen = choose_cases(
            patients,
            images_by_channel(image, given),
            predictor.dataset,
            name=name,
            only=cases,
            dataset=find_description(dataset) if dataset else None,
            without=without,
            series=series_by_channel(series),
            progress=progress,
        )
    if shards > 1 or launcher != "local":
        from tunetseg.cli.shards import segment_in_parts

        segment_in_parts(chosen, given_flags)
        return
    wanted = Wanted(
        labels=labels,
        probabilities=probabilities,
        picture=picture,
        report=report,
        dicom=dicom_seg,
        redo=redo,
        postprocessing=find_postprocessing(postprocessing, predictor.dataset),
        calibrated=not plain_uncertainty,
        reference=reference,
        grid=grid,
        part=_part(cases),
    )
    outcome = segment_patients(chosen, out, predictor, wanted)
    if outcome.left_out and not skip_broken:
        raise SystemExit(2)
    if strict and outcome.warned:
        raise SystemExit(3)


def _part(cases: Path | None) -> str:
    """Return the name of the part of a folder's results that a list of cases asks for; empty where there is no list.

    Args:
        cases: File of the list. The same file, by whatever path, is the same part.

    Examples:
        >>> _part(None)
        ''
        >>> _part(Path("fold-0/validation.txt")) == _part(Path("fold-0/../fold-1/validation.txt"))
        False
    """
    return "" if cases is None else hashlib.sha256(str(cases.resolve()).encode()).hexdigest()[:12]
