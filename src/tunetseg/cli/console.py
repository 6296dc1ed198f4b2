"""What the command line shows: results on standard output; log lines and progress on standard error."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from tunetseg.cli.text import printable
from tunetseg.progress import Progress as ProgressFunction

__all__ = ["line_console", "shown", "table_console"]


class _SafeConsole(Console):
    """A console on which no text has control characters."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def table_console() -> Console:
    """Return standard output for tables; in a pipe or a file it is wide enough for every column."""
    return _SafeConsole(highlight=False, width=None if sys.stdout.isatty() else 200)


def line_console() -> Console:
    """Return standard output for lines of text, which are not wrapped and hold no markup."""
    return _SafeConsole(highlight=False, markup=False, soft_wrap=True)


class _LogLines(logging.Handler):
    """Log records as lines above the progress bars."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        warning = record.levelno >= logging.WARNING
        line = f"warning: {record.getMessage()}" if warning else record.getMessage()
        self.console.print(line, markup=False, highlight=False, soft_wrap=True, style="yellow" if warning else None)


class _Bars:
    """A progress function that draws one bar per task that is not done."""

    def __init__(self, display: Progress) -> None:
        self.display = display
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, task: str, completed: float, total: float, /) -> None:
        if task not in self.tasks:
            self.tasks[task] = self.display.add_task(printable(task), total=total)
        self.display.update(self.tasks[task], completed=completed, total=total)
        if completed >= total:
            self.display.remove_task(self.tasks.pop(task))
            self.display.refresh()  # at once, so that no line on standard output is written across the bar


@contextmanager
def shown() -> Iterator[ProgressFunction]:
    """Show the log lines of the library on standard error, and a bar per task if that is a terminal.

    Yields:
        The function that library calls report progress to.
    """
    console = _SafeConsole(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    display = Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,  # results stay on standard output, where they may be piped to
        disable=not console.is_terminal,
    )
    with display, _logging_to(_LogLines(console)):
        yield _Bars(display)


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("tunetseg")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
