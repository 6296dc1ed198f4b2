"""Hidden files and folders that are not complete, and what killed processes leave of them; one process per folder."""

import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tunetseg.errors import InputError

__all__ = ["hidden_name", "locked", "remove_leftovers", "scratch_folder"]

_HIDDEN = ".tunetseg-"
_LEFTOVER = re.compile(r"\.tunetseg-([0-9a-f]{6})-([0-9]{1,9})-")
_DAY = 24 * 3600.0
"""Age from which what another computer or container began is a leftover, as its processes cannot be seen."""


def hidden_name() -> str:
    """Name of a file or folder that is being written by this process."""
    return f"{_HIDDEN}{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def _host() -> str:
    """Digest of what makes process numbers comparable: the computer since it was started, and the container."""
    facts = [socket.gethostname()]  # which containers may share, with a number 1 in each
    with suppress(OSError):  # only Linux has these files
        facts += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:6]


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder.

    Of processes of this computer or container it is known whether they still run; what others began is left alone for
    a day.
    """
    for place in folder.glob(f"{_HIDDEN}*"):
        with suppress(OSError):
            match = _LEFTOVER.match(place.name)
            if match is None or (match[1] == _host() and _runs(int(match[2]))):
                continue
            if match[1] != _host() and time.time() - place.lstat().st_mtime < _DAY:
                continue
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    if os.name != "posix":  # there, signal 0 is not harmless
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Give a hidden folder in a folder, which disappears when the block ends.

    Args:
        folder: Where files are moved to once they are complete.
    """
    aside = folder / hidden_name()
    try:
        aside.mkdir(mode=0o700)
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


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
