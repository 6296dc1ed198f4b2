"""``tunet study`` and ``tunet status``: what they show, and what they refuse."""

import json
from pathlib import Path

import pytest

from tunetseg.cli.main import main


@pytest.fixture
def words(mri_cohort: Path, tmp_path: Path) -> list[str]:
    """A command line that plans two models."""
    words = ["study", str(mri_cohort), "--out", str(tmp_path / "study"), "--networks", "tunet:levels=2:base_filters=2"]
    return [*words, "--folds", "2", "--threads", "1"]


def test_a_dry_run_shows_the_plan_and_what_would_be_submitted(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--dry-run", "--test", "other"]) == 0
    shown = capsys.readouterr().out
    assert "2 models: tunet-levels=2-base_filters=2; plan in" in shown
    assert "sbatch --parsable --array=0-1 " in shown
    assert "--test" in (tmp_path / "study/jobs/then.txt").read_text()
    assert main(["study", "--out", str(tmp_path / "study"), "--dry-run"]) == 0


def test_status_as_a_table_and_as_json(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*words, "--dry-run"])
    logs = tmp_path / "study/logs"
    (logs / "tunet-levels=2-base_filters=2-fold-1.log").write_text("error: the disk is gone\n")
    capsys.readouterr()
    assert main(["status", str(tmp_path / "study")]) == 0
    shown = capsys.readouterr().out
    assert "1 waiting, 1 failed" in shown
    assert "fold-1: the disk is gone" in shown
    assert main(["status", str(tmp_path / "study"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [model["status"] for model in found] == ["waiting", "failed"]


def test_watching_ends_when_all_is_over(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main([*words, "--dry-run"])

    def finish(seconds: float) -> None:
        for fold in (0, 1):
            run = tmp_path / f"study/models/tunet-levels=2-base_filters=2/fold-{fold}"
            run.mkdir(parents=True)
            (run / "model.safetensors").touch()

    monkeypatch.setattr("time.sleep", finish)
    assert main(["status", str(tmp_path / "study"), "--watch"]) == 0
    assert "2 waiting" in (shown := capsys.readouterr().out)
    assert "2 finished" in shown


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--networks", "tunet:levels"], "--networks levels: write it as NAME=VALUE"),
        (["--networks", "tunt"], "unknown network 'tunt'"),
        (["--folds", "9"], "4 patients cannot be split into 9 folds"),
    ],
)
def test_wrong_input(words: list[str], flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    kept = words[: words.index(flags[0])] + words[words.index(flags[0]) + 2 :] if flags[0] in words else words
    assert main([*kept, *flags, "--dry-run"]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path)]) == 2
    assert main(["study", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("is not the folder of a study") == 2


def test_a_model_that_fails_is_named(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunetseg.studies.run.run_tasks", lambda tasks, **settings: {task.name: 1 for task in tasks})
    assert main(words) == 2
    assert "2 of 2 models are not finished" in capsys.readouterr().err
