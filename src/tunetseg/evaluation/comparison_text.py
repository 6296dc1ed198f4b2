"""A comparison as text: tables and sentences for a screen, and JSON, Markdown and LaTeX files."""

import math
from collections.abc import Sequence
from pathlib import Path

from tunetseg.evaluation.comparison import Comparison
from tunetseg.evaluation.paper_tables import write_tables
from tunetseg.evaluation.tables import write_json
from tunetseg.evaluation.text import TextTable, format_number
from tunetseg.metrics import SCORES

__all__ = ["comparison_lines", "comparison_tables", "interval_text", "write_comparison"]


def comparison_tables(comparison: Comparison) -> list[TextTable]:
    """Return one table per score, and one of the paired tests."""
    first = next(iter(comparison.methods.values()))
    scores = list(next(iter(first.values())))
    return [*(_score_table(comparison, score) for score in scores), _tests_table(comparison)]


def _score_table(comparison: Comparison, name: str) -> TextTable:
    score = SCORES[name]
    regions = next(iter(comparison.methods.values()))
    rows = []
    for region in regions:
        for method, summaries in comparison.methods.items():
            summary = summaries[region][name]
            mean, sd, low, high, median = (
                format_number(value, score.digits)
                for value in (summary["mean"], summary["sd"], *summary["ci95"], summary["median"])
            )
            rows.append((region, method, f"{mean} ± {sd}", f"{low} to {high}", median, str(summary["n"])))
    return TextTable(
        f"{score.heading}, {len(comparison.facts['cases'])} cases",
        ("region", "method", "mean ± SD", "95 % interval", "median", "n"),
        tuple(rows),
        left=2,
    )


def _tests_table(comparison: Comparison) -> TextTable:
    rows = tuple(
        (
            f"{SCORES[test['score']].title}, {test['region']}",
            f"{test['first']} - {test['second']}",
            f"{test['mean_difference']:+.3f}",
            interval_text(test["ci95"], 3),
            f"{test['median_difference']:+.3f}",
            str(test["n"]),
            f"{test['p']:.2g}",
            f"{test['p_holm']:.2g}",
        )
        for test in comparison.tests
    )
    return TextTable(
        "paired Wilcoxon tests",
        ("score, region", "methods", "mean difference", "95 % interval", "median difference", "n", "p", "p (Holm)"),
        rows,
        left=2,
    )


def interval_text(interval: Sequence[float], digits: int) -> str:
    """Return both ends of an interval of differences with their signs; a dash where there is none.

    Examples:
        >>> interval_text((-0.1, 0.25), 2)
        '-0.10 to +0.25'
    """
    low, high = interval
    return "-" if math.isnan(low) else f"{low:+.{digits}f} to {high:+.{digits}f}"


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return the ranks, and which cases failed or were left out; warnings begin with ``WARNING``."""
    ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in sorted(comparison.ranks.items(), key=lambda item: item[1]))
    lines = [f"Mean rank over cases, regions and scores, 1 is best: {ranks}."]
    failed = {name: cases for name, cases in comparison.facts["failed"].items() if cases}
    if failed:
        counts = "; ".join(f"{name} {len(cases)} ({', '.join(cases[:5])})" for name, cases in failed.items())
        lines.append(f"WARNING: cases whose prediction was missing or could not be scored: {counts}.")
    if comparison.facts["left_out"]:
        lacking = "; ".join(f"{name} lacks {len(cases)}" for name, cases in comparison.facts["left_out"].items())
        lines.append(f"WARNING: cases that not all tables have were left out: {lacking}.")
    return lines


def write_comparison(comparison: Comparison, out: Path) -> list[Path]:
    """Write all facts as JSON, and means and standard deviations as Markdown and LaTeX tables next to it.

    Returns:
        The files written.
    """
    write_json(comparison.facts, out)
    regions = next(iter(comparison.methods.values()))
    return [out, *write_tables(comparison.methods, [list(next(iter(regions.values())))], out)]
