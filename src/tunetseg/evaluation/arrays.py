"""Label maps given as arrays, images of nibabel or files, as one pair in memory."""

import os
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunetseg.datasets import DatasetDescription, LabelScheme, nifti_stem
from tunetseg.errors import InputError
from tunetseg.evaluation.case import LabelMap, to_label_map
from tunetseg.evaluation.pairing import list_label_files
from tunetseg.io import Grid, Image, check_same_lattice, image_from_nibabel
from tunetseg.metrics import Rules

__all__ = ["LabelMapLike", "is_path", "read_pair"]


@runtime_checkable
class SegmentationLike(Protocol):
    """A label map with its grid and scheme, such as `Segmentation`."""

    @property
    def case(self) -> str:
        """Name of the case."""

    @property
    def label_map(self) -> NDArray[np.uint8]:
        """Label values, shape (x, y, z), in the order of axes of the grid."""

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""

    @property
    def scheme(self) -> LabelScheme:
        """Meaning of the label values."""


LabelMapLike = str | Path | nib.spatialimages.SpatialImage | SegmentationLike | ArrayLike
"""A file, an image of nibabel, a `Segmentation`, or an array of shape (x, y, z) of label values."""


def is_path(value: object) -> TypeGuard[str | Path]:
    """Return whether a label map is given as a path."""
    return isinstance(value, str | os.PathLike)


def read_pair(
    prediction: LabelMapLike,
    reference: LabelMapLike,
    rules: Rules,
    dataset: DatasetDescription | None = None,
    spacing: ArrayLike | None = None,
    affine: ArrayLike | None = None,
) -> tuple[str, LabelMap, LabelMap]:
    """Return the case and both label maps of a pair, on one grid.

    Args:
        prediction: Array, image, segmentation or file.
        reference: The same.
        rules: Say whether values that are not whole are rounded.
        dataset: How files are named.
        spacing: Voxel size in mm of two arrays.
        affine: Affine of every array.

    Raises:
        InputError: A label map cannot be read or holds values that cannot be labels, the two lie on different grids,
            or nothing says how large the voxels of two arrays are.
    """
    given = {"prediction": prediction, "reference": reference}
    arrays = {
        name: _to_array(value, name)
        for name, value in given.items()
        if not (is_path(value) or isinstance(value, nib.spatialimages.SpatialImage | SegmentationLike))
    }
    if not arrays and (spacing is not None or affine is not None):
        raise InputError("spacing and affine are for arrays; images have their own")
    names, label_maps = [], {}
    for name, value in given.items():
        if name not in arrays:
            case, label_maps[name] = _read(value, name, rules, dataset)
            names.append(case)
    other = next((label_map.image.grid for label_map in label_maps.values()), None)
    for name, array in arrays.items():
        image = _place(array, name, other, spacing, affine)
        label_maps[name] = LabelMap(name, to_label_map(image, name, rules))
    predicted, present = label_maps["prediction"], label_maps["reference"]
    check_same_lattice(predicted.source, predicted.image.stored, present.source, present.image.stored)
    return names[-1] if names else "case", predicted, present


def _to_array(value: Any, name: str) -> NDArray:
    """Return an array of label values of any type."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise InputError(
            f"{name}: an array of {array.dtype}; label maps hold whole numbers (for masks use metrics.score_case)"
        )
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"{name}: an array of shape {array.shape}; a label map has the shape (x, y, z)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{name}: holds values that are NaN or infinite; a label map has whole numbers")
    return array


def _read(value: Any, name: str, rules: Rules, dataset: DatasetDescription | None) -> tuple[str, LabelMap]:
    """Return the case and label map of a file, an image or a segmentation."""
    if is_path(value):
        path = Path(value)
        if not path.is_file():
            raise InputError(f"{path}: there is no such file")
        (file,) = list_label_files(path, dataset).values()
        return file.case, LabelMap.read(file, rules)
    if isinstance(value, SegmentationLike):
        labels = Image(value.grid.to_lps(value.label_map), value.grid.in_lps(), value.grid)
        return value.case, LabelMap(f"segmentation of {value.case}", labels, scheme=value.scheme)
    source = value.get_filename() or name
    image = image_from_nibabel(value, dtype=None)
    return nifti_stem(Path(source)) or "case", LabelMap(source, to_label_map(image, source, rules))


def _place(array: NDArray, name: str, other: Grid | None, spacing: ArrayLike | None, affine: ArrayLike | None) -> Image:
    """Return an array as an image, on the grid that is given or on that of the other label map."""
    x, y, z = array.shape
    if affine is not None:
        if spacing is not None:
            raise InputError("an affine holds the spacing; give one of the two")
        stored = Grid(np.asarray(affine, np.float64), (x, y, z))
    elif spacing is not None:
        if other is not None:
            raise InputError("the image or file has a spacing of its own; give the affine of the array, or nothing")
        stored = _from_spacing(spacing, (x, y, z))
    elif other is None:
        raise InputError("arrays do not say how large their voxels are; give the spacing in mm, or an affine")
    elif other.shape != array.shape:
        raise InputError(
            f"{name}: an array of shape {array.shape}, but the image has {other.shape} with axes towards left, "
            "posterior and superior; give the affine of the array"
        )
    else:
        stored = other
    return Image(stored.to_lps(array), stored.in_lps(), stored)


def _from_spacing(spacing: ArrayLike, shape: tuple[int, int, int]) -> Grid:
    sides = np.asarray(spacing, np.float64)
    if sides.size not in {1, 3} or not (np.isfinite(sides) & (sides > 0)).all():
        raise InputError(f"invalid spacing {sides.tolist()}; give one positive number of mm, or three")
    return Grid.from_spacing(sides.ravel() if sides.size == 3 else sides.item(), shape)
