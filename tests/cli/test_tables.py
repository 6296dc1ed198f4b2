"""Tables and sentences on a console."""

import os

from rich.console import Console

from tunetseg.cli.tables import print_lines, print_table
from tunetseg.evaluation.text import TextTable


def printed(width: int, table: TextTable) -> str:
    with open(os.devnull, "w") as nowhere:
        console = Console(width=width, record=True, file=nowhere)
        print_table(console, table)
    return console.export_text()


def test_markup_in_names_is_text_and_nothing_is_cut():
    table = TextTable("a [title]", ("region", "method", "n"), (("whole", "[red]my method[/red] of all", "12"),), left=2)
    text = printed(80, table)
    assert "a [title]" in text
    assert "[red]my method[/red] of all" in text
    assert "…" not in printed(20, table)


def test_warnings_are_coloured():
    with open(os.devnull, "w") as nowhere:
        console = Console(width=80, record=True, file=nowhere, force_terminal=True)
        print_lines(console, ["Rules [x].", "WARNING: bad."])
    lines = console.export_text(styles=True).splitlines()
    assert lines[0] == "Rules [x]."
    assert lines[1].startswith("\x1b[33mWARNING")
