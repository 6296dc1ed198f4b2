"""The state of a run as a file."""

import json
from pathlib import Path

from tunetseg.training import read_state
from tunetseg.training.state import Scores, StateFile


def test_a_state_is_written_whole_and_read_back(tmp_path: Path) -> None:
    state = StateFile(tmp_path, stages=3, max_minutes=5.0)
    assert read_state(tmp_path) is None, "nothing before the first update"
    best = Scores(stage=1, epoch=4, loss=-0.5, dice={"whole": 0.8})
    state.update(stage=1, epoch=4, epochs=9, best=best)
    found = read_state(tmp_path)
    assert found == state.state
    raw = json.loads((tmp_path / "state.json").read_text())
    assert (raw["status"], raw["stages"], raw["best"]["dice"]) == ("running", 3, {"whole": 0.8})
    assert raw["updated"].endswith("+00:00")
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_only_one_of_several_processes_writes(tmp_path: Path) -> None:
    StateFile(tmp_path, enabled=False).update(epoch=1)
    assert not any(tmp_path.iterdir())


def test_a_damaged_state_is_none(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"status": "dreaming"}')
    assert read_state(tmp_path) is None
