"""What is segmented: a case of files, or images in memory, and the settings that go with it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike

from tunetseg.datasets import (
    Case,
    DatasetDescription,
    LabelScheme,
    Missing,
    Postprocessing,
    case_from_files,
    find_patients,
    find_scheme,
    with_series,
)
from tunetseg.datasets.templates import REFERENCE
from tunetseg.errors import InputError
from tunetseg.io import Image, image_from_array, image_from_nibabel, read_image
from tunetseg.preparation import Grids, Volume, read_volume, stack_images
from tunetseg.preparation.record import Record, read_record

__all__ = ["ImageLike", "ReadCase", "Settings", "by_channel", "choose_scheme", "find_case", "read_case", "stack"]

ImageLike = str | Path | SpatialImage | ArrayLike
"""One image: a file, an image of nibabel or SimpleITK, or an array of shape (x, y, z)."""

_OTHER_NAMES = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
"""Names that BraTS has for the sequences since 2023."""


@dataclass(frozen=True)
class Settings:
    """What `segment` and `segment_cases` are told of every case."""

    labels: str | None
    postprocessing: Postprocessing | None
    missing: Missing
    calibrated: bool
    reference: str | None
    grid: str | None


@dataclass(frozen=True)
class ReadCase:
    """A case whose images are in memory.

    Args:
        case: Its files.
        volume: Its channels in the order of the model's dataset.
        scheme: Label values of the result.
        record: How its images were prepared, where that is known.
        seconds: How long reading took.
    """

    case: Case
    volume: Volume
    scheme: LabelScheme
    record: Record | None
    seconds: float


def read_case(case: Case, dataset: DatasetDescription, settings: Settings) -> ReadCase:
    """Read the images of a case for a model of a dataset.

    Raises:
        InputError: An image is missing, damaged, or does not fit the others, or the labels do not fit the dataset.
    """
    began = time.monotonic()
    scheme = choose_scheme(settings.labels, case.dataset, dataset)
    record = read_record(case)
    reference = settings.reference if record is None else record.reference
    volume = read_volume(case.without(REFERENCE), dataset, missing=settings.missing, grids="any", reference=reference)
    return ReadCase(case, volume, scheme, record, time.monotonic() - began)


def by_channel(images: Mapping[str, ImageLike], dataset: DatasetDescription) -> dict[str, ImageLike]:
    """Return images by the names that a dataset has for its channels, where they have those of BraTS 2023.

    Raises:
        InputError: A channel is given under both names.
    """
    found: dict[str, ImageLike] = {}
    for given, image in images.items():
        other = _OTHER_NAMES.get(given)
        name = other if other in dataset.channel_names and given not in dataset.channel_names else given
        assert name is not None
        if name in found:
            raise InputError(f"channel {name!r} is given twice, also as {given!r}; give it once")
        found[name] = image
    return found


def find_case(
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


def stack(
    images: Mapping[str, ImageLike],
    dataset: DatasetDescription,
    affine: ArrayLike | None,
    spacing: ArrayLike | None,
    settings: Settings,
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
    if hasattr(image, "GetDirection"):  # of SimpleITK, which need not be installed
        from tunetseg.io.formats import image_from_itk

        return image_from_itk(image, f"{channel} image")
    return image_from_array(image, affine=affine, spacing=spacing, source=f"{channel} image")


def choose_scheme(labels: str | None, own: DatasetDescription | None, dataset: DatasetDescription) -> LabelScheme:
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
