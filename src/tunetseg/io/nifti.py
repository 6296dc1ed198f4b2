"""Reading and writing NIfTI files: checked, in one axis order in memory, with headers that hold geometry alone."""

import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tunetseg.errors import InputError
from tunetseg.io.bounded import check_file, inflate, open_file
from tunetseg.io.files import SIGNATURE, whole_file
from tunetseg.io.grid import Grid, check_voxel_size
from tunetseg.io.nifti_header import announced_bytes, check_place, stored_header
from tunetseg.io.quiet import quiet_nibabel
from tunetseg.limits import LIMITS

__all__ = [
    "Image",
    "image_from_array",
    "image_from_nibabel",
    "labels_of",
    "read_image",
    "read_label_map",
    "read_volumes",
    "was_written_here",
    "write_image",
]


@dataclass(frozen=True, eq=False)
class Image:
    """One 3-D image in memory.

    Args:
        array: Shape (x, y, z), axes towards left, posterior, superior.
        grid: Where its voxels lie, in the same order of axes.
        stored: The same lattice in the order of axes of the file that it came from.
        oriented: False where the file does not say how the patient lies.
    """

    array: NDArray
    grid: Grid
    stored: Grid
    oriented: bool = True


_LOG = logging.getLogger(__name__)
_AnyImage = nib.spatialimages.SpatialImage
_DAMAGE = (EOFError, OSError, zlib.error, ValueError, TypeError, LookupError, OverflowError, HeaderDataError)


_HEADER_SIZES = {348, 540}
"""First number of NIfTI-1 and NIfTI-2."""

_APART_MM = 1.0
"""From where two affines of one header are said to differ."""

_HEADER_BYTES = 544
"""The longer header, with the mark of its extensions."""


def _check_packing(path: Path, file: BinaryIO) -> None:
    """Raise InputError where a file is empty, or compressed and not named so, or the other way round."""
    start = file.read(4)
    file.seek(0)
    if not start:
        raise InputError(f"{path}: an empty file; copy it again")
    packed = start.startswith(b"\x1f\x8b")
    named = path.name.endswith((".nii", ".nii.gz"))
    if named and not packed and not _HEADER_SIZES & {int.from_bytes(start, "little"), int.from_bytes(start, "big")}:
        raise ImageFileError
    if named and packed != path.name.endswith(".gz"):
        right = path.name.removesuffix(".gz") + (".gz" if packed else "")
        raise InputError(f"{path}: is {'' if packed else 'not '}compressed; rename it to {right}")


def _load(path: Path, file: BinaryIO) -> nib.filebasedimages.FileBasedImage:
    """Like nibabel's ``load``, but no more is read than the header announces.

    A compressed file is read up to its checksum, which nibabel never sees.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        return _load_pair(path)
    pieces = inflate(file)
    start = b""
    while len(start) < _HEADER_BYTES and (piece := next(pieces, b"")):
        start += piece
    kind = next(
        (kind for kind in (nib.Nifti1Image, nib.Nifti2Image) if kind.header_class.may_contain_header(start)), None
    )
    if kind is None:
        raise ImageFileError
    header = kind.header_class.from_fileobj(BytesIO(start), check=False)
    announced = announced_bytes(path, header)
    check_place(path, header)
    content = BytesIO()
    content.write(start)
    for piece in pieces:
        content.write(piece)
        if content.tell() > announced + LIMITS.surplus_bytes:
            break
    try:
        _check_length(path, content.tell(), announced)
    except InputError:
        content.close()  # or its memory would be held for as long as the error is
        raise
    content.seek(0)
    return kind.from_stream(content)


def _load_pair(path: Path) -> nib.filebasedimages.FileBasedImage:
    """A header and its voxels in two files, ``.hdr`` and ``.img``."""
    image = nib.load(path)
    if isinstance(image, nib.Nifti1Pair):
        header = stored_header(image)
        announced = announced_bytes(path, header)
        check_place(path, header)
        voxels = Path(str(image.file_map["image"].filename))
        size = check_file(voxels)
        if voxels.suffix == ".img":
            _check_length(voxels, size, announced)
    return image


def _check_length(path: Path, size: int, announced: int) -> None:
    """Raise InputError where a file does not have the size that its header announces."""
    if size < announced:
        raise InputError(
            f"{path}: damaged or cut off, {size} bytes where its header announces {announced}; copy it again"
        )
    if size > announced + LIMITS.surplus_bytes:
        raise InputError(f"{path}: larger than the {announced} bytes that its header announces; copy it again")


def _open(path: Path) -> nib.Nifti1Pair:
    """A NIfTI file whose header makes sense."""
    try:
        with open_file(path) as file, quiet_nibabel():
            _check_packing(path, file)
            image = _load(path, file)
    except InputError:
        raise
    except ImageFileError:
        raise InputError(f"{path}: not a NIfTI image, or cut off; convert it to .nii.gz, or copy it again") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged or cut off ({error}); copy the file again") from None
    if not isinstance(image, nib.Nifti1Image | nib.Nifti1Pair):
        raise InputError(f"{path}: not a NIfTI image but {type(image).__name__}; convert it to .nii.gz first")
    return image


def _check_header(source: object, image: _AnyImage) -> None:
    """Raise InputError where an image does not hold one number per voxel, or is not measured in mm."""
    if image.get_data_dtype().kind not in "iuf":
        raise InputError(f"{source}: holds colours or complex numbers; an image of one number per voxel is needed")
    try:
        unit = image.header.get_xyzt_units()[0] if isinstance(image.header, nib.Nifti1Header) else "unknown"
    except KeyError:
        unit = "unknown"
    if unit in {"meter", "micron"}:
        raise InputError(f"{source}: its header measures voxels in {unit}s; convert it to mm first")


def _voxels(source: object, image: _AnyImage, dtype: DTypeLike | None, volume: int | None) -> NDArray:
    """The one 3-D array of an image, finite."""
    shape = image.shape
    count = shape[3] if len(shape) > 3 else 1
    if volume is not None and not 0 <= volume < count:
        raise InputError(f"{source}: has {count} volume(s), so there is no volume {volume}, counted from 0")
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is found below
            whole = volume is None or len(shape) < 4
            array = _scaled_short(image, dtype) if whole else None
            if array is None:
                array = np.asanyarray(image.dataobj if whole else image.dataobj[:, :, :, volume], dtype=dtype)
    except _DAMAGE as error:
        raise InputError(f"{source}: damaged or cut off ({error}); copy the file again") from None
    except MemoryError:
        raise InputError(f"{source}: {shape} voxels are more than memory holds") from None
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if 0 in array.shape:
        raise InputError(f"{source}: empty, its shape is {array.shape}")
    if array.ndim != 3:
        raise InputError(f"{source}: {array.ndim}-D of shape {array.shape}; one 3-D volume per file is needed")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise InputError(f"{source}: holds {bad} voxels that are NaN or infinite or beyond float32; repair it first")
    return array


def _scaled_short(image: _AnyImage, dtype: DTypeLike | None) -> NDArray[np.float32] | None:
    """Return scaled integers of at most two bytes as float32, each value computed once; None for other images.

    The values are those of nibabel, which computes each voxel in double precision and takes ten times as long.
    """
    scale, proxy, kind = _scale_of_short(image), image.dataobj, image.get_data_dtype()
    if scale is None or scale == (1, 0) or dtype is None or np.dtype(dtype) != np.float32:
        return None
    assert isinstance(proxy, nib.arrayproxy.ArrayProxy)
    numbers = np.arange(256**kind.itemsize, dtype=f"u{kind.itemsize}").view(f"{kind.kind}{kind.itemsize}")
    values = (numbers * scale[0] + scale[1]).astype(np.float32)
    return values[proxy.get_unscaled()]  # -1 indexes the last value, which is that of -1


def _scale_of_short(image: _AnyImage) -> tuple[float, float] | None:
    """Return slope and intercept of a file of integers of at most two bytes; None for other images."""
    proxy, kind = image.dataobj, image.get_data_dtype()
    if not isinstance(proxy, nib.arrayproxy.ArrayProxy) or kind.kind not in "iu" or kind.itemsize > 2:
        return None
    return proxy.slope, proxy.inter


def _tell_of_two_places(source: object, image: _AnyImage, stored: Grid) -> None:
    """Warn where a header says of two affines that both are the scanner's, or both the atlas', and they differ."""
    header = image.header
    if not isinstance(header, nib.Nifti1Header) or not 0 < int(header["qform_code"]) == int(header["sform_code"]):
        return
    try:
        apart = Grid(header.get_qform(), stored.shape).difference(stored)
    except (*_DAMAGE, InputError):  # a quaternion that is none; what counts is the other affine
        apart = float("inf")
    if apart > _APART_MM:
        said = f"up to {apart:.3g} mm apart" if math.isfinite(apart) else "in different ways"
        _LOG.warning("%s: its qform and its sform place the voxels %s; the sform is used", source, said)


def _to_image(source: object, image: _AnyImage, dtype: DTypeLike | None, volume: int | None) -> Image:
    _check_header(source, image)
    array = _voxels(source, image, dtype, volume)
    x, y, z = array.shape
    try:
        stored = Grid(image.affine, (x, y, z))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    _tell_of_two_places(source, image, stored)
    header = image.header
    oriented = not isinstance(header, nib.Nifti1Header) or bool(int(header["qform_code"]) or int(header["sform_code"]))
    return Image(stored.to_lps(array), stored.in_lps(), stored, oriented)


def read_image(path: str | Path, *, dtype: DTypeLike | None = np.float32, volume: int | None = None) -> Image:
    """Read one 3-D image.

    Args:
        path: A NIfTI file; with the extra ``formats`` MetaImage, NRRD, MGH and Analyze, with ``dicom`` a folder of one
            series.
        dtype: Of the array; None takes the file's own.
        volume: Which volume of a 4-D file, counted from 0.

    Returns:
        The image, its array in LPS order.

    Raises:
        InputError: The file is missing, damaged, not 3-D, empty, or holds values that are not finite.
    """
    from tunetseg.io.readers import reader_for

    reader = reader_for(path)
    if reader is not None:
        return reader(Path(path), dtype=dtype, volume=volume)
    return _to_image(path, _open(Path(path)), dtype, volume)


def read_volumes(path: str | Path, volumes: Sequence[int | None]) -> list[Image]:
    """Read several volumes of a 4-D file, which is opened and decompressed once.

    Args:
        path: A NIfTI file.
        volumes: Which volumes, counted from 0; None for a 3-D file.

    Returns:
        One image per volume, as from `read_image`, but those that a file holds as short integers stay as they are,
        which halves their memory.

    Raises:
        InputError: As from `read_image`.
    """
    from tunetseg.io.readers import reader_for

    if reader_for(path) is not None:
        return [read_image(path, volume=volume) for volume in volumes]
    image = _open(Path(path))
    dtype = None if isinstance(image, nib.Nifti1Image) and _scale_of_short(image) == (1, 0) else np.float32
    return [_to_image(path, image, dtype, volume) for volume in volumes]


def image_from_nibabel(image: nib.spatialimages.SpatialImage, *, dtype: DTypeLike | None = np.float32) -> Image:
    """Return an image that nibabel has read or made.

    Args:
        image: Any spatial image of nibabel with an affine.
        dtype: Of the array; None takes the image's own.

    Raises:
        InputError: The image is not 3-D, empty, or holds values that are not finite.
    """
    return _to_image(image.get_filename() or "image", image, dtype, None)


def image_from_array(
    array: ArrayLike, *, affine: ArrayLike | None = None, spacing: ArrayLike | None = None, source: object = "image"
) -> Image:
    """Return an array as an image.

    Args:
        array: Shape (x, y, z), of any type that NumPy can convert to float32.
        affine: Voxel indices to world in mm, shape (4, 4). World x runs to the patient's right, y to the front, z up.
        spacing: Voxel sizes in mm, for axes that run to the patient's left, back and up; instead of ``affine``.
        source: Named in errors.

    Returns:
        The image, its array of float32 in LPS order.

    Raises:
        InputError: The array is not 3-D, empty or not finite, or there is not one of ``affine`` and ``spacing``.

    Examples:
        >>> image = image_from_array(np.zeros((4, 5, 6)), spacing=(1, 1, 3))
        >>> image.array.shape, image.grid.axes
        ((4, 5, 6), 'LPS')
    """
    given = np.asarray(array)
    if given.ndim != 3 or not given.size:
        raise InputError(f"{source}: an array of shape {given.shape}; shape (x, y, z) is needed")
    if given.dtype.kind not in "biuf":
        raise InputError(f"{source}: an array of {given.dtype}; numbers are needed")
    if (affine is None) == (spacing is None):
        raise InputError(f"{source}: an array needs either an affine or a spacing in mm")
    x, y, z = given.shape
    stored = Grid(np.asarray(affine), (x, y, z)) if spacing is None else Grid.from_spacing(spacing, (x, y, z))
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is found below
        values = given.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise InputError(f"{source}: holds values that are NaN or infinite or beyond float32; replace them first")
    return Image(stored.to_lps(values), stored.in_lps(), stored)


def read_label_map(path: str | Path) -> Image:
    """Read a segmentation; whole numbers stored as floats are accepted.

    Returns:
        The image, its array of uint8 in LPS order.

    Raises:
        InputError: The file is missing, damaged, not 3-D, has impossible voxel sizes, or holds values that cannot be
            labels.
    """
    image = read_image(path, dtype=None)
    check_voxel_size(path, image.stored)
    return Image(labels_of(image.array, path), image.grid, image.stored, image.oriented)


def labels_of(array: NDArray, source: object = "label map") -> NDArray[np.uint8]:
    """Return label values as uint8.

    Args:
        array: Whole numbers from 0 to 255 of any type.
        source: Named in the error.

    Raises:
        InputError: A value is not such a number.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    with np.errstate(invalid="ignore"):  # NaN, which is found below
        labels = np.clip(np.rint(array), 0, 255).astype(np.uint8)
        # Integers are compared as they are: the least of them has no absolute value.
        off = ~(np.abs(array - labels) <= 1e-3) if array.dtype.kind == "f" else array != labels
    if off.any():
        raise InputError(
            f"{source}: holds {array[off].flat[0]:g}, which is not a label; a label map has whole numbers from 0 to 255"
        )
    return labels


def write_image(path: str | Path, array: NDArray, grid: Grid, *, oriented: bool = True) -> None:
    """Write an array in LPS order as a NIfTI file in the order of axes of a grid.

    The header is made fresh: it holds the grid, millimetres, and the name of this software, and nothing else of any
    file that was read. The file appears only when complete.

    Args:
        path: Ends in ``.nii`` or ``.nii.gz``.
        array: Shape (x, y, z), axes towards left, posterior, superior; its dtype is stored as it is.
        grid: The lattice in the order of axes to write, such as `Image.stored`.
        oriented: False leaves the header without orientation, as that of the image that the array belongs to.

    Raises:
        ValueError: The array does not have the shape of the grid.
    """
    stored = grid.from_lps(array)
    if stored.shape != grid.shape:
        raise ValueError(f"array of shape {array.shape} on a grid of {grid.shape}")
    kind = nib.Nifti1Image if max(stored.shape) < 2**15 else nib.Nifti2Image  # whose header counts further
    header = kind.header_class()
    header.set_data_dtype(array.dtype)
    header.set_xyzt_units("mm")
    header["descrip"] = SIGNATURE.encode()
    image = kind(stored, grid.affine, header)
    image.set_sform(grid.affine if oriented else None, code=int(oriented))
    image.set_qform(grid.affine if oriented else None, code=int(oriented))
    if oriented and not Grid(image.get_qform(), grid.shape).same_lattice(grid):
        image.set_qform(None, code=0)  # a qform holds no shear
    with whole_file(Path(path)) as partial:
        nib.save(image, partial)


def was_written_here(path: Path) -> bool:
    """Return whether `write_image` wrote a file."""
    try:
        with quiet_nibabel():
            header = nib.load(path).header
        return isinstance(header, nib.Nifti1Header) and bytes(header["descrip"]).startswith(SIGNATURE.encode())
    except (ImageFileError, KeyError, *_DAMAGE):
        return False
