"""Uploaded files: which names and kinds are accepted, how many and how large, and where they are stored."""

import io
import os
import shutil
import zipfile
import zlib
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from tunetseg.datasets import check_case_name
from tunetseg.errors import InputError
from tunetseg.io.bounded import open_file
from tunetseg.io.dicom.files import StoredFile, looks_like_dicom
from tunetseg.limits import LIMITS

__all__ = ["Budget", "NotAnImageError", "TooMuchError", "Uploads", "safe_parts"]

_IMAGES = (".nii.gz", ".nii", ".mgz", ".mgh", ".hdr", ".img")
"""Endings of images that hold their own voxels, or whose voxels lie in a file of the same name."""

_NAMING_OTHERS = (".mha", ".mhd", ".nrrd", ".nhdr")
"""Endings of formats whose header may name any file of this computer as that of the voxels."""

_CHUNK = 2**20

_DIRECTORY_BYTES = 512 * LIMITS.upload_files
"""Longest table of contents of an archive; an entry takes 46 bytes and its name."""


class TooMuchError(InputError):
    """Files are larger, or more, than the server accepts."""


class NotAnImageError(InputError):
    """A file is not of a kind that is read."""


@dataclass
class Budget:
    """How many bytes all uploads and results together take.

    Args:
        most: Bytes that they can take.
        used: Bytes that they take.
    """

    most: int = LIMITS.upload_bytes
    used: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def check(self, size: int, name: str) -> None:
        """Raise TooMuchError where so many bytes are not left for a file."""
        if self.used + size > self.most:
            raise TooMuchError(
                f"{name}: all files together would be larger than {self.most / 1e9:.3g} GB; upload fewer, remove "
                "earlier uploads, or start the server with a higher limit"
            )

    def take(self, size: int, name: str) -> None:
        """Take bytes for a file.

        Raises:
            TooMuchError: So many are not left.
        """
        with self._lock:
            self.check(size, name)
            self.used += size

    def give_back(self, size: int) -> None:
        """Return bytes that were taken."""
        with self._lock:
            self.used -= size


def safe_parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file of a relative name.

    Args:
        name: As a browser or an archive gives it, with ``/`` between folders.

    Raises:
        InputError: It leads out of the folder that it counts from, or cannot be the name of a file.

    Examples:
        >>> safe_parts("patient/t1.nii.gz")
        ('patient', 't1.nii.gz')
        >>> safe_parts("../t1.nii.gz")
        Traceback (most recent call last):
        ...
        tunetseg.errors.InputError: '../t1.nii.gz': leads out of the upload, or names no file; rename it
    """
    parts = tuple(name.split("/"))
    if "\\" in name or ":" in name or any(part in {"", ".", ".."} for part in parts):
        raise InputError(f"{name[:200]!r}: leads out of the upload, or names no file; rename it")
    if len(parts) > LIMITS.upload_depth:
        raise InputError(f"{name[:200]!r}: lies below more than {LIMITS.upload_depth} folders; move it up")
    for part in parts:
        check_case_name(part)
    return parts


@dataclass
class Uploads:
    """The files of one upload, in a folder of their own.

    Args:
        folder: Exists, and can be entered by its owner only.
        budget: Shared by all uploads.
        most_files: Files that are accepted, members of archives counted.

    Attributes:
        files: Count of the files that were stored.
        size: Their bytes.
        left_out: Count of the members of archives that are not images.
        arriving: Count of the files that are being written.
    """

    folder: Path
    budget: Budget
    most_files: int = LIMITS.upload_files
    files: int = 0
    size: int = 0
    left_out: int = 0
    arriving: int = 0
    _removed: bool = False
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def place(self) -> Path:
        """The only folder of the files, after which a case is called, or the folder of the upload."""
        place = self.folder
        while len(below := list(place.iterdir())) == 1 and below[0].is_dir():
            place = below[0]
        return place

    async def add(self, name: str, content: AsyncIterable[bytes], announced: int = 0) -> None:
        """Store one file.

        Args:
            name: Relative, with ``/`` between folders.
            content: Its bytes.
            announced: How many there are said to be, so that too many are refused before they come.

        Raises:
            TooMuchError: The file is too large, or one too many.
            NotAnImageError: It is not of a kind that is read.
            InputError: Its name is not acceptable, or is there already.
        """
        parts = safe_parts(name)
        _check_name(parts, archives=True)
        self.budget.check(announced, name)
        with self._new_file(parts, name) as write:
            async for chunk in content:
                write(chunk)

    def unpack(self, told: Callable[[int, int], None]) -> None:
        """Unpack the archives that were uploaded, once; what is not an image is left out.

        Args:
            told: Called after each member with the number of members done and in all.

        Raises:
            TooMuchError: The members are too large, or too many.
            InputError: An archive is damaged, is encrypted, or a name in it leads out of its folder.
        """
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() != ".zip" or not path.is_file():
                continue
            try:
                self._unpack(path, told)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # of the disk
                    raise
                raise InputError(f"{path.name}: not a zip archive, or damaged or cut off; copy it again") from None
            self._drop(path, path.stat().st_size)

    def remove(self) -> None:
        """Remove all files, for good: what still arrives is refused."""
        with self._lock:
            self._removed = True
            self.budget.give_back(self.size)
            self.size = 0
        shutil.rmtree(self.folder, ignore_errors=True)

    def _unpack(self, path: Path, told: Callable[[int, int], None]) -> None:
        place = path.relative_to(self.folder).with_suffix("").parts
        with _ArchiveFile(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            if len(members) > self.most_files:
                raise TooMuchError(f"{path.name}: holds {len(members)} files; at most {self.most_files} are accepted")
            if any(info.flag_bits & 1 for info in members):
                raise InputError(f"{path.name}: encrypted; unpack it with its password first")
            # What members claim; what they hold is counted again while it is unpacked.
            self.budget.check(sum(info.file_size for info in members), path.name)
            for number, info in enumerate(members, 1):
                parts = safe_parts(info.filename)
                try:
                    _check_name(parts, archives=False)
                    with archive.open(info) as packed, self._new_file((*place, *parts), info.filename) as write:
                        while chunk := packed.read(_CHUNK):
                            write(chunk)
                except NotAnImageError:
                    self.left_out += 1
                told(number, len(members))

    @contextmanager
    def _new_file(self, parts: tuple[str, ...], name: str) -> Iterator[Callable[[bytes], None]]:
        """Give a function that writes to a new file, which disappears where the block fails or it is not an image."""
        if self._removed:
            raise InputError(f"{name}: the upload was removed")
        if self.files >= self.most_files:
            raise TooMuchError(f"{name}: is one file too many; at most {self.most_files} are accepted")
        path, taken = self.folder.joinpath(*parts), 0
        file = _create(path, name)
        self.files += 1
        self.arriving += 1

        def write(chunk: bytes) -> None:
            nonlocal taken
            with self._lock:
                if self._removed:
                    raise InputError(f"{name}: the upload was removed")
                self.budget.take(len(chunk), name)
                self.size += len(chunk)
                taken += len(chunk)
            file.write(chunk)

        try:
            with file:
                yield write
            _check_content(path, name)
        except BaseException:
            self._drop(path, taken)
            raise
        finally:
            self.arriving -= 1

    def _drop(self, path: Path, size: int) -> None:
        path.unlink(missing_ok=True)
        self.files -= 1
        with self._lock:
            if not self._removed:  # its bytes were given back already
                self.size -= size
                self.budget.give_back(size)


class _ArchiveFile(io.BufferedReader):
    """An archive whose table of contents is not read where it would fill the memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return bytes, as any file does, but at most those of a table of contents of acceptable length."""
        asked = _DIRECTORY_BYTES + 1 if size is None or size < 0 else size
        data = super().read(min(asked, _DIRECTORY_BYTES + 1))
        if len(data) > _DIRECTORY_BYTES:
            raise TooMuchError(f"the archive holds more than the {LIMITS.upload_files} files that are accepted")
        return data


def _create(path: Path, name: str) -> BinaryIO:
    """Create a file that does not exist, below a folder in which nobody else can make links."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600), "wb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"{name}: a file or folder of this name is there already; rename it") from None


def _check_name(parts: tuple[str, ...], *, archives: bool) -> None:
    """Raise NotAnImageError where the name of a file says that it is of no use, or cannot be read safely."""
    name = parts[-1].lower()
    if name.endswith(_NAMING_OTHERS):
        raise NotAnImageError(
            f"{parts[-1]}: this format can name other files, so the server does not read it; save it as .nii.gz"
        )
    other = name == "dicomdir" or (name.endswith(".zip") and not archives)
    if other or any(part.startswith(".") or part == "__MACOSX" for part in parts):
        raise NotAnImageError(f"{parts[-1]}: is not an image, and was left out")


def _check_content(path: Path, name: str) -> None:
    """Raise NotAnImageError for a file that is neither named like an image nor begins like DICOM."""
    if path.name.lower().endswith((*_IMAGES, ".zip")):
        return
    with open_file(path) as file:
        if not looks_like_dicom(StoredFile(path), file):
            raise NotAnImageError(f"{name}: is not an image in NIfTI, MGH or DICOM, and was left out")
