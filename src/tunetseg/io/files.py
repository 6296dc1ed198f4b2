"""Check where results go before the work begins, and write files so that none that is half-written looks complete."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tunetseg.errors import InputError
from tunetseg.io.bounded import parse_json, read_text
from tunetseg.io.scratch import hidden_name, remove_leftovers, scratch_folder

__all__ = [
    "SIGNATURE",
    "check_target",
    "make_folder",
    "read_json",
    "spare_other",
    "whole_file",
    "written_together",
]

SIGNATURE = "tunetseg"
"""Mark of the files that this package writes, such as the description in an image's header."""


def check_target(path: str | Path, ending: str) -> Path:
    """Check that a file can be written, before the work whose result it will hold.

    Args:
        path: File to be written later.
        ending: Required ending of its name, such as ``.csv``.

    Returns:
        The path.

    Raises:
        InputError: The name has another ending or is that of a folder, or its folder does not exist or cannot be
            written to.
    """
    target = Path(path)
    if target.suffix != ending:
        raise InputError(f"{target}: the result is a {ending} file; choose a name that ends in {ending}")
    if target.is_dir():
        raise InputError(f"{target}: is a folder; choose the name of a file in it")
    if not target.parent.is_dir():
        raise InputError(f"{target}: the folder {target.parent} does not exist; create it first")
    with _input_error_if_not_writable(target.parent):
        _try_to_write(target.parent)
    return target


@contextmanager
def _input_error_if_not_writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); choose another folder") from None


def _try_to_write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass


def make_folder(path: str | Path) -> Path:
    """Create a folder for results if it does not exist, and check that it can be written to.

    Files that processes which were killed left half-written in it are removed.

    Returns:
        The path.

    Raises:
        InputError: The path or one of its parents is a file, or the folder cannot be created or written to.
    """
    folder = Path(path)
    with _input_error_if_not_writable(folder):
        blocking = next((place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()), None)
        if blocking is not None:
            raise InputError(f"{blocking}: is a file; choose a folder for the results")
        folder.mkdir(parents=True, exist_ok=True)
        _try_to_write(folder)
    remove_leftovers(folder)
    return folder


@contextmanager
def whole_file(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a path to write to that becomes ``path`` when the block ends, and disappears if the block fails.

    Any number of threads, processes and hosts may write the same file at the same time: each has a partial file of
    its own, and the last to end leaves its content.

    Args:
        path: Final name. A file of that name stays as it is until the block ends.
        durable: Force the content to the disk first, so that even a power cut leaves the old file or the new one.

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
    # In the same folder and with the same ending, from which some libraries take the format. Cut where the whole name
    # would be longer than file systems allow (255 bytes).
    partial = target.with_name(f"{hidden_name()}.{target.name[-50:]}")
    try:
        mode = _create(partial)
        yield partial
        with suppress(OSError):  # some libraries leave files that only their owner can read; some disks have no modes
            partial.chmod(mode)
        if durable:
            _flush(partial)
        os.replace(partial, target)
        if durable:
            with suppress(OSError):  # not every system lets a folder be opened
                _flush(target.parent)
    except OSError as error:
        if error.errno is None or error.filename not in {None, str(partial), partial}:
            raise
        # Libraries leave out which file they wrote; the partial file's name would say nothing to the reader.
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        with suppress(OSError):  # on a disk that can no longer be written to
            partial.unlink(missing_ok=True)


@contextmanager
def written_together(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write files to; they move into ``folder`` together when the block ends.

    If the block fails, none of them appears, and earlier files of their names stay as they are.

    Args:
        folder: Where the files go.
    """
    aside = folder
    try:
        with scratch_folder(folder) as aside:
            yield aside
            for file in sorted(aside.iterdir()):
                os.replace(file, folder / file.name)
    except OSError as error:
        if error.errno is None or not str(error.filename).startswith(str(aside)):
            raise
        place = Path(str(error.filename))
        raise OSError(error.errno, error.strerror, str(folder / place.name if place != aside else folder)) from error


def _create(path: Path) -> int:
    """Create an empty file that did not exist; return the mode that the user's mask gives to new files."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return os.fstat(handle).st_mode & 0o777
    finally:
        os.close(handle)


def _flush(path: Path) -> None:
    """Force a file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; empty where there is no such file or it holds something else."""
    try:
        content = parse_json(read_text(path))
    except ValueError:  # InputError too
        return {}
    return content if isinstance(content, dict) else {}


def spare_other(path: Path, what: str, keys: set[str]) -> None:
    """Refuse to overwrite a file that is not an earlier result of the same kind.

    Args:
        path: JSON file to be written.
        what: Kind of the result, for the message.
        keys: Keys by which a file of that kind is recognised.

    Raises:
        InputError: The file exists and is of another kind.
    """
    if os.path.lexists(path) and not keys <= read_json(path).keys():
        raise InputError(f"{path}: is not a {what} and would be overwritten by one; choose another name")
