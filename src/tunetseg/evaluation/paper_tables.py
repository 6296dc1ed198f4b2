"""Tables in the layout of the paper's Tables 1, 2 and 4, as Markdown and as LaTeX."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunetseg.io.files import whole_file

__all__ = ["PAPER_GROUPS", "latex_table", "markdown_table", "score_table", "write_tables"]

_NAMES = {
    "dice": ("DSC", 100),
    "hd95": ("HD95", 1),
    "lesion_dice": ("lesion-wise DSC", 100),
    "lesion_hd95": ("lesion-wise HD95", 1),
    "dauc": ("DAUC", 100),
    "rftp": ("RFTPs", 100),
    "rftn": ("RFTNs", 100),
    "qu_score": ("Score", 100),
}
"""Heading, and what a score is multiplied by: the paper gives ratios in percent."""

PAPER_GROUPS = (("dice", "hd95"), ("lesion_dice", "lesion_hd95"), ("dauc", "rftp"))
"""Scores that stand together in a table: the paper's Tables 1 and 2, the same lesion by lesion, and its Table 4."""

_REGIONS = {"enhancing": "enh."}


def score_table(
    methods: Mapping[str, Mapping[str, Any]], scores: Sequence[str], *, spread: bool
) -> tuple[list[list[str]], list[list[str]]]:
    """Cells of a table with a row a method and, under each score, a column a region.

    Args:
        methods: Name -> region -> score -> its `Summary`.
        scores: ``("dice", "hd95")`` gives the paper's Tables 1 and 2, ``("dauc", "rftp")`` its Table 4.
        spread: Put the standard deviation in parentheses, as in Table 1.

    Returns:
        Two heading rows and the body; the heading of a score stands over its first region, blanks over the others.
    """
    regions = list(next(iter(methods.values())))
    upper, lower = [""], ["Model"]
    for score in scores:
        upper += [_NAMES.get(score, (score, 1))[0], *[""] * (len(regions) - 1)]
        lower += [_REGIONS.get(region, region) for region in regions]
    body = [
        [name, *(_cell(found[region][score], score, spread) for score in scores for region in regions)]
        for name, found in methods.items()
    ]
    return [upper, lower], body


def write_tables(
    methods: Mapping[str, Mapping[str, Any]], groups: Sequence[Sequence[str]], beside: Path, *, spread: bool = True
) -> list[Path]:
    """Write a table each group of scores, all in one ``.md`` and all in one ``.tex`` beside a file.

    Groups that the methods have no scores of are left out.

    Returns:
        Paths of both files.
    """
    first = next(iter(next(iter(methods.values())).values()))
    tables = [score_table(methods, group, spread=spread) for group in groups if all(name in first for name in group)]
    files = []
    for ending, layout in ((".md", markdown_table), (".tex", latex_table)):
        with whole_file(beside.with_suffix(ending)) as partial:
            partial.write_text("\n".join(layout(heads, body) for heads, body in tables), encoding="utf-8")
        files.append(beside.with_suffix(ending))
    return files


def _cell(summary: Mapping[str, Any], score: str, spread: bool) -> str:
    factor = _NAMES.get(score, (score, 1))[1]
    mean, sd = (float("nan") if summary[key] is None else summary[key] for key in ("mean", "sd"))
    if math.isnan(mean):
        return "-"
    return f"{factor * mean:.2f}" + (f" ({factor * sd:.2f})" if spread and not math.isnan(sd) else "")


def markdown_table(heads: list[list[str]], body: list[list[str]]) -> str:
    """Markdown has one heading row, so each column's heading holds both."""
    upper, lower = heads
    current, joined = "", []
    for above, below in zip(upper, lower, strict=True):
        current = above or current
        joined.append(f"{current} {below}".strip())
    lines = [joined, ["---", *["---:"] * (len(joined) - 1)], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex_table(heads: list[list[str]], body: list[list[str]]) -> str:
    """A tabular with each score's heading over its regions; needs the package booktabs."""
    upper, lower = heads
    starts = [place for place, text in enumerate(upper) if text]
    width = (starts[1] if len(starts) > 1 else len(upper)) - starts[0]
    spans = " & ".join(f"\\multicolumn{{{width}}}{{c}}{{{_escape(upper[place])}}}" for place in starts)
    rules = " ".join(f"\\cmidrule(lr){{{place + 1}-{place + width}}}" for place in starts)
    rows = "".join(f"{' & '.join(map(_escape, row))} \\\\\n" for row in body)
    return (
        f"\\begin{{tabular}}{{l{'r' * (len(lower) - 1)}}}\n\\toprule\n & {spans} \\\\\n{rules}\n"
        f"{' & '.join(map(_escape, lower))} \\\\\n\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n"
    )


def _escape(text: str) -> str:
    return text.replace("\\", r"\textbackslash{}").replace("_", r"\_").replace("%", r"\%").replace("&", r"\&")
