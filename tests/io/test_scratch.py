"""Hidden folders, what killed processes leave of them, and locks."""

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tunetseg.errors import InputError
from tunetseg.io.scratch import hidden_name, locked, remove_leftovers, scratch_folder


def test_a_scratch_folder_disappears(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as aside:
        (aside / "file").write_text("x")
        assert aside.parent == tmp_path
        assert aside.name.startswith(".")
        remove_leftovers(tmp_path)
        assert aside.is_dir(), "its process lives"
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    mine = hidden_name()
    host = mine.split("-")[1]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    old, of_others = f".tunetseg-{host}-{ended.pid}-0123", ".tunetseg-0123ab-1-0123"
    for name in (
        f"{mine}.a.csv",
        f"{old}.a.csv",
        f"{of_others}.new",
        f"{of_others}.old",
        ".tunetseg-x",
        ".other",
        "a.csv",
    ):
        (tmp_path / name).write_text("text")
    (tmp_path / f"{old}.folder").mkdir()
    (tmp_path / f"{old}.folder/part").write_text("text")
    os.utime(tmp_path / f"{of_others}.old", (0, 0))
    remove_leftovers(tmp_path)
    kept = {f"{mine}.a.csv", f"{of_others}.new", ".tunetseg-x", ".other", "a.csv"}
    assert {path.name for path in tmp_path.iterdir()} == kept
    remove_leftovers(tmp_path / "nothing")


def test_a_lock(tmp_path: Path) -> None:
    with locked(tmp_path):
        with (
            pytest.raises(InputError, match="another process is writing results there; wait until it ends"),
            locked(tmp_path),
        ):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [".tunetseg.lock"]
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass


def test_numbers_of_processes_are_those_of_one_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers may share a name and a volume, and each has a process 1 of its own."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[1]")
    of_another = tmp_path / hidden_name().replace(f"-{os.getpid()}-", f"-{ended.pid}-")
    of_another.write_text("text")
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[2]")
    remove_leftovers(tmp_path)
    assert of_another.exists()
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[1]")
    remove_leftovers(tmp_path)
    assert not of_another.exists()


def test_what_earlier_versions_left_is_removed_after_a_day(tmp_path: Path) -> None:
    old = tmp_path / f".tunetseg-{hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]}-{os.getpid()}-01.a.csv"
    old.write_text("text")
    remove_leftovers(tmp_path)
    assert old.exists()
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path)
    assert not old.exists()
