"""Tables in the layout of the paper's Tables 1, 2 and 4, and any tables as CSV, Markdown and LaTeX."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunetseg.io.files import whole_file
from tunetseg.metrics import SCORES

__all__ = ["PAPER_GROUPS", "csv_table", "latex_table", "markdown_table", "score_table", "write_tables"]

PAPER_GROUPS = (("dice", "hd95"), ("lesion_dice", "lesion_hd95"), ("dauc", "rftp"))
"""Scores that stand together in a table: the paper's Tables 1 and 2, the same by lesion, and its Table 4."""

_REGIONS = {"enhancing": "enh."}
"""Headings that the paper shortens."""


def score_table(
    methods: Mapping[str, Mapping[str, Any]], scores: Sequence[str], *, spread: bool
) -> tuple[list[list[str]], list[list[str]]]:
    """Return the cells of a table with one row per method and, under each score, one column per region.

    Args:
        methods: Name -> region -> score -> its `Summary`.
        scores: ``("dice", "hd95")`` gives the paper's Tables 1 and 2, ``("dauc", "rftp")`` its Table 4.
        spread: Add the standard deviation in parentheses, as in Table 1.

    Returns:
        Two rows of headings and the body; the heading of a score stands over its first region, blanks over the others.
    """
    regions = list(next(iter(methods.values())))
    upper, lower = [""], ["Model"]
    for score in scores:
        upper += [SCORES[score].paper_title or SCORES[score].title, *[""] * (len(regions) - 1)]
        lower += [_REGIONS.get(region, region) for region in regions]
    body = [
        [name, *(_cell(summaries[region][score], score, spread) for score in scores for region in regions)]
        for name, summaries in methods.items()
    ]
    return [upper, lower], body


def write_tables(methods: Mapping[str, Mapping[str, Any]], groups: Sequence[Sequence[str]], path: Path) -> list[Path]:
    """Write one table per group of scores, all in one ``.md`` and all in one ``.tex`` file.

    Args:
        methods: Name -> region -> score -> its `Summary`.
        groups: Scores of each table; groups that the methods do not have are left out.
        path: The files are called like it, with other endings.

    Returns:
        Paths of both files.
    """
    first = next(iter(next(iter(methods.values())).values()))
    tables = [score_table(methods, group, spread=True) for group in groups if all(name in first for name in group)]
    files = []
    for ending, layout in ((".md", markdown_table), (".tex", latex_table)):
        with whole_file(path.with_suffix(ending)) as partial:
            partial.write_text("\n".join(layout(heads, body) for heads, body in tables), encoding="utf-8")
        files.append(path.with_suffix(ending))
    return files


def _cell(summary: Mapping[str, Any], score: str, spread: bool) -> str:
    factor = 100 if SCORES[score].percent else 1
    mean, sd = (float("nan") if summary[key] is None else summary[key] for key in ("mean", "sd"))
    if math.isnan(mean):
        return "-"
    return f"{factor * mean:.2f}" + (f" ({factor * sd:.2f})" if spread and not math.isnan(sd) else "")


def _joined(heads: Sequence[Sequence[str]]) -> list[str]:
    """Return one row of headings, each of which holds score and region."""
    if len(heads) == 1:
        return list(heads[0])
    current, joined = "", []
    for above, below in zip(*heads, strict=True):
        current = above or current
        joined.append(f"{current} {below}".strip())
    return joined


def csv_table(heads: Sequence[Sequence[str]], body: Sequence[Sequence[str]]) -> str:
    """Return a CSV table with one row of headings.

    Args:
        heads: One row of headings, or two, as from `score_table`.
        body: Rows of cells.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_joined(heads), *body])
    return text.getvalue()


def markdown_table(heads: Sequence[Sequence[str]], body: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return a Markdown table; it has one row of headings, so that each holds score and region.

    Args:
        heads: One row of headings, or two, as from `score_table`.
        body: Rows of cells.
        left: Number of columns, from the first on, that are aligned to the left.

    Examples:
        >>> print(markdown_table([["", "DSC"], ["Model", "whole"]], [["a|b", "90.00"]]), end="")
        | Model | DSC whole |
        | --- | ---: |
        | a\\|b | 90.00 |
    """
    joined = _joined(heads)
    escaped = [[_escape_markdown(cell) for cell in line] for line in (joined, *body)]
    lines = [escaped[0], [*["---"] * left, *["---:"] * (len(joined) - left)], *escaped[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex_table(heads: Sequence[Sequence[str]], body: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return a LaTeX tabular with each score's heading over its regions; needs the package booktabs.

    Args:
        heads: One row of headings, or two, as from `score_table`.
        body: Rows of cells.
        left: Number of columns, from the first on, that are aligned to the left.
    """
    *spanning, lower = heads
    above = "".join(_spans(upper) for upper in spanning)
    rows = "".join(f"{' & '.join(map(_escape_latex, row))} \\\\\n" for row in body)
    return (
        f"\\begin{{tabular}}{{{'l' * left}{'r' * (len(lower) - left)}}}\n\\toprule\n{above}"
        f"{' & '.join(map(_escape_latex, lower))} \\\\\n\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n"
    )


def _spans(upper: Sequence[str]) -> str:
    """Return the row of headings that stand over several columns each, with a line under each."""
    starts = [column for column, text in enumerate(upper) if text]
    width = (starts[1] if len(starts) > 1 else len(upper)) - starts[0]
    spans = " & ".join(f"\\multicolumn{{{width}}}{{c}}{{{_escape_latex(upper[column])}}}" for column in starts)
    rules = " ".join(f"\\cmidrule(lr){{{column + 1}-{column + width}}}" for column in starts)
    return f" & {spans} \\\\\n{rules}\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "#$%&_{}"},
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _escape_markdown(text: str) -> str:
    """Escape what would end a cell or begin markup."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text.replace("\n", " "))
