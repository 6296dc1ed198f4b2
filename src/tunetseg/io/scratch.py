"""Hidden folders for files that are not complete, and what killed processes leave of them; one process per folder."""

import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tunetseg.errors import InputError

__all__ = ["locked", "remove_leftovers", "scratch_folder"]

_ABANDONED_SECONDS = 24 * 3600
"""Age from which a hidden folder of another computer is a leftover, as nobody can tell whether its process lives."""
_HIDDEN = re.compile(r"\.tunetseg-(?P<host>.*)-(?P<process>\d+)-[^-]*")


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64]


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Give a hidden folder in a folder, which disappears when the block ends.

    Its name says which process on which computer it belongs to, so that `remove_leftovers` knows those of killed
    processes.

    Args:
        folder: Where files are moved to once they are complete.
    """
    prefix = f".tunetseg-{_host()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder, ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)


def remove_leftovers(folder: Path) -> int:
    """Remove the hidden folders of `scratch_folder` whose process does not live any more.

    Args:
        folder: Where to look, not in the folders below it.

    Returns:
        Count of folders that were removed.
    """
    removed = 0
    for place in folder.glob(".tunetseg-*"):
        name = _HIDDEN.fullmatch(place.name)
        if name is None or not place.is_dir() or place.is_symlink():
            continue
        if _lives(name["host"], int(name["process"]), place):
            continue
        shutil.rmtree(place, ignore_errors=True)
        removed += not place.exists()
    return removed


def _lives(host: str, process: int, place: Path) -> bool:
    if host != _host():
        with suppress(OSError):
            return time.time() - place.stat().st_mtime < _ABANDONED_SECONDS
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@contextmanager
def locked(folder: Path, part: str = "") -> Iterator[None]:
    """Keep every other process out of a folder that is written to; the system releases the lock of a killed process.

    Args:
        folder: Must exist.
        part: Processes of one run that write different files there have locks of their own, by this name.

    Raises:
        InputError: Another process holds the lock.
    """
    path = folder / f".tunetseg{part and '-'}{part}.lock"
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{folder}: another process is writing results there; wait until it ends, or choose another folder"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # while it is still locked, so that nobody holds a lock on a file that is gone
            path.unlink()
        lock.release()
