"""From the images of one patient to a segmentation."""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from tunetseg.checks import check_grid, check_result, check_volume, missing_channels, refusals
from tunetseg.datasets import Case, LabelScheme, Missing, Postprocessing, check_case_name
from tunetseg.errors import InputError
from tunetseg.findings import Finding
from tunetseg.inference.inputs import (
    ImageLike,
    ReadCase,
    Settings,
    by_channel,
    choose_scheme,
    find_case,
    read_case,
    stack,
)
from tunetseg.inference.postprocess import postprocess
from tunetseg.inference.predictor import Predictor, load_model
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io import read_image
from tunetseg.preparation import Volume, foreground_mask
from tunetseg.preparation.record import Record
from tunetseg.progress import Progress, silent

__all__ = ["segment", "segment_read", "segment_volume"]

_LOG = logging.getLogger(__name__)


def segment(
    images: str | Path | Case | Mapping[str, ImageLike],
    *,
    model: Predictor | str | Path | None = None,
    engine: str = "auto",
    affine: ArrayLike | None = None,
    spacing: ArrayLike | None = None,
    labels: str | None = None,
    postprocessing: Postprocessing | None = None,
    name: str | None = None,
    missing: Missing = "raise",
    calibrated: bool = True,
    reference: str | None = None,
    grid: str | None = None,
    progress: Progress = silent,
) -> Segmentation:
    """Segment one patient. Nothing is written.

    Images on other grids are brought to one by their headers, and a finding says so.

    Args:
        images: Folder of a case, folder or archive of DICOM, a `Case`, or channel -> image. An image is a file, an
            image of nibabel or SimpleITK, or an array of shape (x, y, z); channels may have the names of BraTS 2023
            (t1n, t1c, t2w, t2f). The images must be co-registered and, for brains,
            skull-stripped.
        model: As `load_model` returns it, or the name or path of one; by default the default model.
        engine: What runs a model that is named here, as for `load_model`.
        affine: Voxel indices to world in mm, shape (4, 4), of arrays. World x runs to the patient's right, y to the
            front, z up.
        spacing: Voxel sizes in mm of arrays whose axes run to the patient's left, back and up; instead of ``affine``.
        labels: Dataset or year whose label values are used; by default those of the case's own dataset, else of the
            model's.
        postprocessing: Rules; by default those of the model.
        name: Name of the case; by default that of its files, or ``patient``.
        missing: ``allow`` accepts a patient with at least one channel; missing channels are replaced by zeros, and a
            warning in ``findings`` names them.
        calibrated: Let uncertainty follow from calibrated probabilities, where the model has a calibration. Labels and
            probabilities are the same either way.
        reference: Channel on whose grid the patient is segmented; by default the first, and T1ce where grids differ.
        grid: Channel of a case on whose own grid the result is wanted; by default ``reference``.
        progress: Receives the share that is done, from 0 to 1, with the name of the case as the task.

    Returns:
        Label map, probabilities, uncertainty and volumes, in the order of axes of the reference's image.

    Raises:
        InputError: A channel is unknown or missing, an image is damaged or does not fit the others, or there is no
            such model or label scheme.

    Examples:
        Arrays in, arrays out:

        >>> from tunetseg.datasets.phantom import make_patient
        >>> patient = make_patient(seed=0, shape=(48, 48, 32), spacing=5)
        >>> result = segment(patient.images, affine=patient.affine)
        >>> result.label_map.shape, result.probabilities.shape
        ((48, 48, 32), (3, 48, 48, 32))
        >>> sorted(result.volumes_ml)
        ['core', 'enhancing', 'whole']
    """
    if name is not None:
        check_case_name(name)
    predictor = _predictor(model, engine)
    settings = Settings(labels, postprocessing, missing, calibrated, reference, grid)
    if not isinstance(images, str | Path | Case | Mapping):
        raise InputError(
            f"images of type {type(images).__name__}; give a folder, or channel -> image, with the channels "
            f"{', '.join(predictor.dataset.channel_names)}"
        )
    if isinstance(images, Mapping):
        images = by_channel(images, predictor.dataset)
    if not isinstance(images, Mapping) or all(isinstance(image, str | Path) for image in images.values()):
        if affine is not None or spacing is not None:
            raise InputError("affine and spacing are for arrays; files have their own")
        case = find_case(images, predictor.dataset, name, missing)
        progress(case.id, 0.0, 1.0)
        return segment_read(read_case(case, predictor.dataset, settings), predictor, settings, progress)
    if grid is not None:
        raise InputError("a grid can be chosen for files; use Segmentation.onto for arrays")
    scheme = choose_scheme(labels, None, predictor.dataset)
    return segment_volume(
        stack(images, predictor.dataset, affine, spacing, settings),
        predictor,
        case=name or "patient",
        scheme=scheme,
        postprocessing=postprocessing,
        calibrated=calibrated,
        progress=progress,
    )


def segment_volume(
    volume: Volume,
    model: Predictor,
    *,
    case: str = "patient",
    scheme: LabelScheme | None = None,
    postprocessing: Postprocessing | None = None,
    calibrated: bool = True,
    source: Case | None = None,
    progress: Progress = silent,
) -> Segmentation:
    """Segment one volume.

    Args:
        volume: Its channels in the order of the model's dataset.
        model: As `load_model` returns it.
        case: Name of the case.
        scheme: Label values of the result, for the regions of the model; by default those of the model's dataset.
        postprocessing: Rules; by default those of the model's dataset.
        calibrated: Let uncertainty follow from calibrated probabilities, where the model has a calibration.
        source: The files that the volume was read from.
        progress: Receives the share that is done, from 0 to 1.

    Returns:
        The segmentation, in the order of axes of ``volume.stored``.

    Raises:
        InputError: The volume holds no foreground, a check refuses it, or the model is damaged.
    """
    began = time.monotonic()
    dataset = model.dataset
    rules = postprocessing or dataset.postprocessing
    label_scheme = scheme or dataset.scheme
    # Channels that are missing were refused when the volume was read, or else are allowed to be, and are named below.
    known = [one for one in (source.findings if source is not None else ()) if one.code != "missing-channel"]
    _refuse(case, [*known, *check_grid(volume.grid, dataset)])
    with ThreadPoolExecutor(1) as pool:
        unusual = pool.submit(check_volume, volume, dataset)  # while the model is loaded
        try:
            probabilities = model.predict(volume, task=case, progress=progress)
        except InputError as error:
            raise InputError(f"{case}: {error}") from None
        findings = [*known, *unusual.result()]
    _refuse(case, findings)
    masks, notes = postprocess(probabilities, dataset.region_names, volume.grid.voxel_ml * 1000, rules)
    foreground = foreground_mask(volume.array, dataset.foreground)
    findings += check_result(masks, probabilities[0], foreground, dataset)
    facts = model.describe()
    calibration = model.calibration if calibrated else ()
    trained = all(one.get("training", {}).get("channel_dropout", 0) for one in facts.get("models", []))
    findings += missing_channels(volume.missing, trained=trained)
    return Segmentation(
        case=case,
        label_map=volume.stored.from_lps(label_scheme.merge(masks)),
        probabilities=volume.stored.from_lps(probabilities),
        grid=volume.stored,
        scheme=label_scheme,
        dataset=dataset,
        notes=tuple(notes),
        findings=tuple(findings),
        facts={
            **facts,
            "postprocessing": rules,
            "missing": volume.missing,
            "calibrated": any(calibration),
            "grid": volume.reference,
        },
        source=source,
        images=volume.stored.from_lps(volume.array),
        oriented=volume.oriented,
        seconds=time.monotonic() - began,
        calibration=calibration,
    )


def segment_read(read: ReadCase, model: Predictor, settings: Settings, progress: Progress) -> Segmentation:
    """Segment a case whose images have been read."""
    result = segment_volume(
        read.volume,
        model,
        case=read.case.id,
        scheme=read.scheme,
        postprocessing=settings.postprocessing,
        calibrated=settings.calibrated,
        source=read.case,
        progress=progress,
    )
    facts = {**result.facts, "asked_reference": settings.reference, "asked_grid": settings.grid}
    if settings.grid is not None:
        result = _on_grid_of(result, read.case, settings.grid, read.record)
        facts["grid"] = settings.grid
    seconds = read.seconds + result.seconds
    _LOG.debug("%s: %.1f s, of which reading %.1f s", read.case.id, seconds, read.seconds)
    return replace(result, facts=facts, seconds=seconds)


def _refuse(case: str, findings: Sequence[Finding]) -> None:
    """Raise InputError where images cannot be used."""
    for finding in refusals(findings):
        raise InputError(f"{case}: {finding.message}")


def _on_grid_of(result: Segmentation, case: Case, channel: str, record: Record | None) -> Segmentation:
    """Return a result on the grid of one channel's own image, or of the raw scan that it was made of."""
    if channel not in case.images:
        raise InputError(f"{case.id}: grid {channel!r}: there is no such image; choose from {', '.join(case.images)}")
    if record is not None and channel in record.scans:
        scan = record.scans[channel]
        return result.onto(scan.grid, move=np.linalg.inv(scan.move))
    if channel in case.series:
        return result.onto(case.series[channel].grid)
    return result.onto(read_image(case.images[channel], volume=case.volumes.get(channel)).stored)


def _predictor(model: Predictor | str | Path | None, engine: str) -> Predictor:
    if model is None:
        return load_model(engine=engine, keep=False)
    return load_model(model, engine=engine, keep=False) if isinstance(model, str | Path) else model
