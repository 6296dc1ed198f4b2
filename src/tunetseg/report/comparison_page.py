"""The page of a comparison: distributions, paired differences with intervals, cases, tables to copy."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunetseg.evaluation.comparison import Comparison, ScoreTable
from tunetseg.evaluation.comparison_text import comparison_lines, comparison_tables, interval_text
from tunetseg.metrics import SCORES, Score
from tunetseg.report.pages import render_page, write_page
from tunetseg.report.palette import series_colours
from tunetseg.report.strips import Bar, Strips, make_strips
from tunetseg.report.text_tables import copy_table

__all__ = ["comparison_page", "write_comparison_page"]

_MOST_METHODS = 4
"""Methods up to which the scores of each case are listed."""

Column = tuple[str, str, dict[str, list[float]]]
"""Score, region, and method -> value of each case."""


def write_comparison_page(comparison: Comparison, tables: Sequence[ScoreTable], path: str | Path) -> Path:
    """Write the page of a comparison; it appears only when complete.

    Args:
        comparison: Comparison of the tables.
        tables: The tables that were compared.
        path: Ends in ``.html``.

    Raises:
        InputError: The name has another ending, a file of another program would be replaced, or a package is missing.
    """
    return write_page(path, "comparison.html", **_values(comparison, tables))


def comparison_page(comparison: Comparison, tables: Sequence[ScoreTable]) -> str:
    """Return the page as text, as `write_comparison_page` writes it."""
    return render_page("comparison.html", **_values(comparison, tables))


def _values(comparison: Comparison, tables: Sequence[ScoreTable]) -> dict[str, Any]:
    """Return what the template shows."""
    names = list(comparison.methods)
    cases = comparison.facts["cases"]
    columns = _columns(comparison, tables)
    return {
        "names": names,
        "cases": cases,
        "failed": ", ".join(f"{name} {len(found)}" for name, found in comparison.facts["failed"].items()),
        "rules": comparison.facts["rules"] or {},
        "lines": comparison_lines(comparison),
        "tables": [copy_table(table) for table in comparison_tables(comparison)],
        "strips": _distributions(columns, cases),
        "differences": _differences(comparison, columns, cases),
        "columns": columns if len(names) <= _MOST_METHODS else [],
        "rows": _rows(columns, cases),
        "colours": dict(zip(names, series_colours(len(names)), strict=True)),
        "scores": SCORES,
    }


def _columns(comparison: Comparison, tables: Sequence[ScoreTable]) -> list[Column]:
    """Return the scores that were compared, one entry per score and region, in the order of the tables on the page."""
    values = {table.name: table.on_cases(comparison.facts["cases"]) for table in tables}
    first = next(iter(comparison.methods.values()))
    return [
        (score, region, {name: own[score, region].tolist() for name, own in values.items()})
        for score in next(iter(first.values()))
        for region in first
    ]


def _distributions(columns: Sequence[Column], cases: Sequence[str]) -> list[Strips]:
    """Return one drawing per score and region, with one row per method."""
    drawn = []
    for name, region, by_method in columns:
        score = SCORES[name]
        groups = [
            (method, colour, list(zip(cases, values, strict=True)))
            for (method, values), colour in zip(by_method.items(), series_colours(len(by_method)), strict=True)
        ]
        limits = None if score.unit else (0.0, 1.0)
        title = f"{score.heading}, {region}"
        drawn.append(make_strips(title, groups, digits=score.digits, logarithmic=bool(score.unit), limits=limits))
    return [strips for strips in drawn if strips is not None]


def _differences(comparison: Comparison, columns: Sequence[Column], cases: Sequence[str]) -> list[Strips]:
    """Return one drawing per score and pair of methods, with one row per region."""
    values = {(name, region): by_method for name, region, by_method in columns}
    tests: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for test in comparison.tests:
        tests.setdefault((test["score"], test["first"], test["second"]), []).append(test)
    drawn = []
    for (name, first, second), rows in tests.items():
        score = SCORES[name]
        groups, bars = [], []
        for test, colour in zip(rows, series_colours(len(rows)), strict=True):
            by_method = values[name, test["region"]]
            difference = np.subtract(by_method[first], by_method[second]).tolist()
            groups.append((test["region"], colour, list(zip(cases, difference, strict=True))))
            bars.append(_bar(test, score))
        better = first if score.higher_is_better else second
        title = f"{score.heading}, {first} minus {second} (to the right {better} is better)"
        drawn.append(make_strips(title, groups, digits=score.digits, bars=bars))
    return [strips for strips in drawn if strips is not None]


def _bar(test: dict[str, Any], score: Score) -> Bar:
    low, high = test["ci95"]
    mean, p = test["mean_difference"], test["p_holm"]
    chance = "no test" if math.isnan(p) else f"p {p:.2g}"
    interval = interval_text(test["ci95"], score.digits)
    return Bar(low, mean, high, f"mean {mean:+.{score.digits}f} ({interval}), {chance}, n {test['n']}")


def _rows(columns: Sequence[Column], cases: Sequence[str]) -> list[tuple[str, list[float]]]:
    """Return the scores of each case, those with the largest difference between methods in the first score first."""
    first = columns[0][0]
    rows = []
    for number, case in enumerate(cases):
        values = [[by_method[name][number] for name in by_method] for _, _, by_method in columns]
        spread = [
            max(own) - min(own)
            for (score, _, _), own in zip(columns, values, strict=True)
            if score == first and all(map(math.isfinite, own))
        ]
        rows.append((max(spread, default=0.0), case, [value for own in values for value in own]))
    return [(case, values) for _, case, values in sorted(rows, key=lambda row: (-row[0], row[1]))]
