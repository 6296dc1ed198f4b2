"""Reading and writing volumes: checked, in one orientation inside, in the patient's own outside."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from tunetseg.datasets.case import MODALITIES, Case
from tunetseg.errors import InputError
from tunetseg.io.files import SIGNATURE, whole_file

__all__ = [
    "Grid",
    "LabelMap",
    "Volume",
    "check_same_grid",
    "read_image",
    "read_label_map",
    "read_volume",
    "was_written_here",
    "write_nifti",
]

_AFFINE_TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class Grid:
    """Where a file's voxels lie.

    Args:
        header: The file's NIfTI header; affine, orientation and codes are taken from it when writing.
        affine: Voxel to world in mm, shape (4, 4).
        shape: Voxels along x, y, z in the file's own order.
    """

    header: nib.Nifti1Header
    affine: NDArray[np.float64]
    shape: tuple[int, int, int]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel sizes in mm along x, y, z in the file's own order."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0)).tolist()
        return x, y, z

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def _to_lps(self) -> NDArray[np.float64]:
        return ornt_transform(io_orientation(self.affine), axcodes2ornt(("L", "P", "S")))

    def into_lps(self, array: NDArray) -> NDArray:
        """Turn the last three axes from the file's order to left, posterior, superior."""
        return _turn(array, self._to_lps())

    def from_lps(self, array: NDArray) -> NDArray:
        """Turn the last three axes from left, posterior, superior back to the file's order."""
        return _turn(array, ornt_transform(axcodes2ornt(("L", "P", "S")), io_orientation(self.affine)))

    @property
    def lps_affine(self) -> NDArray[np.float64]:
        """Affine of an array turned by ``into_lps``, shape (4, 4)."""
        return self.affine @ inv_ornt_aff(self._to_lps(), self.shape)

    @property
    def lps_spacing(self) -> tuple[float, float, float]:
        """Voxel sizes in mm along the axes of an array turned by ``into_lps``."""
        x, y, z = np.sqrt((self.lps_affine[:3, :3] ** 2).sum(axis=0)).tolist()
        return x, y, z


def _turn(array: NDArray, orientation: NDArray[np.float64]) -> NDArray:
    """Reorder and flip the last three axes; axes before them stay."""
    moved = apply_orientation(np.moveaxis(array, (-3, -2, -1), (0, 1, 2)), orientation)
    return np.ascontiguousarray(np.moveaxis(moved, (0, 1, 2), (-3, -2, -1)))


@dataclass(frozen=True)
class Volume:
    """A patient's images as one array.

    Args:
        array: float32, shape (channel, x, y, z), axes towards left, posterior, superior.
        grid: Where the files' voxels lie.
    """

    array: NDArray[np.float32]
    grid: Grid


@dataclass(frozen=True)
class LabelMap:
    """Integers of a segmentation file.

    Args:
        array: uint8, shape (x, y, z) in the file's own order.
        grid: Where the voxels lie.
    """

    array: NDArray[np.uint8]
    grid: Grid


_DAMAGE = (EOFError, OSError, zlib.error, ValueError, OverflowError, HeaderDataError)


_HEADER_SIZES = {348, 540}
"""First number of NIfTI-1 and NIfTI-2."""


def _check_packing(path: Path) -> None:
    """Raise InputError where a file is empty, or its name says otherwise than its first bytes whether it is packed."""
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise InputError(f"{path}: an empty file; copy it again")
    packed = start.startswith(b"\x1f\x8b")
    named = path.name.endswith((".nii", ".nii.gz"))
    if named and not packed and not _HEADER_SIZES & {int.from_bytes(start, "little"), int.from_bytes(start, "big")}:
        raise ImageFileError
    if named and packed != path.name.endswith(".gz"):
        right = path.name.removesuffix(".gz") + (".gz" if packed else "")
        raise InputError(f"{path}: is {'' if packed else 'not '}compressed; rename it to {right}")


def _load(path: Path) -> nib.filebasedimages.FileBasedImage:
    """Like nibabel's ``load``, which reads a compressed file up to its last voxel and so never sees its checksum."""
    if not path.name.endswith(".nii.gz"):
        return nib.load(path)
    raw = gzip.decompress(path.read_bytes())
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        if kind.header_class.may_contain_header(raw):
            return kind.from_bytes(raw)
    raise ImageFileError


def _open(path: Path) -> nib.Nifti1Pair:
    """A NIfTI file whose header makes sense."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        _check_packing(path)
        image = _load(path)
    except InputError:
        raise
    except PermissionError:
        raise InputError(f"{path}: you may not read it; change its permissions") from None
    except ImageFileError:
        raise InputError(f"{path}: not a NIfTI image, or cut off; convert it to .nii.gz, or copy it again") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged or cut off ({error}); copy the file again") from None
    if not isinstance(image, nib.Nifti1Image | nib.Nifti1Pair):
        raise InputError(f"{path}: not a NIfTI image but {type(image).__name__}; convert it to .nii.gz first")
    if image.get_data_dtype().kind not in "iuf":
        raise InputError(f"{path}: its voxels are colours or complex numbers; an image of one number a voxel is needed")
    try:
        unit = image.header.get_xyzt_units()[0]
    except KeyError:
        unit = "unknown"
    if unit in {"meter", "micron"}:
        raise InputError(f"{path}: its header measures voxels in {unit}s; convert it to mm first")
    return image


def _voxels(path: Path, image: nib.Nifti1Pair, dtype: type | None) -> NDArray:
    """The one 3-D array of a file, finite."""
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is told below
            array = np.asanyarray(image.dataobj, dtype=dtype)
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged or cut off ({error}); copy the file again") from None
    except MemoryError:
        raise InputError(f"{path}: its header asks for {image.shape} voxels, more than memory holds") from None
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise InputError(f"{path}: {array.ndim}-D of shape {array.shape}; one 3-D volume a file is needed, so split it")
    if 0 in array.shape:
        raise InputError(f"{path}: empty, its shape is {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(f"{path}: holds {count} voxels that are NaN or infinite or beyond float32; repair it first")
    return array


def _read(path: Path, dtype: type | None) -> tuple[NDArray, Grid]:
    """One 3-D NIfTI file, its values as ``dtype`` or as they come."""
    image = _open(path)
    array = _voxels(path, image, dtype)
    affine = np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"{path}: its affine cannot be inverted, so its voxels have no place or size")
    x, y, z = array.shape
    return array, Grid(image.header, affine, (x, y, z))


def read_image(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """Read one 3-D NIfTI file.

    Returns:
        float32 array of shape (x, y, z) in the file's own order, and its grid.

    Raises:
        InputError: The file is missing, damaged, not 3-D, empty, or holds values that are not finite.
    """
    return _read(path, np.float32)


def check_same_grid(path: Path, grid: Grid, other_path: Path, other: Grid) -> None:
    """Raise InputError unless two files have the same shape and, within 0.001 mm, the same affine."""
    if grid.shape != other.shape:
        raise InputError(
            f"{path}: shape {grid.shape}, but {other_path} has {other.shape}; bring both to one grid first"
        )
    difference = float(np.abs(grid.affine - other.affine).max())
    if difference > _AFFINE_TOLERANCE_MM:
        raise InputError(
            f"{path}: its affine differs from that of {other_path} by up to {difference:.3g}; co-register both first"
        )


def read_volume(case: Case, modalities: tuple[str, ...] = MODALITIES) -> Volume:
    """Read a case's images into one array, in one orientation.

    Raises:
        InputError: A file is missing, damaged, not 3-D, all zero, not finite, on another grid than the first,
            or the same as another.
    """
    case.check(modalities)
    channels: list[NDArray[np.float32]] = []
    first: Grid | None = None
    for modality in modalities:
        path = case.images[modality]
        array, grid = read_image(path)
        if not array.any():
            raise InputError(f"{path}: every voxel is zero; the {modality} image is missing its content")
        brain = array[array != 0]
        if len(brain) > 1 and brain.min() == brain.max():
            raise InputError(f"{path}: every voxel of the brain is {brain[0]:g}; the {modality} image shows nothing")
        first = first or grid
        check_same_grid(path, grid, case.images[modalities[0]], first)
        for earlier, channel in zip(modalities, channels, strict=False):
            if np.array_equal(channel, array):
                raise InputError(
                    f"{path}: the same voxels as {case.images[earlier]}; {modality} and {earlier} must differ"
                )
        channels.append(array)
    assert first is not None
    return Volume(first.into_lps(np.stack(channels)), first)


def read_label_map(path: str | Path) -> LabelMap:
    """Read a segmentation; whole numbers stored as floats are fine.

    Raises:
        InputError: The file is missing, damaged, not 3-D, or holds values that are no labels.
    """
    array, grid = _read(Path(path), None)
    if array.dtype == np.uint8:
        return LabelMap(array, grid)
    labels = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    # Integers are compared as they are: the least of them has no absolute value.
    off = np.abs(array - labels) > 1e-3 if array.dtype.kind == "f" else array != labels
    if off.any():
        raise InputError(
            f"{path}: holds {array[off].flat[0]:g}, which is no label; a label map has whole numbers from 0 up"
        )
    return LabelMap(labels, grid)


def write_nifti(array: NDArray, grid: Grid, path: str | Path) -> None:
    """Write an array on a file's grid: same affine, orientation and codes; appears only when complete.

    Args:
        array: Shape (x, y, z) in the grid's own order; its dtype is stored as it is.
        grid: Grid of the patient's files.
        path: Ends in ``.nii`` or ``.nii.gz``.

    Raises:
        ValueError: The array does not have the grid's shape.
    """
    target = Path(path)
    if array.shape != grid.shape:
        raise ValueError(f"array of shape {array.shape} on a grid of {grid.shape}")
    header = grid.header.copy()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_max"] = header["cal_min"] = 0
    header["descrip"] = SIGNATURE.encode()
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    with whole_file(target) as partial:
        nib.save(kind(array, None, header), partial)


def was_written_here(path: Path) -> bool:
    """Whether ``write_nifti`` wrote a file."""
    try:
        header = nib.load(path).header
        return isinstance(header, nib.Nifti1Header) and bytes(header["descrip"]).startswith(SIGNATURE.encode())
    except (ImageFileError, KeyError, *_DAMAGE):
        return False
