"""Writing files so that none that is half-written looks complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole_file"]


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
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
