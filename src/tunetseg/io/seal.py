"""Checksums inside safetensors and ONNX files, so that a damaged file is found when it is opened."""

import hashlib
import re
from pathlib import Path

from tunetseg.errors import InputError
from tunetseg.io.bounded import open_file

__all__ = ["SEAL", "check_seal", "seal"]

SEAL = "file_sha256"
"""Key of the checksum: of the JSON object in a safetensors file's header, or of a property of an ONNX file."""

_BLANK = b"0" * 64
_MARK = re.compile(rb'file_sha256(?:\\": \\"|\x12@)([0-9a-f]{64})')
"""In the text of a safetensors file's header, and among the properties of an ONNX file."""


def seal(path: Path) -> None:
    """Write the checksum of a file into it, where a key `SEAL` of 64 zeros is kept free.

    The checksum is the SHA-256 of the whole file with these zeros.

    Raises:
        ValueError: No place is kept free.
    """
    content = path.read_bytes()
    place = _MARK.search(content)
    if place is None or place[1] != _BLANK:
        raise ValueError(f"{path}: no place for a checksum")
    with path.open("r+b") as file:
        file.seek(place.start(1))
        file.write(hashlib.sha256(content).hexdigest().encode())


def check_seal(path: str | Path) -> None:
    """Raise InputError where a file is not as it was written; one without a checksum is not judged."""
    with open_file(path) as file:
        content = memoryview(file.read())
    place = _MARK.search(content)
    if place is None:
        return
    digest = hashlib.sha256(content[: place.start(1)])
    digest.update(_BLANK)
    digest.update(content[place.end(1) :])
    if digest.hexdigest().encode() != place[1]:
        raise InputError(f"{path}: damaged, its checksum is not that of its content; copy it again")
