"""Tables of text on pages, with the texts to copy them as."""

from dataclasses import dataclass

from tunetseg.evaluation.paper_tables import csv_table, latex_table, markdown_table
from tunetseg.evaluation.text import TextTable

__all__ = ["CopyTable", "copy_table"]


@dataclass(frozen=True)
class CopyTable:
    """A table and its texts.

    Args:
        title: Heading.
        table: Shown.
        texts: Name of a format and the table in it.
    """

    title: str
    table: TextTable
    texts: tuple[tuple[str, str], ...]


def copy_table(table: TextTable) -> CopyTable:
    """Return a table with its texts as CSV, Markdown and LaTeX.

    Examples:
        >>> copy_table(TextTable("mean ± SD", ("region", "Dice"), (("whole", "0.9 ± 0.1"),))).texts[0]
        ('CSV', 'region,Dice\\nwhole,0.9 ± 0.1\\n')
    """
    heads, body = [table.columns], table.rows
    texts = (
        ("CSV", csv_table(heads, body)),
        ("Markdown", markdown_table(heads, body, left=table.left)),
        ("LaTeX", latex_table(heads, body, left=table.left)),
    )
    return CopyTable(table.title, table, texts)
