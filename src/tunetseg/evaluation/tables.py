"""Scores as a CSV file with a JSON file next to it."""

import csv
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from tunetseg.io.files import whole_file
from tunetseg.metrics import SCORES

__all__ = ["LESION_COLUMNS", "TABLE_HASH", "columns", "write_json", "write_rows", "write_scores"]

_COUNTS = ("reference_ml", "predicted_ml", "lesion_tp", "lesion_fp", "lesion_fn", "empty", "status")
"""Columns that are not scores: they are not averaged."""


TABLE_HASH = "table_sha256"
"""Key of the summary: SHA-256 of the table that it belongs to."""

LESION_COLUMNS = (
    "case", "region", "lesion", "volume_ml", "counted", "matched", "components", "dice", "hd95", "nsd",
)  # fmt: skip
"""Columns of a table of lesions."""


def columns(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns of a table whose rows are like this one, in the order of reading.

    Examples:
        >>> columns({"status": "scored", "hd95": 1.0, "dice": 0.9, "region": "whole", "case": "a"})
        ('case', 'region', 'dice', 'hd95', 'status')
    """
    return tuple(name for name in ("case", "region", *SCORES, *_COUNTS) if name in row)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(round(value, 6))
    return str(int(value) if isinstance(value, bool) else value)


def _without_nan(value: Any) -> Any:
    """Return the same with None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_scores(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], path: Path) -> list[Path]:
    """Write the rows as CSV and the summary as JSON next to it; a score that was left out is a blank cell.

    Args:
        rows: One per case and region, all with the same keys.
        summary: Anything that JSON can hold; NaN becomes null.
        path: Ends in ``.csv``.

    Returns:
        Both files.
    """
    write_rows(rows, columns(rows[0]), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_json({**summary, TABLE_HASH: digest}, path.with_suffix(".json"))
    return [path, path.with_suffix(".json")]


def write_rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str], path: Path) -> None:
    """Write some columns of rows as CSV; NaN is a blank cell, and true and false are 1 and 0."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    with whole_file(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8", newline="")


def write_json(facts: Mapping[str, Any], path: Path) -> None:
    """Write facts as JSON, with null for NaN, which JSON does not have."""
    text = json.dumps(_without_nan(facts), indent=2, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
