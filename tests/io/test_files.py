"""Files appear complete or not at all, also when other threads and processes write them at the same time."""

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunetseg.errors import InputError
from tunetseg.io.files import (
    check_target,
    make_folder,
    read_json,
    spare_other,
    whole_file,
    written_together,
)


def test_a_disk_without_modes_keeps_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk mounted for another user refuses chmod."""

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with whole_file(tmp_path / "scores.csv") as partial:
        partial.write_text("all of it")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["all of it"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_failure_leaves_the_old_file(tmp_path: Path, durable: bool) -> None:
    def write_half(path: Path) -> None:
        with whole_file(path, durable=durable) as partial:
            partial.write_text("half")
            raise RuntimeError

    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "a.txt")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_threads_do_not_take_each_others_file(tmp_path: Path) -> None:
    """Partial files used to be named by the process alone, so that one thread renamed another's (B12)."""
    contents = [f"{number} " * 500 for number in range(8)]
    together = threading.Barrier(len(contents))

    def write(content: str) -> None:
        for _ in range(25):
            together.wait(timeout=10)
            with whole_file(tmp_path / "scores.csv") as partial:
                partial.write_text(content)
                assert partial.read_text() == content

    with ThreadPoolExecutor(len(contents)) as pool:
        for done in [pool.submit(write, content) for content in contents]:
            done.result()
    assert (tmp_path / "scores.csv").read_text() in contents
    assert len(list(tmp_path.iterdir())) == 1


def test_two_hosts_of_equal_process_ids_have_files_of_their_own(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.txt") as one, whole_file(tmp_path / "a.txt") as other:
        assert one != other
        assert one.suffix == other.suffix == ".txt"
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a.txt").read_text() == "one"


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_new_files_have_the_users_mode_and_the_mask_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int
) -> None:
    before = os.umask(mask)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the mask belongs to the whole process"))
        with whole_file(tmp_path / "a.txt") as partial:
            partial.write_text("x")
            partial.chmod(0o600)  # as some libraries do
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask


def test_durable_files_are_flushed_before_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("flush"), fsync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("rename"), replace(*paths))[1])
    with whole_file(tmp_path / "a.txt", durable=True) as partial:
        partial.write_text("x")
    assert order == ["flush", "rename", "flush"]


def test_long_names_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 125 + ".csv")  # 254 bytes, of 255 that file systems allow
    with whole_file(target) as partial:
        partial.write_text("x")
    assert target.read_text() == "x"


def test_errors_name_the_target(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "a.txt"
    with pytest.raises(FileNotFoundError) as caught, whole_file(target):
        pytest.fail("there is no folder to write to")
    assert caught.value.filename == str(target)


def test_only_its_own_kind_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    spare_other(path, "summary", {"rules"})
    path.write_text('{"rules": {}, "more": 1}')
    spare_other(path, "summary", {"rules"})
    for other in ('{"case": "a"}', "[]", "no JSON"):
        path.write_text(other)
        with pytest.raises(InputError, match="is not a summary"):
            spare_other(path, "summary", {"rules"})


def test_json_of_another_kind_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert read_json(path) == {}
    path.write_text("[1]")
    assert read_json(path) == {}
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_targets_are_checked_before_the_work(tmp_path: Path) -> None:
    assert check_target(tmp_path / "a.csv", ".csv") == tmp_path / "a.csv"
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder.csv").mkdir()
    for path, fault in (("a.txt", "ends in .csv"), ("folder.csv", "is a folder"), ("no/a.csv", "does not exist")):
        with pytest.raises(InputError, match=fault):
            check_target(tmp_path / path, ".csv")


def test_folders_are_made_where_no_file_is(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert not list((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file; choose a folder"):
        make_folder(tmp_path / "file" / "b")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tunetseg.io.files.tempfile.TemporaryFile", refuse)
    for check in (lambda: make_folder(tmp_path), lambda: check_target(tmp_path / "a.csv", ".csv")):
        with pytest.raises(InputError, match=r"cannot be written to \(Permission denied\)"):
            check()


# Several files


def test_files_appear_together(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("old")
    with written_together(tmp_path) as aside:
        for name in ("a.csv", "b.json"):
            (aside / name).write_text("new")
        assert (tmp_path / "b.json").read_text() == "old"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "new", "b.json": "new"}


def test_a_failure_leaves_all_old_files(tmp_path: Path) -> None:
    """A full disk between the table and the summary left a new table with an old summary."""
    (tmp_path / "b.json").write_text("old")

    def write_half(aside: Path) -> None:
        (aside / "a.csv").write_text("new")
        raise OSError(28, "No space left on device", str(aside / "b.json"))

    with pytest.raises(OSError, match="No space left") as caught, written_together(tmp_path) as aside:
        write_half(aside)
    assert caught.value.filename == str(tmp_path / "b.json"), "the hidden folder is gone"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b.json": "old"}
