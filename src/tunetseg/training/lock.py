"""One writer per run folder, on any computer that sees the folder. Light: torch is not imported here.

The lock is a file `.lock-N` that says who holds it and whose time of change is renewed every few seconds, by a thread.
A process that finds the holder gone makes `.lock-(N+1)`, which only one process can; so a lock is never taken away
from under a process that is alive, however many look at it at the same time. No clock is compared with another
computer's: a holder elsewhere is gone if its file does not change while this process waits.
"""

import errno
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec
from msgspec import Struct

from tunetseg.errors import InputError
from tunetseg.io.files import whole_file
from tunetseg.io.scratch import hidden_name

__all__ = ["STALE", "Holder", "RunLock", "job_name", "read_holder", "sign_of_life"]

_LOG = logging.getLogger(__name__)

BEAT = 10.0
"""Seconds between two signs of life."""

STALE = 120.0
"""Seconds without a sign of life after which a holder on another computer is gone."""

_NAME = ".lock-"


class Holder(Struct, frozen=True, kw_only=True):
    """Who holds a run folder.

    Args:
        host: Name of the computer.
        pid: Process.
        job: Job of the scheduler, if any.
        machine: Identity of the running system, in which process numbers have a meaning; empty where unknown.
        began: When the process began, in ticks of that system; 0 where unknown.
        released: Whether it has given the folder back.
    """

    host: str
    pid: int
    job: str | None = None
    machine: str = ""
    began: int = 0
    released: bool = False

    @property
    def alive(self) -> bool | None:
        """Whether the process is there; None where that cannot be told from here."""
        if self.released:
            return False
        if not self.machine or self.machine != _machine():
            return None
        return _begin_of(self.pid) == self.began

    @property
    def described(self) -> str:
        """Who it is, in words."""
        return f"process {self.pid} on {self.host}" + (f", job {self.job}" if self.job else "")


def read_holder(folder: str | Path) -> Holder | None:
    """Return who holds a run folder, or held it last; None where nobody has or its file is damaged."""
    latest = _latest(Path(folder))
    return None if latest is None else _read(_path(Path(folder), latest))


def sign_of_life(folder: str | Path) -> float:
    """Return when the holder of a run folder gave its last sign of life, by the clock of the folder; 0 for never."""
    latest = _latest(Path(folder))
    return 0.0 if latest is None else _mark(_path(Path(folder), latest))[0] / 1e9


def job_name() -> str | None:
    """Return the job of the scheduler that this process belongs to, as its commands take it."""
    given = os.environ
    if "SLURM_ARRAY_JOB_ID" in given:
        return f"{given['SLURM_ARRAY_JOB_ID']}_{given.get('SLURM_ARRAY_TASK_ID', '')}"
    return given.get("SLURM_JOB_ID") or given.get("PBS_JOBID") or given.get("LSB_JOBID")


class RunLock:
    """Keeps every other process out of a run folder while the context is entered.

    Args:
        folder: The run folder, which exists.

    Raises:
        InputError: On entering: another process holds the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = -1
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "RunLock":
        """Take the lock, from a holder that is gone if need be."""
        while True:
            latest = _latest(self.folder)
            if latest is not None:
                self._refuse_if_held(latest)
            number = 0 if latest is None else latest + 1
            if self._create(number):
                break
        self._number = number
        for other in _numbers(self.folder):
            if other < number:
                _path(self.folder, other).unlink(missing_ok=True)
        self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back; its file stays, so that numbers only rise."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        path = _path(self.folder, self._number)
        with suppress(OSError):
            if _latest(self.folder) != self._number:
                return
            try:
                _write(path, _own(released=True))
            except OSError:  # a full disk still takes what fits into the place of the old content
                with path.open("r+b") as file:
                    file.write(msgspec.json.encode(_own(released=True)))
                    file.truncate()

    def check(self) -> None:
        """Raise InputError where another process has taken the folder, after this one gave no sign of life.

        To be called before anything is written that the other would read.
        """
        latest = _latest(self.folder)
        if latest is not None and latest > self._number:
            other = _read(_path(self.folder, latest))
            who = "another process" if other is None else other.described
            raise InputError(f"{self.folder}: was taken over by {who}; this process wrote nothing more")

    def _create(self, number: int) -> bool:
        """Make the file of a number; return False where another process was faster."""
        path = _path(self.folder, number)
        partial = path.with_name(hidden_name())
        try:
            partial.write_bytes(msgspec.json.encode(_own()))
            try:
                os.link(partial, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}:
                    raise
                try:
                    with path.open("xb") as file:  # the file system has no links
                        file.write(msgspec.json.encode(_own()))
                except FileExistsError:
                    return False
        finally:
            partial.unlink(missing_ok=True)
        if _latest(self.folder) == number:
            return True
        path.unlink(missing_ok=True)  # the list of files was an old one
        return False

    def _refuse_if_held(self, number: int) -> None:
        path = _path(self.folder, number)
        holder = _read(path)
        alive = None if holder is None else holder.alive
        if holder is None and not path.exists():
            return  # removed by the next holder, whom the next look finds
        if alive is None:
            alive = _shows_life(path, "a process" if holder is None else holder.described)
        if alive:
            who = "another process" if holder is None else f"another process ({holder.described})"
            raise InputError(f"{self.folder}: {who} is training there; wait, or choose another folder")
        if holder is not None and not holder.released:
            _LOG.warning("%s: %s is gone; continuing in its place", self.folder, holder.described)

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            with suppress(OSError):  # a disk that is away for a while
                os.utime(_path(self.folder, self._number))


def _shows_life(path: Path, who: str) -> bool:
    """Return whether the file of a holder that cannot be seen from here changes before long."""
    mark, end = _mark(path), time.monotonic() + STALE
    _LOG.info("%s: held by %s; waiting up to %.0f s for a sign of life", path.parent, who, STALE)
    while time.monotonic() < end:
        time.sleep(min(1.0, STALE / 10))
        if _mark(path) != mark:
            holder = _read(path)
            return holder is None or not holder.released
    return False


def _mark(path: Path) -> tuple[int, int]:
    """Return what changes with each sign of life. The file is opened, as network file systems then ask the server."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            return found.st_mtime_ns, found.st_ino
    except OSError:
        return 0, 0


def _own(*, released: bool = False) -> Holder:
    pid = os.getpid()
    return Holder(
        host=socket.gethostname(),
        pid=pid,
        job=job_name(),
        machine=_machine(),
        began=_begin_of(pid) or 0,
        released=released,
    )


def _machine() -> str:
    """Return the identity of the running system and of the name space of process numbers in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _begin_of(pid: int) -> int | None:
    """Return when a process of this system began, in its ticks; None where there is none or it has ended."""
    try:
        # The name of the program, in parentheses, may hold anything.
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else int(fields[18])


def _path(folder: Path, number: int) -> Path:
    return folder / f"{_NAME}{number}"


def _numbers(folder: Path) -> list[int]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [int(name[len(_NAME) :]) for name in names if name.startswith(_NAME) and name[len(_NAME) :].isdecimal()]


def _latest(folder: Path) -> int | None:
    return max(_numbers(folder), default=None)


def _read(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(path: Path, holder: Holder) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(msgspec.json.encode(holder))
