"""What the command line shows: tables on standard output; log lines and progress on standard error."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tunetseg.progress import Progress as ProgressFunction

__all__ = ["shown", "table_console"]


def table_console() -> Console:
    """Return standard output as a console; in a pipe or a file it is wide enough for every column."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


class _Lines(logging.Handler):
    """Log records as lines above the progress bars."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage() if record.levelno < logging.WARNING else f"warning: {record.getMessage()}"
        style = "yellow" if record.levelno >= logging.WARNING else None
        self.console.print(line, markup=False, highlight=False, soft_wrap=True, style=style)


@contextmanager
def shown() -> Iterator[ProgressFunction]:
    """Show the log lines of the library on standard error, and a bar per task on a terminal.

    Yields:
        The function that library calls report progress to.
    """
    console = Console(stderr=True)
    logger = logging.getLogger("tunetseg")
    handler, level, propagate = _Lines(console), logger.level, logger.propagate
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def report(task: str, completed: float, total: float, /) -> None:
            if task not in tasks:
                for name in [
                    name for name, number in tasks.items() if bars.tasks[bars.task_ids.index(number)].finished
                ]:
                    bars.remove_task(tasks.pop(name))
                tasks[task] = bars.add_task(task, total=total)
            bars.update(tasks[task], completed=completed, total=total)

        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield report
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
