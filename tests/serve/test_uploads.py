"""What is accepted: names, kinds, sizes, archives."""

import asyncio
import gzip
import io
import struct
import zipfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunetseg.errors import InputError
from tunetseg.limits import LIMITS
from tunetseg.serve.uploads import Budget, NotAnImageError, TooMuchError, Uploads, safe_parts


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    (tmp_path / "patient").mkdir()
    return Uploads(tmp_path / "patient", Budget(100_000), most_files=5)


def add(uploads: Uploads, name: str, data: bytes, announced: int = 0) -> None:
    async def content() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]

    # In a thread, as Playwright leaves a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, uploads.add(name, content(), announced)).result()


def archive(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return packed.getvalue()


def stored(uploads: Uploads) -> set[str]:
    return {path.relative_to(uploads.folder).as_posix() for path in uploads.folder.rglob("*") if path.is_file()}


def nothing(done: int, total: int) -> None:
    """Do not cancel."""


WILD = ["../t1.nii.gz", "a/../../t1.nii.gz", "/etc/t1.nii.gz", "a//t1.nii.gz", "..\\t1.nii.gz", "C:/t1.nii.gz", "", "."]


@pytest.mark.parametrize("name", WILD)
def test_names_that_lead_out(uploads: Uploads, name: str) -> None:
    with pytest.raises(InputError, match="leads out of the upload"):
        add(uploads, name, b"data")
    assert stored(uploads) == set()
    assert [path.name for path in uploads.folder.parent.iterdir()] == ["patient"]


@pytest.mark.parametrize("name", ["a\0.nii.gz", "a\n.nii.gz", "a" * 300, "a/" * (LIMITS.upload_depth + 1) + "b"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError):
        safe_parts(name)


def test_a_file_is_stored_for_its_owner_only(uploads: Uploads) -> None:
    add(uploads, "anna/t1.nii.gz", b"data")
    assert (uploads.folder / "anna/t1.nii.gz").read_bytes() == b"data"
    assert (uploads.folder / "anna/t1.nii.gz").stat().st_mode & 0o077 == 0
    assert (uploads.files, uploads.size, uploads.budget.used) == (1, 4, 4)
    assert uploads.place == uploads.folder / "anna"


def test_the_same_name_again(uploads: Uploads) -> None:
    add(uploads, "a/t1.nii.gz", b"data")
    for name in ("a/t1.nii.gz", "a/t1.nii.gz/t2.nii.gz"):
        with pytest.raises(InputError, match="is there already"):
            add(uploads, name, b"other")
    assert (uploads.folder / "a/t1.nii.gz").read_bytes() == b"data"


def test_too_large(uploads: Uploads) -> None:
    add(uploads, "t1.nii.gz", bytes(60_000))
    for announced in (0, 50_000):
        with pytest.raises(TooMuchError, match=r"t2\.nii\.gz: all files together would be larger than 0\.0001 GB"):
            add(uploads, "t2.nii.gz", bytes(50_000), announced)
    assert stored(uploads) == {"t1.nii.gz"}
    assert (uploads.files, uploads.size, uploads.budget.used) == (1, 60_000, 60_000)
    uploads.remove()
    assert (uploads.budget.used, uploads.folder.exists()) == (0, False)
    with pytest.raises(InputError, match="was removed"):
        add(uploads, "t2.nii.gz", b"late")


def test_too_many(uploads: Uploads) -> None:
    for number in range(5):
        add(uploads, f"{number}.nii.gz", b"data")
    with pytest.raises(TooMuchError, match="is one file too many; at most 5 are accepted"):
        add(uploads, "6.nii.gz", b"data")


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("notes.txt", b"text", "is not an image"),
        ("preparation.json", b"{}", "is not an image"),
        ("IM0001", b"no DICOM" * 100, "is not an image"),
        (".DS_Store", b"x", "was left out"),
        ("t1.nhdr", b"NRRD0004\ndata file: /etc/passwd\n", "can name other files"),
        ("t1.mha", b"ElementDataFile = /etc/passwd", "can name other files"),
    ],
)
def test_kinds_that_are_not_read(uploads: Uploads, name: str, data: bytes, sentence: str) -> None:
    with pytest.raises(NotAnImageError, match=sentence):
        add(uploads, name, data)
    assert (stored(uploads), uploads.files, uploads.budget.used) == (set(), 0, 0)


def test_dicom_by_its_content(uploads: Uploads) -> None:
    add(uploads, "IM0001", bytes(128) + b"DICM" + bytes(100))
    assert stored(uploads) == {"IM0001"}


def test_an_archive_is_unpacked_once(uploads: Uploads) -> None:
    inner = archive(("t2.nii.gz", b"data"))
    add(uploads, "anna.zip", archive(("x/t1.nii.gz", b"data"), ("x/notes.txt", b"text"), ("x/more.zip", inner)))
    uploads.unpack(nothing)
    assert stored(uploads) == {"anna/x/t1.nii.gz"}
    assert (uploads.files, uploads.size, uploads.left_out) == (1, 4, 2)
    assert uploads.place == uploads.folder / "anna/x"
    uploads.unpack(nothing)
    assert uploads.files == 1


@pytest.mark.parametrize("name", ["../t1.nii.gz", "/t1.nii.gz", "a/../../../t1.nii.gz"])
def test_an_archive_with_names_that_lead_out(uploads: Uploads, name: str) -> None:
    add(uploads, "anna.zip", archive((name, b"data")))
    with pytest.raises(InputError, match="leads out of the upload"):
        uploads.unpack(nothing)
    assert [path.name for path in uploads.folder.parent.iterdir()] == ["patient"]


def test_a_zip_bomb(uploads: Uploads) -> None:
    """By what it claims, and where it claims too little by what it holds."""
    bomb = archive(("t1.nii.gz", bytes(10_000_000)))
    assert len(bomb) < 20_000
    add(uploads, "bomb.zip", bomb)
    with pytest.raises(TooMuchError, match=r"bomb\.zip: all files together would be larger"):
        uploads.unpack(nothing)
    assert uploads.budget.used == len(bomb)
    lying = bomb.replace(struct.pack("<I", 10_000_000), struct.pack("<I", 10))
    add(uploads, "a-liar.zip", lying)
    with pytest.raises(InputError, match=r"a-liar\.zip: not a zip archive, or damaged"):
        uploads.unpack(nothing)
    assert stored(uploads) == {"bomb.zip", "a-liar.zip"}


def test_an_archive_of_too_many_files(uploads: Uploads) -> None:
    add(uploads, "many.zip", archive(*((f"{number}.nii.gz", b"") for number in range(6))))
    with pytest.raises(TooMuchError, match="holds 6 files; at most 5 are accepted"):
        uploads.unpack(nothing)


def test_an_archive_whose_table_of_contents_fills_the_memory(tmp_path: Path) -> None:
    """Entries of the table that all name one member."""
    whole = archive(("a", b""))
    start, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    count = 2 * 512 * LIMITS.upload_files // (end - start)
    table = whole[start:end] * count
    last = bytearray(whole[end:])
    last[8:12], last[12:16] = b"\xfe\xff" * 2, struct.pack("<I", len(table))
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient/many.zip").write_bytes(whole[:start] + table + last)
    with pytest.raises(TooMuchError, match="holds more than the 20000 files"):
        Uploads(tmp_path / "patient", Budget()).unpack(nothing)


def test_a_damaged_archive(uploads: Uploads) -> None:
    add(uploads, "anna.zip", gzip.compress(b"no zip"))
    with pytest.raises(InputError, match=r"anna\.zip: not a zip archive"):
        uploads.unpack(nothing)


def test_an_encrypted_archive(uploads: Uploads) -> None:
    data = bytearray(archive(("t1.nii.gz", b"data")))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    add(uploads, "anna.zip", bytes(data))
    with pytest.raises(InputError, match=r"anna\.zip: encrypted"):
        uploads.unpack(nothing)
