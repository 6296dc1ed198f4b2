"""Readers of image formats other than NIfTI and DICOM: MetaImage, NRRD, MGH/MGZ, Analyze."""

import glob
import math
import os
import re
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import DTypeLike, NDArray

from tunetseg.errors import InputError
from tunetseg.io.bounded import check_file, inflate, open_file
from tunetseg.io.extras import need
from tunetseg.io.grid import LPS_TO_RAS
from tunetseg.io.nifti import Image, image_from_nibabel
from tunetseg.io.nifti_header import check_sizes, stored_header
from tunetseg.io.quiet import quiet_nibabel
from tunetseg.limits import LIMITS, check_memory

__all__ = ["data_files", "image_from_itk", "read_analyze", "read_itk", "read_mgh"]

_DAMAGE = (
    EOFError,
    OSError,
    zlib.error,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    HeaderDataError,
    ImageFileError,
)

_HEADER_BYTES = 1 << 16
_FIELD_BYTES, _WORD_BYTES = 500, 100
_MOST_COMPRESSED = 1040
"""Bytes that one byte can stand for at most in the compression of these formats."""
_MATRIX_BYTES = 2**16
_MGH_HEADER_BYTES = 284
_MHA_DATA = re.compile(rb"^\s*ElementDataFile\s*=[ \t]*(.*?)\s*$", re.MULTILINE)
_MHA_PLACE = re.compile(rb"^\s*(TransformMatrix|Rotation|Orientation)\s*=", re.MULTILINE)
_NRRD_DATA = re.compile(rb"^data ?file\s*:[ \t]*(.*?)\s*$", re.MULTILINE | re.IGNORECASE)
_NRRD_END = re.compile(rb"\r?\n\r?\n")
_NRRD_GZIP = re.compile(rb"^encoding\s*:\s*(gz|gzip)\s*$", re.MULTILINE)
_NRRD_PLACE = re.compile(
    rb"^space\s*:\s*(right-anterior-superior|left-anterior-superior|left-posterior-superior|RAS|LAS|LPS)(-time|T)?\s*$",
    re.MULTILINE | re.IGNORECASE,
)
"""Spaces whose axes are those of the patient; ``scanner-xyz`` and ``3D-right-handed`` are not."""
_SLICE_NUMBER = re.compile(r"%\d*[di]")
_UNITS = re.compile(r"^\s*(?:(?:space )?units\s*:|DistanceUnits\s*=)(.*)$", re.MULTILINE | re.IGNORECASE)
_NOT_MM = {"m", "meter", "meters", "metre", "metres", "cm", "um", "\xb5m", "\u03bcm", "micron", "microns", "nm", "inch"}


def read_itk(path: Path, *, dtype: DTypeLike | None = np.float32, volume: int | None = None) -> Image:
    """Read a MetaImage (``.mha``, ``.mhd``) or NRRD file (``.nrrd``, ``.nhdr``).

    Args:
        path: The file.
        dtype: Of the array; None takes the file's own.
        volume: Which volume of a 4-D file, or which component of one with several numbers per voxel.

    Raises:
        InputError: The file is missing, damaged, not 3-D, empty or holds values that are not finite, or SimpleITK is
            not installed.
    """
    _check_there(path)
    itk: Any = need("SimpleITK", "formats", f"{path}: reading this format")
    _check_fields(path)
    reader = itk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _check_checksum(path, _check_size(path, reader))
        image = reader.Execute()
    except RuntimeError:
        raise InputError(
            f"{path}: damaged or cut off, of another format, or without the data file that it names; copy it again"
        ) from None
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{path}: holds complex numbers; an image of one number per voxel is needed")
    array = itk.GetArrayViewFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1 and image.GetDimension() != 3:
        raise InputError(f"{path}: holds several numbers per voxel; an image of one number per voxel is needed")
    space = image.GetDimension()
    # SimpleITK's arrays are (t, z, y, x, component).
    order = (*range(space - 1, -1, -1), *range(space, array.ndim))
    array = _volume(path, array.transpose(order), volume)
    return _image(path, np.array(array), _affine(image, min(space, 3)), dtype, _says_place(path))


def image_from_itk(image: Any, source: object = "image") -> Image:
    """Return a 3-D image of SimpleITK that is in memory, of one number per voxel.

    Args:
        image: A ``SimpleITK.Image``.
        source: Named in errors.

    Raises:
        InputError: It is not 3-D, or has several numbers per voxel.
    """
    itk: Any = need("SimpleITK", "formats", f"{source}: such an image")
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{source}: {image.GetDimension()}-D, or of several numbers per voxel; give one 3-D volume")
    array = np.array(itk.GetArrayViewFromImage(image).transpose(2, 1, 0))
    return _image(source, array, _affine(image, 3), np.float32, True)


def data_files(path: Path) -> list[Path]:
    """Return the files in which the voxels of a MetaImage or NRRD header are; none where they follow the header.

    Raises:
        InputError: The header cannot be read.
    """
    with open_file(path) as file:
        start = file.read(_HEADER_BYTES)
    found = _NRRD_DATA.search(_NRRD_END.split(start, 1)[0]) if _is_nrrd(path) else _MHA_DATA.search(start)
    if found is None or found[1].upper() == b"LOCAL":
        return []
    said = os.fsdecode(found[1])
    if said.upper().split()[:1] == ["LIST"]:
        names = os.fsdecode(start[found.end() :]).split("\n")
        return [path.parent / name.strip() for name in names if name.strip()]
    if _SLICE_NUMBER.search(said):  # one pattern for the names of all slices, then their numbers
        pattern = _SLICE_NUMBER.sub("*", glob.escape(said.split()[0]))
        return sorted(Path(name) for name in glob.glob(os.path.join(glob.escape(str(path.parent)), pattern)))
    return [path.parent / said]


def _is_nrrd(path: Path) -> bool:
    return path.suffix.lower() in {".nrrd", ".nhdr"}


def _header(path: Path) -> bytes:
    """The fields of a MetaImage or NRRD header."""
    with open_file(path) as file:
        start = file.read(_HEADER_BYTES)
    return (_NRRD_END.split(start, 1) if _is_nrrd(path) else start.split(b"ElementDataFile", 1))[0]


def _check_fields(path: Path) -> None:
    """Raise InputError for a header by which ITK would crash, or that is not measured in mm.

    ITK has room for short fields and ten dimensions.
    """
    is_nrrd, header = _is_nrrd(path), _header(path)
    for line in header.split(b"\n"):
        if is_nrrd and (line.startswith(b"#") or b":=" in line):  # comments and keys, which may have any length
            continue
        name, _, value = line.partition(b":" if is_nrrd else b"=")
        longest = max(map(len, line.split()), default=0)
        if len(line) > _FIELD_BYTES or longest > _WORD_BYTES:
            raise InputError(
                f"{path}: its header has a line of {len(line)} characters, but lines of {_FIELD_BYTES} and words of "
                f"{_WORD_BYTES} are the most that can be read; shorten it, or convert the image to .nii.gz"
            )
        if name.strip() in {b"NDims", b"dimension"} and value.strip() not in {b"1", b"2", b"3", b"4"}:
            raise InputError(f"{path}: its header gives no number of dimensions from 1 to 4; copy it again")
    for said in _UNITS.findall(header.decode("utf-8", "replace")):
        for unit in said.replace('"', " ").lower().split():
            if unit in _NOT_MM:
                raise InputError(f"{path}: its header measures voxels in {unit}; convert it to mm first")


def _check_checksum(path: Path, announced: int) -> None:
    """Raise InputError where the compressed voxels of an NRRD file are damaged, which its reader does not notice."""
    if path.suffix.lower() != ".nrrd":
        return
    with open_file(path) as file:
        start = file.read(_HEADER_BYTES)
        end = _NRRD_END.search(start)
        if end is None or not _NRRD_GZIP.search(start[: end.start()]):
            return
        file.seek(end.end())
        size = 0
        try:
            for piece in inflate(BytesIO(file.read())):
                size += len(piece)
                if size > announced + LIMITS.surplus_bytes:
                    raise InputError(
                        f"{path}: larger than the {announced} bytes that its header announces; copy it again"
                    )
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(f"{path}: damaged or cut off ({error}); copy the file again") from None


def _check_size(path: Path, reader: Any) -> int:
    """Return the bytes of the voxels that a header announces, if the file can hold them and memory too.

    Raises:
        InputError: They cannot.
    """
    shape = tuple(int(side) for side in reader.GetSize())
    voxels = math.prod(shape) * reader.GetNumberOfComponents()
    if voxels == 0:
        raise InputError(f"{path}: empty, its shape is {shape}")
    if math.prod(shape[:3]) > LIMITS.image_voxels:
        raise InputError(f"{path}: its header asks for {shape} voxels, more than any image has; copy it again")
    width = next((size for size in (8, 4, 2, 1) if str(8 * size) in _pixel_type(reader)), 4)
    announced = voxels * width
    check_memory(path, announced + (width + 4) * math.prod(shape[:3]))
    if path.suffix.lower() in {".mha", ".nrrd"} and announced > _MOST_COMPRESSED * check_file(path):
        raise InputError(f"{path}: damaged or cut off; its header announces {announced} bytes of voxels; copy it again")
    return announced


def _pixel_type(reader: Any) -> str:
    itk: Any = need("SimpleITK", "formats", "reading this format")
    return str(itk.GetPixelIDValueAsString(reader.GetPixelID()))


def _volume(path: Path, array: NDArray, volume: int | None) -> NDArray:
    """One volume along the fourth axis; all where none is chosen, which the checks of the array refuse."""
    count = array.shape[3] if array.ndim > 3 else 1
    if volume is not None and not 0 <= volume < count:
        raise InputError(f"{path}: has {count} volume(s), so there is no volume {volume}, counted from 0")
    return array if volume is None or array.ndim == 3 else array[..., volume]


def _affine(image: Any, space: int) -> NDArray[np.float64]:
    """Voxel indices to NIfTI's world; ITK's has x to the left and y to the back."""
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:space, :space]
    affine = np.eye(4)
    affine[:space, :space] = direction * np.array(image.GetSpacing())[:space]
    affine[:space, 3] = np.array(image.GetOrigin())[:space]
    return LPS_TO_RAS @ affine


def _says_place(path: Path) -> bool:
    """Whether a header says how the patient lies."""
    return bool((_NRRD_PLACE if _is_nrrd(path) else _MHA_PLACE).search(_header(path)))


def read_mgh(path: Path, *, dtype: DTypeLike | None = np.float32, volume: int | None = None) -> Image:
    """Read a FreeSurfer volume (``.mgz``, ``.mgh``).

    Where the header's flag says that it holds no geometry, voxels of 1 mm with axes towards left, inferior and anterior
    are assumed, as FreeSurfer does, and `Image.oriented` is False.

    Args:
        path: The file.
        dtype: Of the array; None takes the file's own.
        volume: Which volume of a 4-D file.

    Raises:
        InputError: The file is missing, damaged, not 3-D, empty, or holds values that are not finite.
    """
    _check_there(path)
    try:
        raw = _read_mgh(path)
        with quiet_nibabel():
            image = nib.MGHImage.from_bytes(raw)
        array = np.asanyarray(image.dataobj)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged or cut off ({error}); copy the file again") from None
    array = _volume(path, array, volume)
    # The flag after seven numbers; nibabel's header says 1 where the file says 0.
    oriented = int.from_bytes(raw[28:30], "big", signed=True) > 0
    affine = image.affine if oriented else _freesurfer_affine(array.shape[:3])
    return _image(path, array, affine, dtype, oriented)


def _freesurfer_affine(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Affine of FreeSurfer for volumes without geometry, in the middle of which the origin lies."""
    affine = np.array([[-1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)
    affine[:3, 3] = -affine[:3, :3] @ np.array(shape) / 2
    return affine


def _read_mgh(path: Path) -> bytes:
    """Content of a file, decompressed up to its checksum, which is compared; no more than its header announces."""
    content = BytesIO()
    most = 2 * _MGH_HEADER_BYTES
    with open_file(path) as file:
        for piece in inflate(file):
            if content.tell() < _MGH_HEADER_BYTES <= content.tell() + len(piece):
                header = (content.getvalue() + piece)[:_MGH_HEADER_BYTES]
                shape = tuple(int(side) for side in np.frombuffer(header, ">i4", 4, offset=4))
                if min(shape) < 1 or math.prod(shape[:3]) > LIMITS.image_voxels:
                    raise InputError(f"{path}: its header asks for {shape} voxels, which no image has; copy it again")
                width = {0: 1, 4: 2}.get(int(np.frombuffer(header, ">i4", 1, offset=20)[0]), 4)
                most = (
                    _MGH_HEADER_BYTES + width * math.prod(shape) + LIMITS.text_bytes
                )  # names of scans and commands follow
                check_memory(path, 2 * width * math.prod(shape) + 4 * math.prod(shape[:3]))
            content.write(piece)
            if content.tell() > most:
                raise InputError(f"{path}: larger than its header announces; copy it again")
    if content.tell() < _MGH_HEADER_BYTES:
        raise InputError(f"{path}: damaged or cut off (its header is not whole); copy the file again")
    return content.getvalue()


def read_analyze(path: Path, *, dtype: DTypeLike | None = np.float32, volume: int | None = None) -> Image:
    """Read an Analyze 7.5 or SPM image (``.hdr`` with ``.img``).

    Such files do not say how the patient lies, unless SPM left a ``.mat`` file next to them. Without one, axes towards
    left, anterior and superior are assumed, as nibabel and SPM do, and `Image.oriented` is False.

    Args:
        path: Either of the two files.
        dtype: Of the array; None takes the file's own.
        volume: Which volume of a 4-D file.

    Raises:
        InputError: A file is missing, damaged, not 3-D, empty, or holds values that are not finite.
    """
    for ending in (".hdr", ".img"):
        _check_there(path.with_suffix(ending.upper() if path.suffix.isupper() else ending))
    try:
        oriented = _has_matrix(path.with_suffix(".mat"))
        with quiet_nibabel():
            image = nib.load(path)
        if not isinstance(image, nib.AnalyzeImage):
            kind = type(image).__name__
            raise InputError(f"{path}: not an Analyze image but {kind}; convert it to .nii.gz first")
        _check_announced(path, image)
        if not oriented:
            check_sizes(path, stored_header(image))
        array = np.asanyarray(image.dataobj)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged or cut off ({error}); copy both files again") from None
    array = _volume(path, array, volume)
    return _image(path, array, image.affine, dtype, oriented)


def _has_matrix(path: Path) -> bool:
    """Whether SPM left an affine. nibabel takes an empty file as none."""
    size = check_file(path) if path.exists() else 0
    if not size:
        return False
    fault = f"{path}: does not hold the affine that SPM writes; copy it again, or remove it"
    if size > _MATRIX_BYTES:
        raise InputError(fault)
    from scipy.io import loadmat

    try:
        found = loadmat(path)
    except Exception:  # damaged files raise errors of many kinds, which quote what they hold
        raise InputError(fault) from None
    matrix = found.get("mat", found.get("M"))
    if not isinstance(matrix, np.ndarray) or matrix.shape[:2] != (4, 4) or matrix.dtype.kind not in "iuf":
        raise InputError(fault)
    return True


def _check_announced(path: Path, image: nib.AnalyzeImage) -> None:
    """Raise InputError where the voxels that a header announces are not there, or more than memory holds."""
    shape = image.header.get_data_shape()
    width = image.get_data_dtype().itemsize
    if math.prod(shape[:3]) > LIMITS.image_voxels:
        raise InputError(f"{path}: its header asks for {shape} voxels, more than any image has; copy it again")
    check_memory(path, width * math.prod(shape) + 4 * math.prod(shape[:3]))
    announced, size = width * math.prod(shape), check_file(str(image.file_map["image"].filename))
    if size < announced:
        raise InputError(
            f"{path}: damaged or cut off, {size} bytes where {announced} are announced; copy both files again"
        )


def _check_there(path: Path) -> None:
    if not check_file(path):
        raise InputError(f"{path}: an empty file; copy it again")


def _image(path: object, array: NDArray, affine: NDArray, dtype: DTypeLike | None, oriented: bool) -> Image:
    """Check an array as those of NIfTI files are checked."""
    if array.dtype.kind not in "iuf":
        raise InputError(f"{path}: holds colours or complex numbers; an image of one number per voxel is needed")
    image = nib.spatialimages.SpatialImage(array, affine)
    image.file_map["image"].filename = str(path)  # the name that errors give
    return replace(image_from_nibabel(image, dtype=dtype), oriented=oriented)
