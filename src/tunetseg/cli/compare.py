"""`tunet compare`."""

from pathlib import Path
from typing import Annotated

import tyro

from tunetseg.cli.options import OptionalOutPath, OptionalPath, optional

__all__ = ["compare"]


def compare(
    tables: Annotated[tuple[Path, ...], tyro.conf.Positional, optional("SCORES.CSV")],
    *,
    scores: tuple[str, ...] = ("dice", "hd95"),
    names: Annotated[tuple[str, ...], optional("NAME")] = (),
    common: bool = False,
    out: OptionalOutPath = None,
    plot: OptionalPath = None,
    report: OptionalPath = None,
) -> None:
    """Compare methods on the same cases: means with intervals, paired tests, the challenge's ranks.

    Each SCORES.CSV is a table that 'tunet evaluate --out' wrote, all with the same rules.

    Args:
        tables: Two tables or more.
        scores: Columns to compare and rank by.
        names: Names of the methods; by default those of their files or folders.
        common: Leave out cases that a table lacks, which may favour the method that failed on them.
        out: JSON file of all results; tables as .md and .tex, in the layout of the paper's, are written next to it.
        plot: PNG file: every case a dot, means with their 95 % intervals.
        report: HTML page that anyone can open without a network: paired differences with intervals and corrected
            tests, distributions, the cases, and the tables to copy.
    """
    from tunetseg.cli.console import table_console
    from tunetseg.cli.tables import print_lines, print_table
    from tunetseg.errors import InputError
    from tunetseg.evaluation.comparison import compare as compare_tables
    from tunetseg.evaluation.comparison import names_of_tables, read_scores
    from tunetseg.evaluation.comparison_text import comparison_lines, comparison_tables, write_comparison
    from tunetseg.evaluation.scores import check_tables_target
    from tunetseg.io.files import check_target, spare_other

    if names and len(names) != len(tables):
        raise InputError(f"--names: {len(names)} names for {len(tables)} tables; give one per table")
    for target, ending in ((out, ".json"), (plot, ".png")):
        if target is not None:
            check_target(target, ending)
    if report is not None:
        from tunetseg.report.pages import check_new_page

        check_new_page(report)
    if out is not None:
        spare_other(out, "comparison", {"rules", "ranks"})
        check_tables_target(out)
    methods = names or names_of_tables(tables)
    score_tables = [read_scores(path, name) for path, name in zip(tables, methods, strict=True)]
    comparison = compare_tables(score_tables, scores=scores, common=common)
    console = table_console()
    for table in comparison_tables(comparison):
        print_table(console, table)
    print_lines(console, comparison_lines(comparison))
    pages = []
    if report is not None:
        from tunetseg.report.comparison_page import write_comparison_page

        pages = [write_comparison_page(comparison, score_tables, report)]
    written = [] if out is None else write_comparison(comparison, out)
    if plot is not None:
        from tunetseg.report.comparison_plot import draw_comparison

        written.append(draw_comparison(comparison, score_tables, plot))
    written += pages
    if written:
        console.print(f"Wrote {', '.join(map(str, written))}.", markup=False, highlight=False)
