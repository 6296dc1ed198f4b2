"""Checksums inside safetensors files, so that a damaged file is found when it is opened."""

import hashlib
import re
from pathlib import Path
from typing import BinaryIO

from tunetseg.errors import InputError
from tunetseg.io.bounded import open_file

__all__ = ["SEAL", "check_seal", "seal"]

SEAL = "file_sha256"
"""Key of the checksum in the JSON object that such a file's header carries as text."""

_BLANK = "0" * 64
_MARK = re.compile(rb'file_sha256\\": \\"([0-9a-f]{64})')
_LONGEST_HEADER = 100_000_000
"""Of safetensors."""


def seal(path: Path) -> None:
    """Write the checksum of a file into its header, where a key `SEAL` of 64 zeros is kept free.

    The checksum is the SHA-256 of the whole file with these zeros.

    Raises:
        ValueError: The header keeps no place free.
    """
    with path.open("r+b") as file:
        header = _header(file)
        place = _MARK.search(header)
        if place is None or place[1] != _BLANK.encode():
            raise ValueError(f"{path}: no place for a checksum")
        digest = _digest(header, file)
        file.seek(place.start(1))
        file.write(digest.encode())


def check_seal(path: str | Path) -> None:
    """Raise InputError where a file is not as it was written; one without a checksum is not judged."""
    with open_file(path) as file:
        header = _header(file)
        place = _MARK.search(header)
        if place is None:
            return
        blank = header[: place.start(1)] + _BLANK.encode() + header[place.end(1) :]
        if _digest(blank, file).encode() != place[1]:
            raise InputError(f"{path}: damaged, its checksum is not that of its content; copy it again")


def _header(file: BinaryIO) -> bytes:
    """First bytes of a file up to the end of its header; fewer where the file is no such file."""
    length = int.from_bytes(file.read(8), "little")
    file.seek(0)
    return file.read(8 + min(length, _LONGEST_HEADER))


def _digest(header: bytes, file: BinaryIO) -> str:
    """SHA-256 of a header and of what follows it in the file."""
    digest = hashlib.sha256(header)
    while piece := file.read(1 << 22):
        digest.update(piece)
    return digest.hexdigest()
