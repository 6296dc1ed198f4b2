"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from tunetseg.errors import InputError
from tunetseg.io.files import spare_other, whole_file


def test_a_disk_that_knows_no_modes_keeps_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one mounted for another user does."""

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with whole_file(tmp_path / "scores.csv") as partial:
        partial.write_text("all of it")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["all of it"]


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    def write_half(path: Path) -> None:
        with whole_file(path) as partial:
            partial.write_text("half")
            raise RuntimeError

    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "a.txt")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_only_its_own_kind_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    spare_other(path, "summary", {"rules"})
    path.write_text('{"rules": {}, "more": 1}')
    spare_other(path, "summary", {"rules"})
    for other in ('{"case": "a"}', "[]", "no JSON"):
        path.write_text(other)
        with pytest.raises(InputError, match="is no summary"):
            spare_other(path, "summary", {"rules"})
