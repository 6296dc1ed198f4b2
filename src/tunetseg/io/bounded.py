"""Open and read files that users name, without waiting and without taking more memory than is sensible."""

import csv
import errno
import gzip
import io
import json
import os
import stat
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tunetseg.errors import InputError
from tunetseg.limits import LIMITS

__all__ = ["check_file", "inflate", "open_file", "parse_json", "read_csv", "read_text", "read_toml"]

_CHUNK = 2**22
_GZIP = b"\x1f\x8b"


def open_file(path: str | Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        InputError: It is not there, cannot be opened, or is not a file but a folder, a pipe or a device, which are not
            waited for.
    """
    try:
        # Without O_NONBLOCK, a pipe that nobody writes to would be waited for.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {_reason(error)}") from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise InputError(f"{path}: is {_kind(mode)}, not a file; name a file")
    return os.fdopen(handle, "rb")


def _reason(error: OSError | ValueError) -> str:
    reasons = {
        errno.ENOENT: "there is no such file",
        errno.ENOTDIR: "there is no such file",
        errno.ELOOP: "is a link that leads to itself; repair or remove it",
        errno.ENAMETOOLONG: "the name is longer than file systems allow; choose a shorter one",
        errno.EACCES: "permission denied; change its permissions",
        errno.ENXIO: "is a pipe or a device, not a file; name a file",
    }
    number = error.errno if isinstance(error, OSError) else None
    return reasons.get(number or 0) or f"cannot be read ({getattr(error, 'strerror', None) or error})"


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")


def check_file(path: str | Path) -> int:
    """Return the size in bytes of a file that others will open.

    Raises:
        InputError: As from `open_file`.
    """
    with open_file(path) as file:
        return os.fstat(file.fileno()).st_size


def read_text(path: str | Path) -> str:
    """Return the text of a UTF-8 file, with or without a byte-order mark.

    Raises:
        InputError: The file cannot be read, is too large for a text, or is not UTF-8.
    """
    with open_file(path) as file:
        raw = file.read(LIMITS.text_bytes + 1)
    if len(raw) > LIMITS.text_bytes:
        raise InputError(
            f"{path}: is larger than {LIMITS.text_bytes >> 20} MiB, so it is not the text file it should be"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file in UTF-8") from None


def parse_json(text: str | bytes) -> Any:
    """Return what JSON text holds.

    Raises:
        ValueError: It is invalid, nested too deeply, or holds an integer beyond 64 bits.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) < 21 else 2**64
    if not -(2**63) <= number < 2**64:
        raise ValueError("a whole number of more than 64 bits")
    return number


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        InputError: The file cannot be read or is invalid.
    """
    text = read_text(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: invalid TOML ({error})") from None
    except (RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{path}: invalid TOML ({reason})") from None
    _check_integers(path, content)
    return content


def _check_integers(path: str | Path, content: Any) -> None:
    """Raise InputError where a number has more than 64 bits."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise InputError(f"{path}: invalid TOML (a whole number of more than 64 bits)")


def read_csv(path: str | Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of a CSV file and its rows, each of which has a cell for every column.

    Raises:
        InputError: The file cannot be read, or a row has more or fewer cells than the first line.
    """
    lines = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        columns = next(lines, [])
        rows = [row for row in lines if row]
    except csv.Error as error:
        raise InputError(f"{path}: not a table of cells separated by commas ({error})") from None
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != len(columns)), None)
    if wrong is not None:
        raise InputError(
            f"{path}: row {wrong} has {len(rows[wrong - 1])} cells, but there are {len(columns)} columns; the file "
            "is cut off or was changed"
        )
    return columns, [dict(zip(columns, row, strict=True)) for row in rows]


def inflate(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of a gzip file in pieces of at most 4 MiB; of any other file likewise.

    Raises:
        EOFError, OSError, zlib.error: The compressed data are damaged or cut off; known at the latest after the last
            piece, when the checksum is compared.
    """
    start = file.read(2)
    file.seek(0)
    stream: Any = gzip.GzipFile(fileobj=file) if start == _GZIP else file
    try:
        while piece := stream.read(_CHUNK):
            yield piece
    except zlib.error as error:
        raise OSError(str(error)) from None
