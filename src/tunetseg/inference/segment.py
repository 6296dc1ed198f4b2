"""From images to segmentations: one patient, or the cases of a cohort one after another."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray

from tunetseg.datasets import (
    Case,
    DatasetDescription,
    LabelScheme,
    Postprocessing,
    case_from_files,
    find_cases,
    find_scheme,
)
from tunetseg.errors import InputError
from tunetseg.inference.postprocess import postprocess
from tunetseg.inference.predictor import Predictor, load_model
from tunetseg.inference.save import check_free, save_segmentation
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io import Grid, Image, image_from_nibabel
from tunetseg.io.files import make_folder
from tunetseg.preparation import Volume, read_volume, stack_images
from tunetseg.progress import Progress, silent

__all__ = ["segment", "segment_cases", "segment_volume"]

_LOG = logging.getLogger(__name__)


def segment(
    images: str | Path | Case | Mapping[str, str | Path | SpatialImage | NDArray],
    *,
    model: Predictor | str | Path | None = None,
    affine: ArrayLike | None = None,
    spacing: ArrayLike | None = None,
    labels: str | None = None,
    postprocessing: Postprocessing | None = None,
    name: str | None = None,
    progress: Progress = silent,
) -> Segmentation:
    """Segment one patient. Nothing is written.

    Args:
        images: A case's folder, a `Case`, or channel -> image. An image is a file, an image of nibabel, or an array
            of shape (x, y, z). The images must be co-registered and, for brains, skull-stripped.
        model: As `load_model` returns it, or what that takes; the default model if None.
        affine: Voxel indices to world in mm, shape (4, 4), for arrays. World x runs to the patient's right, y to the
            front, z up.
        spacing: Voxel sizes in mm along the axes, for arrays whose axes run to the patient's left, back and up;
            instead of ``affine``.
        labels: Dataset or year whose label values are written; by default those of the case's own dataset, else of the
            model's.
        postprocessing: Rules; by default those of the model.
        name: What to call the case.
        progress: Told as windows are done.

    Returns:
        Label map, probabilities, uncertainty and volumes, in the order of axes of the images.

    Raises:
        InputError: A channel is missing, an image is damaged or does not fit the others.

    Examples:
        >>> from tunetseg.datasets.phantom import make_patient
        >>> patient = make_patient(seed=0, shape=(48, 48, 32), spacing=5)
        >>> result = segment(patient.images, affine=patient.affine)
        >>> result.label_map.shape, result.probabilities.shape
        ((48, 48, 32), (3, 48, 48, 32))
        >>> sorted(result.volumes_ml)
        ['core', 'enhancing', 'whole']
    """
    predictor = _predictor(model)
    case = _as_case(images, predictor.dataset, name)
    if isinstance(case, Case):
        return _segment_case(case, predictor, labels, postprocessing, progress)
    volume = stack_images(_as_images(case, predictor.dataset, affine, spacing), predictor.dataset)
    return segment_volume(
        volume,
        predictor,
        case=name or "patient",
        scheme=_scheme(labels, None, predictor.dataset),
        postprocessing=postprocessing,
        progress=progress,
    )


def segment_cases(
    cases: Iterable[Case],
    model: Predictor,
    *,
    out: str | Path | None = None,
    probabilities: bool = False,
    picture: bool = False,
    labels: str | None = None,
    postprocessing: Postprocessing | None = None,
    on_fault: Callable[[InputError], None] | None = None,
    progress: Progress = silent,
) -> Iterator[Segmentation]:
    """Segment cases one after another; each is held in memory only until the next is asked for.

    Args:
        cases: What to segment; references that they may have are not read.
        model: As `load_model` returns it.
        out: Folder in which each result is saved before it is returned, made if need be; None: nothing is written.
        probabilities: Save probability maps too.
        picture: Save a picture of each case too.
        labels: Dataset or year whose label values are written; by default those of each case's own dataset.
        postprocessing: Rules; by default those of the model.
        on_fault: Receives the error of each broken case, which is then left out; None: the first is raised.
        progress: Told as windows are done, with the name of the case as the task.

    Yields:
        One segmentation per case that is not broken.

    Raises:
        InputError: ``labels`` do not fit the model, or a case is broken.
    """
    if labels is not None:
        _scheme(labels, None, model.dataset)
    folder = None if out is None else make_folder(out)
    for case in cases:
        try:
            if folder is not None:
                check_free(folder, case, model.dataset)
            result = _segment_case(case, model, labels, postprocessing, progress)
            if folder is not None:
                save_segmentation(result, folder, probabilities=probabilities, picture=picture)
        except InputError as fault:
            if on_fault is None:
                raise
            on_fault(fault)
            continue
        yield result
        del result  # or it would be held while the next is made


def segment_volume(
    volume: Volume,
    model: Predictor,
    *,
    case: str = "patient",
    scheme: LabelScheme | None = None,
    postprocessing: Postprocessing | None = None,
    source: Case | None = None,
    progress: Progress = silent,
) -> Segmentation:
    """Segment one volume.

    Args:
        volume: Its channels in the order of the model's dataset.
        model: As `load_model` returns it.
        case: Name of the case.
        scheme: Label values to write; by default those of the model's dataset.
        postprocessing: Rules; by default those of the model's dataset.
        source: The files that the volume was read from.
        progress: Told as windows are done.

    Returns:
        The segmentation, in the order of axes of ``volume.stored``.
    """
    began = time.monotonic()
    dataset = model.dataset
    rules = postprocessing or dataset.postprocessing
    convention = scheme or dataset.scheme
    try:
        probabilities = model.predict(volume, task=case, progress=progress)
    except InputError as error:
        raise InputError(f"{case}: {error}") from None
    masks, notes = postprocess(probabilities, dataset.region_names, volume.grid.voxel_ml * 1000, rules)
    notes += _image_notes(volume, dataset)
    return Segmentation(
        case,
        volume.stored.from_lps(convention.merge(masks)),
        volume.stored.from_lps(probabilities),
        volume.stored,
        convention,
        dataset,
        tuple(notes),
        {**model.describe(), "postprocessing": rules},
        source,
        volume.stored.from_lps(volume.array),
        volume.oriented,
        time.monotonic() - began,
    )


def _segment_case(
    case: Case,
    model: Predictor,
    labels: str | None,
    postprocessing: Postprocessing | None,
    progress: Progress,
) -> Segmentation:
    began = time.monotonic()
    dataset = model.dataset
    scheme = _scheme(labels, case.dataset, dataset)
    progress(case.id, 0.0, 1.0)
    volume = read_volume(case, dataset)
    _LOG.debug("%s: read in %.1f s", case.id, time.monotonic() - began)
    return segment_volume(
        volume,
        model,
        case=case.id,
        scheme=scheme,
        postprocessing=postprocessing,
        source=case,
        progress=progress,
    )


def _predictor(model: Predictor | str | Path | None) -> Predictor:
    if model is None:
        return load_model()
    return load_model(model) if isinstance(model, str | Path) else model


def _as_case(
    images: str | Path | Case | Mapping[str, Any], dataset: DatasetDescription, name: str | None
) -> Case | Mapping[str, Any]:
    """A case where the images are files, else the images themselves."""
    if isinstance(images, Case):
        return images
    if isinstance(images, Mapping):
        if images and all(isinstance(image, str | Path) for image in images.values()):
            return case_from_files({channel: Path(path) for channel, path in images.items()}, dataset, name=name)
        return images
    cases = find_cases(images)
    if len(cases) > 1:
        raise InputError(f"{images}: holds {len(cases)} cases; name the folder of one, or use segment_cases")
    return cases[0]


def _as_images(
    images: Mapping[str, Any], dataset: DatasetDescription, affine: ArrayLike | None, spacing: ArrayLike | None
) -> dict[str, Image]:
    """Images in memory, each with its grid."""
    unknown = sorted(set(images) - set(dataset.channel_names))
    if unknown:
        raise InputError(f"unknown channel {unknown[0]!r}; choose from {', '.join(dataset.channel_names)}")
    return {channel: as_image(image, channel, affine, spacing) for channel, image in images.items()}


def as_image(image: Any, name: str, affine: ArrayLike | None, spacing: ArrayLike | None) -> Image:
    """Return a nibabel image, or an array with its affine or spacing, as an image in memory.

    Raises:
        InputError: An array has no affine or spacing, is not 3-D, or holds values that are not finite.
    """
    if isinstance(image, SpatialImage):
        return image_from_nibabel(image)
    array = np.asarray(image)
    if array.ndim != 3 or not array.size:
        raise InputError(f"{name} image: shape {array.shape}; an array of shape (x, y, z) is needed")
    if (affine is None) == (spacing is None):
        raise InputError("arrays need either an affine or a spacing in mm")
    x, y, z = array.shape
    grid = Grid(np.asarray(affine), (x, y, z)) if spacing is None else Grid.from_spacing(spacing, (x, y, z))
    array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise InputError(f"{name} image: holds values that are NaN or infinite; replace them first")
    return Image(grid.to_lps(array), grid.in_lps(), grid)


def _scheme(labels: str | None, own: DatasetDescription | None, dataset: DatasetDescription) -> LabelScheme:
    """Label values to write: as asked for, else of the case's own dataset, else of the model's."""
    if labels is not None:
        scheme = find_scheme(labels)
        if scheme.region_names != dataset.region_names:
            raise InputError(
                f"labels {labels}: its regions {', '.join(scheme.region_names)} are not those of the model, "
                f"{', '.join(dataset.region_names)}"
            )
        return scheme
    if own is not None and not own.generic and own.region_names == dataset.region_names:
        return own.scheme
    return dataset.scheme


def _image_notes(volume: Volume, dataset: DatasetDescription) -> list[str]:
    """What to say of images that do not look as those of the dataset do."""
    notes = []
    if dataset.foreground.kind == "nonzero":
        images = zip(dataset.channel_names, volume.array, strict=True)
        full = [name for name, image in images if float((image == 0).mean()) < 0.05]
        if full:
            notes.append(
                f"hardly any voxel of {', '.join(full)} is 0: is the skull removed, and the background 0? "
                "The model has only seen such images"
            )
    if not volume.oriented:
        notes.append("the header does not say how the patient lies; x to the left, y to the front and z up was assumed")
    return notes
