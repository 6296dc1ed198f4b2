"""`tunet train`: flags, help, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunetseg.cli.main import main
from tunetseg.cli.train import parse
from tunetseg.datasets.phantom import write_cohort
from tunetseg.training import find_recipe, read_state

TINY = """
extends = "quick"
name = "tiny"
folds = 2
precision = "32"
stages = [{ spacing = 14.0, patch_size = [16, 16, 16], epochs = 1 }]
[suggested_options]
base_filters = 2
levels = 2
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A command line of a run of seconds."""
    write_cohort(tmp_path / "cohort", cases=2, shape=(32, 40, 28), spacing=7.0)
    (tmp_path / "tiny.toml").write_text(TINY)
    return ["train", str(tmp_path / "cohort"), "--out", str(tmp_path / "run"), "--recipe", str(tmp_path / "tiny.toml")]


def test_flags_reach_the_run(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--network", "tunet", "--base-filters", "3", "--network-options", "coupling=separate", "--fold", "1"]
    assert main([*words, *flags, "--stages.0.epochs", "2", "--run-seed", "5"]) == 0
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["network"] == {"name": "tunet", "options": {"base_filters": 3, "levels": 2, "coupling": "separate"}}
    assert (record["fold"], record["seed"], record["recipe"]["stages"][0]["epochs"]) == (1, 5, 2)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "stage 0, epoch 2 of 2: loss " in shown.err
    assert main([*words, *flags, "--stages.0.epochs", "2", "--run-seed", "5", "--resume"]) == 0


def test_the_named_recipe_presets_the_flags() -> None:
    arguments = parse(["cohort", "--out", "run", "--recipe", "robust", "--ema-decay", "0.5"])
    assert (arguments.settings.ema_decay, arguments.settings.stages) == (0.5, find_recipe("robust").stages)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fold", "first"], "--fold first: give a number from 0 on, or 'all'"),
        (["--network-options", "levels"], "--network-options levels: write it as NAME=VALUE"),
        (["--stages.0.epochs", "0"], "stages[0].epochs is 0; must be 1 or more"),
        (["--network", "unet9"], "unknown network 'unet9'"),
        (["--max-minutes", "0"], "max_minutes is 0; must be above 0"),
    ],
)
def test_bad_input_exits_with_2(
    words: list[str], flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *flags]) == 2
    assert message in capsys.readouterr().err


def test_help_is_short_and_says_where_the_rest_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    short = capsys.readouterr().out
    assert main(["train", "--help-all"]) == 0
    whole = capsys.readouterr().out
    assert "--help-all" in short
    assert "--stages.0.epochs INT" not in short
    assert "--stages.0.augmentation.elastic.probability" in whole
    assert len(short.splitlines()) < 150


def test_help_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; from tunetseg.cli.main import main; main(['train', '--help'])\n"
        "print([name for name in ('torch', 'pytorch_lightning') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_by_signal_exits_with_its_code(words: list[str], tmp_path: Path, number: int, code: int) -> None:
    """Both, and a crash, used to exit with 1 (B6)."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tunetseg", *words, "--stages.0.epochs", "100000"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while ((state := read_state(tmp_path / "run")) is None or state.epoch < 1) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    state = read_state(tmp_path / "run")
    assert state is not None
    assert state.status == "stopped"
    assert "resume the run" in error
