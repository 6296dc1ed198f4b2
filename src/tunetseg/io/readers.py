"""Which function reads which format that is not NIfTI."""

import os
from pathlib import Path
from typing import Protocol

from numpy.typing import DTypeLike

from tunetseg.errors import InputError
from tunetseg.io.bounded import open_file
from tunetseg.io.nifti import Image

__all__ = ["ENDINGS", "Reader", "image_files", "image_stem", "is_dicom", "reader_for"]

_ITK = (".mha", ".mhd", ".nrrd", ".nhdr")
_ANALYZE = (".hdr", ".img")
_MGH = (".mgz", ".mgh")
_DICOM = (".dcm", ".ima")

ENDINGS = (".nii.gz", ".nii", *_ITK, *_MGH, *_ANALYZE)
"""Endings of the files that hold one image, in lower case; ``.mhd`` and ``.nhdr`` name a second file."""

_NIFTI_MAGIC = {b"ni1\0", b"n+1\0"}


class Reader(Protocol):
    """Reads one 3-D image."""

    def __call__(self, path: Path, *, dtype: DTypeLike | None, volume: int | None) -> Image:
        """Return the image; the arguments and errors are those of `read_image`."""


def reader_for(path: str | Path) -> Reader | None:
    """Return the function that reads a file or a folder of DICOM files, or None where it is to be read as NIfTI.

    Args:
        path: By its name, and for ``.hdr``, ``.img`` and names without a known ending by its first bytes.

    Examples:
        >>> reader_for("patient/t1.nii.gz") is None, reader_for("patient/t1.nrrd").__name__
        (True, 'read_itk')
    """
    path = Path(path)
    kind = _kind(path)
    if kind is None:
        return None
    if kind == "dicom":
        from tunetseg.io.dicom.case import read_dicom_image

        return read_dicom_image
    from tunetseg.io import formats

    return {"itk": formats.read_itk, "mgh": formats.read_mgh, "analyze": formats.read_analyze}[kind]


def image_files(path: Path) -> list[Path]:
    """Return the files that an image is read from; most have one.

    Args:
        path: An image, as for `read_image`.

    Returns:
        Header and data files, or all files of a folder of DICOM files; they need not exist.

    Raises:
        InputError: A file or folder that names others cannot be read.
    """
    kind = _kind(path)
    if kind == "dicom":
        from tunetseg.io.dicom.files import list_files

        return list(dict.fromkeys(file.path for file in list_files(path)))
    if kind == "itk":
        from tunetseg.io.formats import data_files

        return [path, *data_files(path)]
    if path.name.lower().endswith(_ANALYZE):
        endings = (".HDR", ".IMG", ".MAT") if path.suffix.isupper() else (".hdr", ".img", ".mat")
        return [file for ending in endings if (file := path.with_suffix(ending)).is_file()]
    return [path]


def is_dicom(path: Path) -> bool:
    """Return whether a path is to be read as DICOM: a folder, an archive, or a file that begins like one."""
    return _kind(path) == "dicom"


def _kind(path: Path) -> str | None:
    name = path.name.lower()
    if os.path.isdir(path) or name.endswith((*_DICOM, ".zip")):
        return "dicom"
    for kind, endings in (("itk", _ITK), ("mgh", _MGH), ("analyze", _ANALYZE)):
        if name.endswith(endings):
            return kind if kind != "analyze" or _is_analyze(path) else None
    return "dicom" if not name.endswith((".nii", ".nii.gz")) and _starts_as_dicom(path) else None


def image_stem(path: str | Path) -> str | None:
    """Return the name of an image without folders and ending, or None where the ending is not that of an image.

    Examples:
        >>> image_stem("patient/P_t1.nii.gz"), image_stem("P_t1.NRRD"), image_stem("notes.txt")
        ('P_t1', 'P_t1', None)
    """
    name = Path(path).name
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), None)
    return None if ending is None else name[: -len(ending)]


def _is_analyze(path: Path) -> bool:
    """Whether a header of 348 bytes lacks the mark of a NIfTI pair; files that cannot be read are left to others."""
    header = _read_at(path.with_suffix(".HDR" if path.suffix.isupper() else ".hdr"), 0, 348)
    return len(header) == 348 and header[344:] not in _NIFTI_MAGIC


def _starts_as_dicom(path: Path) -> bool:
    return _read_at(path, 128, 4) == b"DICM"


def _read_at(path: Path, offset: int, count: int) -> bytes:
    try:
        with open_file(path) as file:
            file.seek(offset)
            return file.read(count)
    except (InputError, OSError):
        return b""
