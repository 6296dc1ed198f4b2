"""Where tables are printed."""

import sys

from rich.console import Console

__all__ = ["table_console"]


def table_console() -> Console:
    """Standard output; in a pipe or a file, where nobody's window is the limit, wide enough for every column."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)
