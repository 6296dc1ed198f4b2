"""Scores as a CSV file, a JSON file and a table for people."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tunetseg.io.files import whole_file
from tunetseg.metrics import SCORES

__all__ = ["columns", "print_summary", "summary_lines", "summary_tables", "write_json", "write_scores"]

_FIRST = ("case", "region", *SCORES[:5])
_LAST = ("reference_ml", "predicted_ml", "lesion_tp", "lesion_fp", "lesion_fn", "empty", "status")


def columns(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns of a table whose rows are like this one, in the order in which a reader wants them."""
    return tuple(name for name in (*_FIRST, *SCORES[5:], *_LAST) if name in row)


_LISTED = 10


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(round(value, 6))
    return str(value)


def _without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_scores(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], path: Path) -> None:
    """Write the rows as CSV and the summary as JSON beside it; a score that was left out is a blank cell.

    Args:
        rows: One a case and region, all with the same keys.
        summary: Anything that JSON can hold; NaN becomes null.
        path: Ends in ``.csv``.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = columns(rows[0])
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    with whole_file(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8", newline="")
    write_json(summary, path.with_suffix(".json"))


def write_json(facts: Mapping[str, Any], path: Path) -> None:
    """Write facts as JSON, with null for NaN, which JSON does not have."""
    said = json.dumps(_without_nan(facts), indent=2, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as partial:
        partial.write_text(said + "\n", encoding="utf-8")


def _mean_sd(found: Mapping[str, Any], digits: int) -> str:
    if math.isnan(found["mean"]):
        return "-"
    spread = "" if math.isnan(found["sd"]) else f" ± {found['sd']:.{digits}f}"
    return f"{found['mean']:.{digits}f}{spread}"


_SHOWN = {
    "dice": ("Dice", 3),
    "hd95": ("HD95 in mm", 2),
    "sensitivity": ("sensitivity", 3),
    "specificity": ("specificity", 4),
}
_SURFACES = {"surface_dice": ("surface Dice", 3), "assd": ("ASSD in mm", 2), "hd100": ("HD100 in mm", 2)}
_LESIONS = {"lesion_dice": ("lesion-wise Dice", 3), "lesion_hd95": ("lesion-wise HD95", 2)}
_MAPS = {"dauc": ("DAUC", 3), "rftp": ("RFTP", 3), "rftn": ("RFTN", 3), "qu_score": ("score", 3), "ece": ("ECE", 4)}


def summary_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Means and standard deviations, one row a region; ``n`` counts the cases that have an HD95.

    One table of the label maps, and one each of surfaces, lesions and uncertainty where these were asked for.
    """
    cases, rules = summary["cases"]["references"], summary["rules"]["name"]
    title = f"{cases} case{'' if cases == 1 else 's'}, rules {rules}, mean ± SD"
    regions = summary["regions"]
    any_region = next(iter(regions.values()))
    more = [extra for extra in (_SURFACES, _LESIONS, _MAPS) if all(name in any_region for name in extra)]
    return [_table(title, _SHOWN, regions), *(_table(None, extra, regions) for extra in more)]


def _table(title: str | None, shown: Mapping[str, tuple[str, int]], regions: Mapping[str, Any]) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("region", no_wrap=True)
    for name, (heading, _) in shown.items():
        table.add_column(heading, justify="right")
        if name == "hd95":
            table.add_column("n", justify="right", no_wrap=True)
    for region, found in regions.items():
        cells = []
        for name, (_, digits) in shown.items():
            cells.append(_mean_sd(found[name], digits))
            if name == "hd95":
                cells.append(str(found[name]["n"]))
        table.add_row(region, *cells)
    return table


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _reasons(faults: Mapping[str, str]) -> str:
    return "; ".join(f"{case} ({why})" for case, why in list(faults.items())[:_LISTED])


def _empty_line(region: str, found: Mapping[str, Any], penalty: float | None) -> str:
    """What was done where a mask of one region was empty."""
    empty, hd95 = found["empty"], found["hd95"]
    counts = f"both {empty['both']}, reference only {empty['reference']}, prediction only {empty['prediction']}"
    if penalty is None:
        done = f"HD95 left out of {hd95['left_out']}"
    else:
        one = empty["reference"] + empty["prediction"]
        done = f"HD95 penalised with {penalty} mm in {one} and 0 in {empty['both']}"
    return f"{region}: empty in {_count(sum(empty.values()), 'case')} ({counts}); {done}"


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know: rules, labels, and every case that is not plainly scored."""
    rules, cases = summary["rules"], summary["cases"]
    lines = [
        f"Rules {rules['name']}, version {rules['version']}: {rules['description']}.",
        f"HD95: {rules['hd95_description']}.",
        f"Labels of the predictions: {summary['labels']['predictions']['sentence'] or 'none read'}.",
        f"Labels of the references: {summary['labels']['references']['sentence']}.",
    ]
    for region, found in summary["regions"].items():
        if any(found["empty"].values()):
            lines.append(f"{_empty_line(region, found, rules['penalty_mm'])}.")
    if cases["missing"]:
        lines.append(
            f"WARNING: {len(cases['missing'])} of {cases['references']} references have no prediction, which counts as "
            f"an empty one (--cases names those to score): {_listed(cases['missing'])}."
        )
    for status, what in (("unreadable", "cannot be read"), ("misaligned", "lie on another grid")):
        if cases[status]:
            lines.append(f"WARNING: predictions that {what} and count as empty: {_reasons(cases[status])}.")
    if cases["maps_at_fault"]:
        lines.append(f"WARNING: maps that count as the worst there are: {_reasons(cases['maps_at_fault'])}.")
    stray = cases["predictions_without_reference"]
    if stray:
        lines.append(f"WARNING: {_count(len(stray), 'prediction')} without a reference passed over: {_listed(stray)}.")
    return lines


def print_summary(summary: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the table and what must be known with it."""
    shown = console or Console()
    for table in summary_tables(summary):
        shown.print(table)
    for line in summary_lines(summary):
        shown.print(line, style="yellow" if line.startswith("WARNING") else None, markup=False, highlight=False)
