"""The command line as a person meets it: exit codes, sentences, what is said where."""

import errno
import json
import logging
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tunetseg import __version__
from tunetseg.cli.main import COMMANDS, main
from tunetseg.datasets.phantom import make_for, write_cohort, write_patient
from tunetseg.errors import InputError, Terminated


@pytest.fixture(scope="module")
def patient(mri_cohort: Path) -> Path:
    return next(mri_cohort.rglob("BraTS19_PHA_0_1"))


def command(monkeypatch: pytest.MonkeyPatch, run: Callable[[], None]) -> None:
    """Let ``tunet info`` do something else."""
    monkeypatch.setitem(sys.modules, "tunetseg.cli.info", SimpleNamespace(info=run))


def fails(monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> int:
    def info() -> None:
        raise fault

    command(monkeypatch, info)
    return main(["info"])


# Help.


def test_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main(["-h"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert "not a medical device" in text
    assert main([]) == 2
    assert capsys.readouterr().out in text
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tunet {__version__}\n"


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_is_fast_and_needs_no_torch(name: str | None) -> None:
    """In seconds of the processor, as a machine that is busy with other work needs longer."""
    words = [name, "--help"] if name else ["--help"]
    code = (
        "import sys\n"
        "from tunetseg.cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    limit = 0.3 if name is None else 0.5
    seconds: list[float] = []
    while len(seconds) < 4 and min(seconds, default=limit) >= limit:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        assert "usage: tunet" in done.stdout
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < limit


@pytest.mark.parametrize("name", COMMANDS)
def test_o_is_short_for_out(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    words = capsys.readouterr().out.replace(",", " ").split()
    assert ("-o" in words) == ("--out" in words)


def test_o_is_read(tmp_path: Path, patient: Path) -> None:
    words = [str(next(patient.glob("*_seg.nii.gz")))] * 2
    assert main(["evaluate", *words, "-o", str(tmp_path / "scores.csv")]) == 0
    assert (tmp_path / "scores.csv").is_file()


# Exit codes.


@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        (InputError("a.nii: empty; copy it again"), 2, "error: a.nii: empty; copy it again"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated(), 143, "terminated"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 1, "error: /x/y: No space left on device; check"),
        (OSError(errno.EIO, "Input/output error"), 1, "error: reading or writing: Input/output error; check the disk"),
        (OSError("odd"), 1, "error: odd"),
        (
            ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib"),
            1,
            "error: this command needs matplotlib, which is not installed; run: pip install 'tunetseg[plot]'",
        ),
        (ModuleNotFoundError("No module named 'x'", name="x"), 1, "run: pip install 'x'"),
    ],
)
def test_exit_codes(
    fault: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(monkeypatch, fault) == code
    said = capsys.readouterr()
    assert line in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_bug_is_called_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(monkeypatch, ZeroDivisionError("division by zero")) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.endswith("error: ZeroDivisionError: division by zero; this is a bug, please report it\n")


def test_a_reader_that_stops_reading_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fails(monkeypatch, BrokenPipeError(errno.EPIPE, "Broken pipe")) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("leaving", "code"), [(0, 0), (None, 0), (3, 3), ("text", 2)])
def test_the_parser_may_leave(leaving: int | str | None, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fails(monkeypatch, SystemExit(leaving)) == code


@pytest.mark.parametrize(
    ("stop", "code", "line"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_a_command_and_leaves_nothing(
    stop: signal.Signals,
    code: int,
    line: str,
    patient: Path,
    make_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    # Thousands of windows: it would take minutes.
    slow = make_model(tmp_path / "slow.safetensors", spacing=2.0, patch_size=(8, 8, 8), whole_volume=False)
    # A process in the background of a shell ignores SIGINT otherwise.
    code_line = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from tunetseg.cli.main import run; run()"
    )
    words = ["segment", str(patient), "--out", str(tmp_path / "out"), "--model", str(slow), "--device", "cpu"]
    call = [sys.executable, "-c", code_line, *words]
    with subprocess.Popen(call, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        time.sleep(0.3)
        process.send_signal(stop)
        try:
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert first.startswith("1 case, 1 model, ")
    assert (process.returncode, error, out) == (code, f"{line}\n", "")
    assert not list((tmp_path / "out").iterdir())


# Bad usage.


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["segment", "{patient}", "--out", "{out}", "--model", "nothing"], "model 'nothing': not a packaged model"),
        (["segment", "{patient}", "--out", "{out}", "--device", "tpu"], "device 'tpu': cannot be used here"),
        (["segment", "{patient}", "--out", "{out}", "--labels", "1999"], "unknown label values '1999'; choose a year"),
        (["segment", "{patient}", "--out", "{out}", "--dataset", "1999"], "unknown dataset '1999'; choose from"),
        (["segment", "{patient}", "--out", "{out}", "--overlap", "1"], "overlap 1.0: must be at least 0 and below 1"),
        (["segment", "--out", "{out}"], "give either folders of patients, before any --model, or one file per channel"),
        (["segment", "{out}", "--out", "{out}"], "there is no such folder"),
        (["segment", "", "--out", "{out}"], "an argument is empty"),
        (["segment", "{patient}", "--out", ""], "an argument is empty"),
        (["segment", "{patient}", "--out="], "an argument is empty"),
        (["segment", "{patient}", "--no-report", "\x1b[2J"], "the argument \\x1b[2J holds control characters"),
        (["segment", "{patient}", "--out", "{out}", "--model", "a", "--model", "b"], "--model is given twice"),
        (["segment", "{patient}", "--out", "{out}", "--model=a", "--model", "b"], "--model is given twice"),
        (["segment", "{patient}"], "--out"),
        (["segment", "{patient}", "--out", "{out}", "--nonsense"], "--nonsense"),
        (["evaluate", "{out}", "{patient}"], "{out}"),
        (["train", "{patient}", "--out", "{out}", "--recipe", "nope"], "unknown recipe 'nope'; choose from"),
        (["train", "{patient}", "--out", "{out}", "--network", "nope"], "unknown network 'nope'; choose from tunet"),
        (["train", "{patient}", "--out", "{out}", "--fold", "x"], "--fold x: give a number"),
        (["train", "{patient}", "--out", "{out}", "--recipe"], "--recipe"),
        (["demo", "--out", "{out}", "--seed", "-1"], "--seed -1: must be 0 or more"),
        (["dance"], "unknown command 'dance'; choose from segment, prepare, inspect, train"),
        (["--dance"], "unknown command '--dance'"),
    ],
)
def test_bad_usage_is_a_sentence_and_exit_code_2(
    words: list[str], sentence: str, patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([word.format(patient=patient, out=out) for word in words]) == 2
    said = capsys.readouterr()
    assert sentence.format(out=out) in said.err
    assert "Traceback" not in said.err
    assert not out.exists() or not list(out.iterdir())


def test_where_results_cannot_go(
    patient: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out in ("file", "file/sub"):
        for words in (["segment", str(patient), "--model", str(tiny_model)], ["demo"]):
            assert main([*words, "--out", str(tmp_path / out)]) == 2
            assert f"{tmp_path / 'file'}: is a file; choose a folder" in capsys.readouterr().err


# State of the process.


def test_no_handler_and_no_level_is_left(patient: Path, tiny_model: Path, tmp_path: Path) -> None:
    logger = logging.getLogger("tunetseg")
    before = (list(logger.handlers), logger.level, logger.propagate, list(logging.getLogger().handlers))
    words = ["segment", str(patient), "--out", str(tmp_path / "out"), "--model", str(tiny_model)]
    assert main(words) == 0
    assert main([*words, "--labels", "kits19"]) == 2
    assert (list(logger.handlers), logger.level, logger.propagate, list(logging.getLogger().handlers)) == before


def test_every_field_of_a_recipe_is_a_flag(tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    write_cohort(cohort, cases=2, shape=(24, 24, 16), spacing=10.0)
    words = "--folds 2 --network-options base_filters=2 levels=2 --stages.0.augmentation.noise.std 0.3 "
    for stage in range(3):
        words += f"--stages.{stage}.epochs 1 --stages.{stage}.spacing 14 --stages.{stage}.patch-size 12 16 12 "
    run = tmp_path / "run"
    assert main(["train", str(cohort), "--out", str(run), *words.split()]) == 0
    record = json.loads((run / "recipe.json").read_text())
    assert record["folds"] == 2
    assert record["stages"][0]["augmentation"]["noise"]["std"] == 0.3
    patient = write_patient(make_for("brats2020", 5, shape=(24, 24, 16), spacing=10.0), tmp_path / "new")
    assert main(["segment", str(patient), "--out", str(tmp_path / "out"), "--model", str(run)]) == 0
    assert len(list((tmp_path / "out").glob("*.json"))) == 1
