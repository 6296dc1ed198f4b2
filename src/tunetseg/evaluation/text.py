"""Scores as text: tables and sentences for a screen, without drawing them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunetseg.metrics import SCORES, Score

__all__ = ["TextTable", "format_number", "format_table", "summary_lines", "summary_tables"]

_LISTED = 10
"""Names that a sentence lists before it only counts."""


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Args:
        title: Line above the table; empty for none.
        columns: Headings.
        rows: Cells, one per heading.
        left: Number of columns, from the first on, that are aligned to the left; the others hold numbers.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


def format_table(table: TextTable) -> str:
    """Return a table as lines of equal width.

    Examples:
        >>> print(format_table(TextTable("2 cases", ("region", "Dice"), (("whole", "0.9"), ("core", "0.85")))))
        2 cases
        region  Dice
        whole    0.9
        core    0.85
    """
    widths = [max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number < table.left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (table.columns, *table.rows)
    ]
    return "\n".join([table.title, *lines] if table.title else lines)


def format_number(value: float | None, digits: int) -> str:
    """Return a number with so many digits after the point, and a dash for NaN or None."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _mean_sd(summary: Mapping[str, Any], score: Score) -> str:
    mean = format_number(summary["mean"], score.digits)
    spread = format_number(summary["sd"], score.digits)
    return mean if "-" in (mean, spread) else f"{mean} ± {spread}"


def summary_tables(summary: Mapping[str, Any]) -> list[TextTable]:
    """Return means and standard deviations, one row per region; ``n`` counts the cases that have an HD95.

    Args:
        summary: Of an evaluation, as `Scores` has it.

    Returns:
        One table of the label maps, and one each of surfaces, lesions and uncertainty where these were requested; then
        the same by the strict version of the rules and the lesions found by volume, where these were requested.
    """
    cases, rules = summary["cases"]["references"], summary["rules"]["name"]
    tables = _tables(f"{_count(cases, 'case')}, rules {rules}, mean ± SD", summary["regions"])
    if "strict" in summary:
        title = f"{_count(cases, 'case')}, strict version of {rules}, mean ± SD"
        tables += _tables(title, summary["strict"]["regions"])
    if "lesion_recall" in summary:
        tables.append(_recall_table(summary["lesion_recall"]))
    return tables


def _recall_table(regions: Mapping[str, Any]) -> TextTable:
    classes = next(iter(regions.values()))
    headings = [
        f"from {found['from_ml']:g} ml" if found["to_ml"] is None else f"{found['from_ml']:g} to {found['to_ml']:g} ml"
        for found in classes
    ]
    rows = ((name, *(f"{found['found']} of {found['lesions']}" for found in own)) for name, own in regions.items())
    return TextTable("lesions found, by volume", ("region", *headings), tuple(rows))


def _tables(title: str, regions: Mapping[str, Any]) -> list[TextTable]:
    computed = next(iter(regions.values()))
    groups: dict[str, list[Score]] = {}
    for score in SCORES.values():
        if score.table is not None:
            groups.setdefault(score.table, []).append(score)
    main = [score for score in groups.pop("masks") if score.name in computed]
    more = []
    for name, group in groups.items():
        found = [score for score in group if score.name in computed]
        # Lesions are counted in different ways; the other tables are shown only where they were requested.
        if found and (name == "lesions" or len(found) == len(group)):
            more.append(found)
    return [_table(title, main, regions), *(_table("", group, regions) for group in more)]


def _table(title: str, scores: Sequence[Score], regions: Mapping[str, Any]) -> TextTable:
    headings, rows = ["region"], [[region] for region in regions]
    for score in scores:
        headings.append(score.heading)
        for row, summaries in zip(rows, regions.values(), strict=True):
            row.append(_mean_sd(summaries[score.name], score))
        if score.name == "hd95":
            headings.append("n")
            for row, summaries in zip(rows, regions.values(), strict=True):
                row.append(str(summaries["hd95"]["n"]))
    return TextTable(title, tuple(headings), tuple(map(tuple, rows)))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _reasons(faults: Mapping[str, str]) -> str:
    return "; ".join(f"{case} ({why})" for case, why in list(faults.items())[:_LISTED])


def _empty_line(region: str, summary: Mapping[str, Any], penalty: str | None) -> str:
    """Return how empty masks of one region were counted."""
    empty, hd95 = summary["empty"], summary["hd95"]
    counts = f"both {empty['both']}, reference only {empty['reference']}, prediction only {empty['prediction']}"
    if penalty is None:
        treatment = f"HD95 left out of {hd95['left_out']}"
    else:
        left_out = hd95["left_out"]
        penalised = sum(empty.values()) - left_out if left_out else empty["reference"] + empty["prediction"]
        other = f"left out in {left_out}" if left_out else f"0 in {empty['both']}"
        treatment = f"HD95 penalised with {penalty} in {penalised} and {other}"
    return f"{region}: empty in {_count(sum(empty.values()), 'case')} ({counts}); {treatment}"


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return what a reader of the tables must know: rules, label values, and every case that was not simply scored.

    Args:
        summary: Of an evaluation, as `Scores` has it.

    Returns:
        Sentences; warnings begin with ``WARNING``.
    """
    rules, cases = summary["rules"], summary["cases"]
    lines = [
        f"Rules {rules['name']}, version {rules['version']}: {rules['description']}.",
        f"HD95: {rules['hd95_description']}.",
        f"Labels of the predictions: {summary['labels']['predictions']['sentence'] or 'none read'}.",
        f"Labels of the references: {summary['labels']['references']['sentence']}.",
    ]
    usual = summary["labels"]["usual_rules"]
    if usual:
        lines.append(
            f"No rules were named, so these are {rules['name']}; challenges with the label values of the references "
            f"are scored by {' or '.join(usual)}."
        )
    for region, statistics in summary["regions"].items():
        if any(statistics["empty"].values()):
            lines.append(f"{_empty_line(region, statistics, rules['penalty'])}.")
    if cases["missing"]:
        treatment = "has the worst scores, even of empty regions" if cases["missing_is_worst"] else "counts as empty"
        lines.append(
            f"WARNING: {len(cases['missing'])} of {cases['references']} references have no prediction, which "
            f"{treatment} (name the cases to score to leave them out): {_listed(cases['missing'])}."
        )
    for status, what in (("unreadable", "cannot be read"), ("misaligned", "lie on another grid")):
        if cases[status]:
            treatment = "are left out, as by the official code" if cases["left_out"] else "count as empty"
            lines.append(f"WARNING: predictions that {what} and {treatment}: {_reasons(cases[status])}.")
    if cases["invalid_maps"]:
        lines.append(f"WARNING: invalid maps, which get the worst scores possible: {_reasons(cases['invalid_maps'])}.")
    if cases["older_labels"]:
        lines.append(
            "WARNING: the references have a 4 but no 3: under these rules a resection cavity and no enhancing tumour. "
            "Label maps of 2017 to 2022 write the enhancing tumour as 4; if these are such, name their year."
        )
    if "strict" in summary:
        counts = ", ".join(f"{region} {number}" for region, number in summary["strict"]["differing"].items())
        lines.append(
            f"Strict version: {summary['strict']['rules']['description']}. Cases that it scores differently: {counts}."
        )
    extra = cases["predictions_without_reference"]
    if extra:
        lines.append(f"WARNING: {_count(len(extra), 'prediction')} without a reference left out: {_listed(extra)}.")
    return lines
