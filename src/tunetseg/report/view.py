"""What the report of one patient shows, gathered from a result in memory or from its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import (
    Case,
    DatasetDescription,
    LabelScheme,
    candidate_schemes,
    find_description,
    present_labels,
    recognise_labels,
)
from tunetseg.errors import InputError
from tunetseg.evaluation.labels import manifest_scheme
from tunetseg.inference.manifest import read_manifest
from tunetseg.inference.save import manifest_of
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io import Grid, check_same_lattice, read_image, read_label_map
from tunetseg.preparation import read_volume

__all__ = ["PatientView", "dataset_of", "is_manifest", "read_view", "view_of"]


@dataclass(frozen=True, eq=False)
class PatientView:
    """One patient's images and result, ready to be shown. All arrays have axes towards left, posterior and superior.

    Args:
        dataset: Names and titles of channels and regions.
        scheme: Label values of the result and their meaning.
        grid: Where the voxels lie.
        stored: The same lattice in the order of axes of the patient's files.
        nesting: How many regions hold each voxel, uint8, shape (x, y, z).
        manifest: What `Segmentation.save` writes: case, volumes, findings, notes, models, settings.
        images: Intensities, float32, shape (channel, x, y, z); None where the images are not at hand.
        probabilities: Shape (region, x, y, z), 0 to 1; None where they were not saved.
        uncertainty: Whole percents, uint8, shape (region, x, y, z); None where there are no maps.
        reference: Nesting of a reference segmentation, if any.
        reference_fault: Why the reference cannot be shown, if so.
        oriented: False where the images do not say how the patient lies.
    """

    dataset: DatasetDescription
    scheme: LabelScheme
    grid: Grid
    stored: Grid
    nesting: NDArray[np.uint8]
    manifest: Mapping[str, Any]
    images: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None
    uncertainty: NDArray[np.uint8] | None = None
    reference: NDArray[np.uint8] | None = None
    reference_fault: str = ""
    oriented: bool = True

    @property
    def case(self) -> str:
        """Name of the case."""
        return str(self.manifest["case"])

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Where there is anything to see, shape (x, y, z)."""
        seen = self.nesting > 0
        if self.reference is not None:
            seen |= self.reference > 0
        for image in () if self.images is None else self.images:
            seen |= image != 0
        return seen

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of channels that the patient lacks."""
        return tuple(self.manifest.get("missing", ()))


def view_of(result: Segmentation, *, reference: str | Path | None = None) -> PatientView:
    """Return what is shown of a result in memory.

    Args:
        result: The result.
        reference: File of a reference segmentation on the same lattice; by default that of the case, if it has one.
    """
    own = result.source.reference if result.source is not None else None
    nesting, fault = None, ""
    if reference is not None or own is not None:
        scheme = result.source.dataset if result.source is not None else None
        nesting, fault = _reference(reference or own, result.grid, result.dataset, scheme, strict=reference is not None)
    to_lps = result.grid.to_lps
    return PatientView(
        dataset=result.dataset,
        scheme=result.scheme,
        grid=result.grid.in_lps(),
        stored=result.grid,
        nesting=to_lps(result.scheme.nesting(result.label_map)),
        manifest=manifest_of(result),
        images=None if result.images is None else to_lps(result.images),
        probabilities=to_lps(result.probabilities),
        uncertainty=np.rint(to_lps(result.uncertainty)).astype(np.uint8),
        reference=nesting,
        reference_fault=fault,
        oriented=result.oriented,
    )


def is_manifest(path: Path) -> bool:
    """Return whether a file is the manifest of a segmentation.

    Raises:
        InputError: It is, and is damaged.
    """
    return path.suffix == ".json" and bool(read_manifest(path))


def dataset_of(manifest: Mapping[str, Any], source: Path, dataset: DatasetDescription | None) -> DatasetDescription:
    """Return the dataset of the model that made a result.

    Args:
        manifest: Of the result.
        source: Its file, named in the error.
        dataset: The dataset, if it is given.

    Raises:
        InputError: The manifest names a dataset that is not packaged, and none is given.
    """
    if dataset is not None:
        return dataset
    try:
        return find_description(str(manifest.get("dataset")))
    except InputError:
        name = manifest.get("dataset")
        raise InputError(
            f"{source}: was made with the dataset {name!r}, which is not packaged; name its .toml file"
        ) from None


def read_view(
    path: Path,
    *,
    case: Case | None = None,
    reference: Path | None = None,
    dataset: DatasetDescription | None = None,
    maps: bool = True,
) -> PatientView:
    """Return what is shown of a saved result.

    Args:
        path: Manifest of the result; the maps lie next to it.
        case: Images of the patient, and its reference segmentation if any; without it maps are shown without images.
        reference: A reference segmentation instead.
        dataset: Dataset of the model, if it is not a packaged one.
        maps: Read the maps of probability and uncertainty too.

    Raises:
        InputError: A file is missing or damaged, does not fit the others, or is of an unknown dataset.
    """
    manifest = read_manifest(path)
    described = dataset_of(manifest, path, dataset)
    scheme = manifest_scheme(manifest, [described.scheme], path) or described.scheme
    labels = read_label_map(path.with_suffix(".nii.gz"))
    scheme.check(present_labels(labels.array), str(path.with_suffix(".nii.gz")))
    nesting, fault = None, ""
    found = reference or (case.reference if case is not None else None)
    if found is not None:
        own = case.dataset if case is not None else None
        nesting, fault = _reference(found, labels.stored, described, own, strict=reference is not None)
    return PatientView(
        dataset=described,
        scheme=scheme,
        grid=labels.grid,
        stored=labels.stored,
        nesting=scheme.nesting(labels.array),
        manifest=manifest,
        images=None if case is None else _images(case.without(*manifest["missing"]), described, path, labels.stored),
        probabilities=None if not maps else _maps(path, "prob", described, labels.stored),
        uncertainty=None if not maps else _maps(path, "unc", described, labels.stored),
        reference=nesting,
        reference_fault=fault,
        oriented=labels.oriented,
    )


def _images(case: Case, dataset: DatasetDescription, path: Path, stored: Grid) -> NDArray[np.float32]:
    volume = read_volume(case, dataset, missing="allow")
    check_same_lattice(case.id, volume.stored, path.with_suffix(".nii.gz"), stored)
    return volume.array


def _maps(path: Path, kind: str, dataset: DatasetDescription, stored: Grid) -> NDArray | None:
    """Return the maps of all regions; None where one is not there."""
    files = [path.with_name(f"{path.stem}_{kind}_{region.word}.nii.gz") for region in dataset.regions]
    if not all(file.is_file() for file in files):
        return None
    maps = []
    for file in files:
        image = read_image(file, dtype=np.uint8 if kind == "unc" else np.float32)
        check_same_lattice(file, image.stored, path.with_suffix(".nii.gz"), stored)
        maps.append(image.array)
    return np.stack(maps)


def _reference(
    path: str | Path | None,
    grid: Grid,
    dataset: DatasetDescription,
    own: DatasetDescription | None,
    *,
    strict: bool,
) -> tuple[NDArray[np.uint8] | None, str]:
    """Return the nesting of a reference, or else what is wrong with it.

    Raises:
        InputError: It cannot be shown, and ``strict``.
    """
    assert path is not None
    try:
        image = read_label_map(path)
        check_same_lattice(path, image.stored, "the segmentation", grid)
        scheme: LabelScheme = recognise_labels(
            present_labels(image.array), candidate_schemes(own or dataset), str(path)
        )
        if scheme.region_names != dataset.region_names:
            raise InputError(
                f"{path}: its regions {', '.join(scheme.region_names)} are not {', '.join(dataset.region_names)}"
            )
    except InputError as fault:
        if strict:
            raise
        return None, str(fault)
    return scheme.nesting(image.array), ""
