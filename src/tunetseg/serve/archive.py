"""A folder as a zip archive that is made while it is sent, so that it takes no room on the disk."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["zip_stream"]

_CHUNK = 2**20


class _Outlet:
    """A file that cannot be sought in and gives away what was written to it."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes, /) -> int:
        """Take bytes."""
        self.written += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: all is given away by `take`."""

    def close(self) -> None:
        """Do nothing."""

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data = bytes(self.written)
        self.written.clear()
        return data


def zip_stream(folder: Path) -> Iterator[bytes]:
    """Yield the zip archive of all files below a folder; they are compressed images, so they are stored as they are.

    Args:
        folder: Names in the archive count from here.

    Examples:
        >>> import io, tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     _ = (Path(name) / "a.txt").write_text("text")
        ...     packed = b"".join(zip_stream(Path(name)))
        >>> zipfile.ZipFile(io.BytesIO(packed)).namelist()
        ['a.txt']
    """
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(file for file in folder.rglob("*") if file.is_file()):
            info = zipfile.ZipInfo.from_file(path, path.relative_to(folder).as_posix())
            with path.open("rb") as file, archive.open(info, "w", force_zip64=True) as packed:
                while chunk := file.read(_CHUNK):
                    packed.write(chunk)
                    yield outlet.take()
        # The table of contents is written when the archive is closed.
    yield outlet.take()
