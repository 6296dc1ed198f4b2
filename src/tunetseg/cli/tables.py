"""Draw tables and sentences of scores on a console."""

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tunetseg.evaluation.scores import Scores
from tunetseg.evaluation.text import TextTable, summary_lines, summary_tables

__all__ = ["print_lines", "print_scores", "print_table"]


def print_table(console: Console, table: TextTable) -> None:
    """Print a table; where the window is narrow, names are wrapped and numbers are not."""
    drawn = Table(
        title=escape(table.title) or None, box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False
    )
    for number, column in enumerate(table.columns):
        text = number < table.left
        drawn.add_column(column, justify="left" if text else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(escape, row))
    console.print(drawn)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print sentences, warnings in yellow."""
    for line in lines:
        console.print(line, style="yellow" if line.startswith("WARNING") else None, markup=False, highlight=False)


def print_scores(console: Console, scores: Scores) -> None:
    """Print the means, and what must be known with them."""
    for table in summary_tables(scores.summary):
        print_table(console, table)
    print_lines(console, summary_lines(scores.summary))
