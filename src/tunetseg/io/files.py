"""Writing files so that none that is half-written looks complete."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunetseg.errors import InputError

__all__ = ["SIGNATURE", "check_target", "make_folder", "read_json", "spare_other", "whole_file"]

SIGNATURE = "tunetseg"
"""What is written says so, to be known again: an image in its header's description, a picture as its software."""


def check_target(path: str | Path, ending: str) -> Path:
    """A file to be written, if it can be: asked before the work, so that none is lost for want of a folder.

    Raises:
        InputError: The name does not end so, is a folder's, or lies in a folder that does not exist or cannot be
            written to.
    """
    target = Path(path)
    if target.suffix != ending:
        raise InputError(f"{target}: what is written there is a {ending} file; name it so")
    if target.is_dir() or not target.parent.is_dir():
        what = "is a folder" if target.is_dir() else f"the folder {target.parent} does not exist"
        raise InputError(f"{target}: {what}")
    with _said_if_not_writable(target.parent):
        _try_to_write(target.parent)
    return target


@contextmanager
def _said_if_not_writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); name another --out") from None


def _try_to_write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass


def make_folder(path: str | Path) -> Path:
    """A folder to write to, made if need be: asked before the work, so that none is lost for want of it.

    Raises:
        InputError: It is a file, lies in one, or cannot be made or written to.
    """
    folder = Path(path)
    with _said_if_not_writable(folder):
        blocking = next((place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()), None)
        if blocking is not None:
            raise InputError(f"{blocking}: is a file; name a folder for the results")
        folder.mkdir(parents=True, exist_ok=True)
        _try_to_write(folder)
    return folder


@contextmanager
def whole_file(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """A path to write to, that becomes ``path`` when the block ends and vanishes if it fails.

    Args:
        path: What is to stand there in the end; a file that stands there stays as it is until then.
        durable: Force the content to disk first, so that not even a power cut leaves an empty file.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     target = Path(folder) / "note.txt"
        ...     with whole_file(target) as partial:
        ...         _ = partial.write_text("complete")
        ...         early = target.exists()
        ...     early, target.read_text()
        (False, 'complete')
    """
    target = Path(path)
    # Hidden, in the same folder and with the same ending, which tells some writers what to write.
    partial = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield partial
        if durable:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        with suppress(OSError):  # some writers leave files that only their owner can read; some disks know no modes
            partial.chmod(0o666 & ~mask)
        os.replace(partial, target)
    except OSError as error:
        if error.errno is None or error.filename not in {None, str(partial), partial}:
            raise
        # Libraries that write leave out what they wrote to.
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        with suppress(OSError):  # on a disk that cannot be written to
            partial.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """A manifest or summary; empty where there is none, or another program's file of that name."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def spare_other(path: Path, what: str, keys: set[str]) -> None:
    """A JSON file is written over an earlier one of its kind only: not over a manifest, a recipe or whatever else.

    Args:
        path: What is to be written.
        what: Its kind, for people.
        keys: What tells the kind.

    Raises:
        InputError: Another file is there.
    """
    if path.exists() and not keys <= read_json(path).keys():
        raise InputError(f"{path}: is no {what}, and one would be written over it; name another --out")
