"""Find DICOM files in folders and zip archives, and open them; nothing is unpacked to the disk."""

import os
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tunetseg.errors import InputError
from tunetseg.io.bounded import check_file, open_file
from tunetseg.io.extras import need
from tunetseg.limits import check_memory, memory_limit

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["StoredFile", "list_files", "looks_like_dicom", "opened", "quiet", "read_dataset"]

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_BYTES = 1 << 16
_META_BEGIN = 132 + 12
"""Where the file's own elements go on after the first, which says how long they are."""

_INFLATED_BYTES = 1 << 22

_OTHER_ENDINGS = (".nii", ".gz", ".json", ".txt", ".pdf", ".png", ".jpg", ".xml", ".html", ".csv", ".zip", ".exe")


@dataclass(frozen=True)
class StoredFile:
    """A file in a folder, or a member of a zip archive.

    Args:
        path: The file, or the archive.
        member: Name of the member; empty for a file.
    """

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """The name for screens; folders above it, which are often named after patients, are left out."""
        return (self.member or str(self.path)).replace("\\", "/").rsplit("/", 1)[-1]


def list_files(place: Path) -> list[StoredFile]:
    """Return the files of a folder and all folders below it, of a zip archive, or the one file, in order of names.

    Raises:
        InputError: There is no such place, or the archive is damaged or encrypted.
    """
    if place.is_dir():
        files = [
            StoredFile(Path(folder) / name)
            for folder, _, names in os.walk(place)  # links to folders are not followed
            for name in names
            if not name.startswith("._") and name.upper() != "DICOMDIR"
        ]
        return sorted((file for file in files if file.path.is_file()), key=lambda file: str(file.path))
    if not os.path.lexists(place):
        raise InputError(f"{place}: there is no such file or folder")
    check_file(place)
    if place.suffix.lower() != ".zip":
        return [StoredFile(place)]
    try:
        with zipfile.ZipFile(place) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        raise InputError(f"{place}: not a zip archive, or damaged or cut off; copy it again") from None
    if any(info.flag_bits & 1 for info in members):
        raise InputError(f"{place}: encrypted; unpack it with its password and give the folder")
    check_memory(place, 2 * max((info.file_size for info in members), default=0))
    names = sorted(info.filename for info in members)
    return [
        StoredFile(place, name)
        for name in names
        if not name.rsplit("/", 1)[-1].startswith("._") and not name.upper().endswith("DICOMDIR")
    ]


@contextmanager
def _archive(path: Path, member: str) -> Iterator[zipfile.ZipFile | None]:
    if not member:
        yield None
        return
    with zipfile.ZipFile(path) as archive:
        yield archive


def opened(files: Iterable[StoredFile]) -> Iterator[tuple[StoredFile, BinaryIO | None]]:
    """Give files opened one after the other; None where one cannot be opened. Archives are opened once."""
    for (path, zipped), group in groupby(files, key=lambda file: (file.path, bool(file.member))):
        with _archive(path, "." if zipped else "") as archive:
            for file in group:
                try:
                    stream: BinaryIO = (
                        BytesIO(archive.read(file.member)) if archive is not None else open_file(file.path)
                    )
                except (InputError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, KeyError):
                    yield file, None
                    continue
                with stream:
                    yield file, stream


def looks_like_dicom(file: StoredFile, stream: BinaryIO) -> bool:
    """Return whether a file may be a DICOM file, by its first bytes; old scanners leave out the preamble."""
    start = stream.read(132)
    stream.seek(0)
    if start[128:] == b"DICM":
        return True
    # Without a preamble, the first element is of group 0002 or 0008, in little or big endian.
    bare = start[:2] in {b"\x02\x00", b"\x08\x00", b"\x00\x08"} and len(start) == 132
    return bare and not file.name.lower().endswith(_OTHER_ENDINGS)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from warning of odd values: it quotes them, and they may be names."""
    pydicom = need("pydicom", "dicom", "reading DICOM files")
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def read_dataset(stream: BinaryIO, *, voxels: bool = False, tags: Sequence[str] | None = None) -> "Dataset | None":
    """Read a DICOM file.

    Args:
        stream: The opened file.
        voxels: Read the voxels too.
        tags: Keywords of the elements to keep; None keeps all.

    Returns:
        The dataset, or None where the file cannot be read.
    """
    pydicom = need("pydicom", "dicom", "reading DICOM files")
    with quiet():
        try:
            if _inflates_too_far(stream):
                return None
            return pydicom.dcmread(
                stream, stop_before_pixels=not voxels, force=True, specific_tags=None if tags is None else list(tags)
            )
        except Exception:
            # Damaged files raise errors of some fifteen kinds, which pydicom does not list.
            return None


def _inflates_too_far(stream: BinaryIO) -> bool:
    """Whether a file's dataset is deflated as a whole, and is larger than memory."""
    start = stream.read(_META_BYTES)
    stream.seek(0)
    if _DEFLATED not in start or start[132:136] != b"\x02\0\0\0":
        return False
    stream.seek(_META_BEGIN + int.from_bytes(start[_META_BEGIN - 4 : _META_BEGIN], "little"))
    inflater, size, most = zlib.decompressobj(-zlib.MAX_WBITS), 0, memory_limit() // 2
    while size <= most and not inflater.eof and (data := inflater.unconsumed_tail or stream.read(_META_BYTES)):
        size += len(inflater.decompress(data, _INFLATED_BYTES))
    stream.seek(0)
    return size > most
