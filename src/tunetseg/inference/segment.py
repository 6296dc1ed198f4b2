"""From images to segmentations: one patient, or the cases of a cohort one after another."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike

from tunetseg.checks import check_result, check_volume, refusals
from tunetseg.datasets import (
    Case,
    DatasetDescription,
    LabelScheme,
    Missing,
    Postprocessing,
    case_from_files,
    check_case_name,
    find_patients,
    find_scheme,
    with_series,
)
from tunetseg.errors import InputError
from tunetseg.inference.postprocess import postprocess
from tunetseg.inference.predictor import Predictor, load_model
from tunetseg.inference.save import check_free, save_segmentation
from tunetseg.inference.segmentation import Segmentation
from tunetseg.inference.uncertainty import uncertainty
from tunetseg.io import Image, image_from_array, image_from_nibabel, read_image
from tunetseg.io.files import make_folder
from tunetseg.preparation import Grids, Volume, foreground_mask, read_volume, stack_images
from tunetseg.preparation.record import Record, read_record
from tunetseg.progress import Progress, silent

__all__ = ["ImageLike", "segment", "segment_cases", "segment_volume"]


@dataclass(frozen=True)
class _Settings:
    """What `segment` and `segment_cases` are told of every case."""

    labels: str | None
    postprocessing: Postprocessing | None
    missing: Missing
    calibrated: bool
    reference: str | None
    grid: str | None


ImageLike = str | Path | SpatialImage | ArrayLike
"""One image: a file, an image of nibabel, or an array of shape (x, y, z)."""

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
            image of nibabel, or an array of shape (x, y, z). The images must be co-registered and, for brains,
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
        missing: ``allow`` is content with any one channel; zeros stand in place of those that are missing, and a note
            of the result names them.
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
    settings = _Settings(labels, postprocessing, missing, calibrated, reference, grid)
    if not isinstance(images, Mapping) or all(isinstance(image, str | Path) for image in images.values()):
        if affine is not None or spacing is not None:
            raise InputError("affine and spacing are for arrays; files have their own")
        case = _case(images, predictor.dataset, name, missing)
        return _segment_case(case, predictor, settings, progress)
    if grid is not None:
        raise InputError("a grid can be chosen for files; use Segmentation.onto for arrays")
    scheme = _scheme(labels, None, predictor.dataset)
    return segment_volume(
        _volume(images, predictor.dataset, affine, spacing, settings),
        predictor,
        case=name or "patient",
        scheme=scheme,
        postprocessing=postprocessing,
        calibrated=calibrated,
        progress=progress,
    )


def segment_cases(
    cases: Iterable[Case],
    model: Predictor,
    *,
    out: str | Path | None = None,
    probabilities: bool = False,
    picture: bool = False,
    dicom: bool = False,
    report: bool = False,
    labels: str | None = None,
    postprocessing: Postprocessing | None = None,
    missing: Missing = "raise",
    calibrated: bool = True,
    reference: str | None = None,
    grid: str | None = None,
    on_fault: Callable[[InputError], None] | None = None,
    progress: Progress = silent,
) -> Iterator[Segmentation]:
    """Segment cases one after another.

    A case is segmented, and saved, when its result is asked for: loop over what is returned. No result is kept here
    afterwards, so that memory holds one case at a time.

    Args:
        cases: What to segment. References that they may have are drawn in pictures and otherwise not read.
        model: As `load_model` returns it.
        out: Folder in which each result is saved before it is returned, created if needed; None writes nothing.
        probabilities: Save probability maps too.
        picture: Save a picture of each case too.
        dicom: Save DICOM SEG objects of cases that were read from DICOM too.
        report: Save a page of each case too.
        labels: Dataset or year whose label values are used; by default those of each case's own dataset.
        postprocessing: Rules; by default those of the model.
        missing: ``allow`` is content with any one channel of a case.
        calibrated: Let uncertainty follow from calibrated probabilities, where the model has a calibration.
        reference: As for `segment`.
        grid: As for `segment`.
        on_fault: Receives the error of each broken case, which is then left out, also where the fault is not the
            case's own; None raises the first. Faults of the disk are always raised.
        progress: Receives the share that is done of each case, from 0 to 1, with the name of the case as the task.

    Returns:
        One segmentation per case that is not broken.

    Raises:
        InputError: ``labels`` do not fit the model, ``out`` cannot be written to, or a case is broken.

    Examples:
        >>> cases = tunetseg.find_cases("cohort")  # doctest: +SKIP
        >>> for result in segment_cases(cases, load_model(), out="segmentations"):  # doctest: +SKIP
        ...     print(result.case, result.volumes_ml)
    """
    if labels is not None:
        _scheme(labels, None, model.dataset)
    folder = None if out is None else make_folder(out)
    if picture:
        import_module("tunetseg.report.figure")  # a missing package is found before the work
    if report:
        import_module("tunetseg.report.pages").check_packages()

    settings = _Settings(labels, postprocessing, missing, calibrated, reference, grid)

    def segment_one(case: Case) -> Segmentation:
        if folder is None:
            return _segment_case(case, model, settings, progress)
        check_free(folder, case, model.dataset)
        if dicom and not case.series and read_record(case) is None:
            raise InputError(f"{case.id}: was not read from DICOM, so no DICOM SEG object can refer to its series")
        result = _segment_case(case, model, settings, progress)
        save_segmentation(result, folder, probabilities=probabilities, picture=picture, dicom=dicom, report=report)
        return result

    return _each(cases, segment_one, on_fault)


def _each(
    cases: Iterable[Case],
    segment_one: Callable[[Case], Segmentation],
    on_fault: Callable[[InputError], None] | None,
) -> Iterator[Segmentation]:
    for case in cases:
        try:
            result = segment_one(case)
        except InputError as fault:
            if on_fault is None:
                raise
            on_fault(fault)
            continue
        except OSError:  # of the disk that is written to, and so of every case
            raise
        except Exception as fault:
            if on_fault is None:
                raise
            _LOG.debug("%s", case.id, exc_info=True)
            on_fault(InputError(f"{case.id}: {_unexpected(fault)}"))
            continue
        yield result
        del result  # or it would be held while the next case is segmented


def _unexpected(fault: Exception) -> str:
    if isinstance(fault, MemoryError) or "allocate memory" in str(fault) or "out of memory" in str(fault):
        return "needs more memory than there is; resample its images to larger voxels"
    return f"{type(fault).__name__}: {fault}; this is a bug, please report it"


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
    findings = [*(source.findings if source is not None else ()), *check_volume(volume, dataset)]
    for finding in refusals(findings):
        raise InputError(f"{case}: {finding.message}")
    try:
        probabilities = model.predict(volume, task=case, progress=progress)
    except InputError as error:
        raise InputError(f"{case}: {error}") from None
    masks, notes = postprocess(probabilities, dataset.region_names, volume.grid.voxel_ml * 1000, rules)
    foreground = foreground_mask(volume.array, dataset.foreground)
    findings += check_result(masks, uncertainty(probabilities[0]), foreground, dataset)
    facts = model.describe()
    calibration = getattr(model, "calibration", ()) if calibrated else ()
    notes += _missing_notes(volume, facts)
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


def _segment_case(case: Case, model: Predictor, settings: _Settings, progress: Progress) -> Segmentation:
    began = time.monotonic()
    scheme = _scheme(settings.labels, case.dataset, model.dataset)
    progress(case.id, 0.0, 1.0)
    record = read_record(case)
    reference = settings.reference if record is None else record.reference
    volume = read_volume(case, model.dataset, missing=settings.missing, grids="any", reference=reference)
    reading = time.monotonic() - began
    result = segment_volume(
        volume,
        model,
        case=case.id,
        scheme=scheme,
        postprocessing=settings.postprocessing,
        calibrated=settings.calibrated,
        source=case,
        progress=progress,
    )
    facts = {**result.facts, "asked_reference": settings.reference, "asked_grid": settings.grid}
    if settings.grid is not None:
        result = _on_grid_of(result, case, settings.grid, record)
        facts["grid"] = settings.grid
    _LOG.debug("%s: %.1f s, of which reading %.1f s", case.id, reading + result.seconds, reading)
    return replace(result, facts=facts, seconds=reading + result.seconds)


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


def _case(
    images: str | Path | Case | Mapping[str, ImageLike], dataset: DatasetDescription, name: str | None, missing: Missing
) -> Case:
    """Return the case of a folder or of files."""
    if isinstance(images, Mapping):
        files = {channel: Path(str(path)) for channel, path in images.items()}
        return with_series(case_from_files(files, dataset, name=name, missing=missing))
    if isinstance(images, Case):
        case = images
    else:
        cases = find_patients(images, dataset)
        if len(cases) > 1:
            raise InputError(f"{images}: holds {len(cases)} cases; name the folder of one, or use segment_cases")
        case = cases[0]
    return case if name is None else replace(case, id=name)


def _volume(
    images: Mapping[str, ImageLike],
    dataset: DatasetDescription,
    affine: ArrayLike | None,
    spacing: ArrayLike | None,
    settings: _Settings,
) -> Volume:
    """Return the volume of images of which some are in memory."""
    unknown = sorted(set(images) - set(dataset.channel_names))
    if unknown:
        raise InputError(f"unknown channel {unknown[0]!r}; choose from {', '.join(dataset.channel_names)}")
    found = {channel: _image(image, channel, affine, spacing) for channel, image in images.items()}
    # Arrays share one affine, so that other shapes are no other grids but mistakes.
    grids: Grids = "any" if affine is None and spacing is None else "one"
    return stack_images(found, dataset, missing=settings.missing, grids=grids, reference=settings.reference)


def _image(image: ImageLike, channel: str, affine: ArrayLike | None, spacing: ArrayLike | None) -> Image:
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, SpatialImage):
        return image_from_nibabel(image)
    return image_from_array(image, affine=affine, spacing=spacing, source=f"{channel} image")


def _scheme(labels: str | None, own: DatasetDescription | None, dataset: DatasetDescription) -> LabelScheme:
    """Return the label values as asked for, else those of the case's own dataset, else those of the model's."""
    if labels is not None:
        scheme = find_scheme(labels)
        if scheme.region_names != dataset.region_names:
            raise InputError(
                f"labels {labels}: its regions {', '.join(scheme.region_names)} are not those of the model, "
                f"{', '.join(dataset.region_names)}"
            )
        return scheme
    if own is not None and not own.label_candidates and own.region_names == dataset.region_names:
        return own.scheme
    return dataset.scheme


def _missing_notes(volume: Volume, facts: Mapping[str, Any]) -> list[str]:
    """Return a sentence on the channels that are missing, with a warning where a model does not know that."""
    if not volume.missing:
        return []
    sentence = f"no {' and no '.join(volume.missing)} image: zeros stand in place"
    if not all(model.get("training", {}).get("channel_dropout", 0) for model in facts.get("models", [])):
        sentence += "; the model is not known to have been trained with missing images, so expect worse results"
    return [sentence]
