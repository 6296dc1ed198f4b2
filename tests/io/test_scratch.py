"""Hidden folders, what killed processes leave of them, and locks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunetseg.errors import InputError
from tunetseg.io.scratch import locked, remove_leftovers, scratch_folder


def gone() -> int:
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_scratch_folder_disappears(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as aside:
        (aside / "file").write_text("x")
        assert aside.parent == tmp_path
        assert aside.name.startswith(".")
        assert remove_leftovers(tmp_path) == 0, "its process lives"
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_dead_processes_are_removed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as aside:
        own = aside.name
    host = own.removeprefix(".tunetseg-").split(f"-{os.getpid()}-")[0]
    dead, foreign, old = (
        tmp_path / f".tunetseg-{host}-{gone()}-abc",
        tmp_path / ".tunetseg-elsewhere-1-abc",
        tmp_path / ".tunetseg-elsewhere-2-abc",
    )
    others = tmp_path / ".tunetseg-notes", tmp_path / "visible"
    for folder in (dead, foreign, old, *others):
        folder.mkdir()
        (folder / "file").write_text("x")
    os.utime(old, (0, 0))
    assert remove_leftovers(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {foreign.name, *(path.name for path in others)}


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
