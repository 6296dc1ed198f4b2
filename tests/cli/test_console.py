"""What goes to standard output and what to standard error, and bars that come and go."""

import io
import logging

import pytest
from rich.console import Console
from rich.progress import Progress

from tunetseg.cli.console import _Bars, line_console, shown, table_console

LOG = logging.getLogger("tunetseg.somewhere")


def state() -> tuple[list[logging.Handler], int, bool]:
    logger = logging.getLogger("tunetseg")
    return list(logger.handlers), logger.level, logger.propagate


def test_log_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 60 + "[red]end"
    with shown() as progress:
        LOG.debug("not shown")
        LOG.info("%d cases", 3)
        LOG.warning(long)
        progress("work", 1, 2)
        progress("work", 2, 2)
    said = capsys.readouterr()
    assert said.err == f"3 cases\nwarning: {long}\n"
    assert said.out == "", "no bar where there is no terminal"


def test_logging_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    before = state()
    with shown():
        assert state() != before
        with shown():
            LOG.info("nested")
    assert state() == before
    with pytest.raises(KeyboardInterrupt), shown():
        raise KeyboardInterrupt
    assert state() == before
    capsys.readouterr()
    LOG.warning("after")
    assert "after" not in capsys.readouterr().out


def test_results_stay_on_standard_output_while_bars_are_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output may be a file while standard error is a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with shown() as progress:
        progress("anna", 0.0, 1.0)
        progress("anna", 1.0, 1.0)
        print("result")
        LOG.info("line")
    said = capsys.readouterr()
    assert said.out == "result\n"
    assert "anna" in said.err
    assert "line" in said.err


def bars() -> tuple[_Bars, Progress]:
    console = Console(file=io.StringIO(), force_terminal=True)
    display = Progress(console=console, auto_refresh=False)
    return _Bars(display), display


def test_one_bar_per_task_until_it_is_done() -> None:
    progress, display = bars()
    progress("a", 0, 4)
    progress("b", 1, 2)
    progress("a", 3, 4)
    assert [(task.description, task.completed, task.total) for task in display.tasks] == [("a", 3, 4), ("b", 1, 2)]
    progress("a", 4, 4)
    assert [task.description for task in display.tasks] == ["b"]
    progress("b", 2, 2)
    assert display.tasks == []


def test_a_task_of_the_same_name_begins_again() -> None:
    progress, display = bars()
    for _ in range(3):
        progress("epoch", 1, 2)
        progress("epoch", 2, 2)
    assert display.tasks == []
    progress("epoch", 1, 5)
    assert [(task.completed, task.total) for task in display.tasks] == [(1, 5)]


def test_a_total_may_change_or_be_zero() -> None:
    progress, display = bars()
    progress("a", 1, 2)
    progress("a", 2, 8)
    assert [(task.completed, task.total) for task in display.tasks] == [(2, 8)]
    progress("b", 0, 0)
    assert [task.description for task in display.tasks] == ["a"]


def test_consoles_for_results(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 150 + " [bold]y"
    line_console().print(long)
    assert capsys.readouterr().out == f"{long}\n"
    assert table_console().width == 200
