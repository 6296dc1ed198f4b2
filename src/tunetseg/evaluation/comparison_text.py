"""A comparison for people: tables on the screen, JSON, Markdown and LaTeX files."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tunetseg.evaluation.comparison import Comparison
from tunetseg.evaluation.paper_tables import write_tables
from tunetseg.evaluation.tables import write_json

__all__ = ["print_comparison", "write_comparison"]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 2 else "right", overflow="fold")
    return table


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print a table a score, the paired tests and the ranks."""
    names = list(comparison.methods)
    regions = comparison.methods[names[0]]
    count = len(comparison.facts["cases"])
    for score in next(iter(regions.values())):
        digits = 2 if score in {"hd95", "hd100", "assd", "lesion_hd95"} else 3
        table = _table(f"{score}, {count} cases", "region", "method", "mean ± SD", "95 % interval", "median", "n")
        for region in regions:
            for name in names:
                found = comparison.methods[name][region][score]
                low, high = found["ci95"]
                table.add_row(
                    region,
                    escape(name),
                    f"{found['mean']:.{digits}f} ± {found['sd']:.{digits}f}",
                    f"{low:.{digits}f} to {high:.{digits}f}",
                    f"{found['median']:.{digits}f}",
                    str(found["n"]),
                )
        console.print(table)
    tests = _table("paired Wilcoxon tests", "score, region", "methods", "median difference", "n", "p", "p (Holm)")
    for test in comparison.tests:
        tests.add_row(
            f"{test['score']}, {test['region']}",
            escape(f"{test['first']} - {test['second']}"),
            f"{test['median_difference']:+.3f}",
            str(test["n"]),
            f"{test['p']:.2g}",
            f"{test['p_holm']:.2g}",
        )
    console.print(tests)
    ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in sorted(comparison.ranks.items(), key=lambda item: item[1]))
    console.print(f"Mean rank over cases, regions and scores, 1 is best: {ranks}.", markup=False, highlight=False)
    if comparison.facts["left_out"]:
        lacking = "; ".join(f"{name} lacks {len(cases)}" for name, cases in comparison.facts["left_out"].items())
        console.print(f"WARNING: cases that not all have were left out: {lacking}.", style="yellow", markup=False)


def write_comparison(comparison: Comparison, out: Path) -> list[Path]:
    """Write all facts as JSON, and the methods' means and deviations as Markdown and LaTeX tables beside it."""
    write_json(comparison.facts, out)
    regions = next(iter(comparison.methods.values()))
    return [out, *write_tables(comparison.methods, [list(next(iter(regions.values())))], out)]
