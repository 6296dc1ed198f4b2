"""The page of an evaluation: distributions, the worst cases, agreement of volumes, reliability, tables to copy."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunetseg.evaluation.scores import Scores
from tunetseg.evaluation.text import summary_lines, summary_tables
from tunetseg.io.files import read_json
from tunetseg.metrics import BORDER_MM, SCORES
from tunetseg.report.agreement import Agreement, make_agreement
from tunetseg.report.curves import Curves, Line, make_curves
from tunetseg.report.pages import is_own_page, render_page, write_page
from tunetseg.report.palette import series_colours
from tunetseg.report.strips import Strips, make_strips
from tunetseg.report.text_tables import copy_table

__all__ = ["CaseRow", "case_rows", "scores_page", "write_scores_page"]

_DRAWN = (
    "dice", "hd95", "lesion_dice", "lesion_hd95", "f1", "pq", "nsd", "nsd_05", "nsd_10", "surface_dice", "cc_dice",
    "dauc", "brier_border",
)  # fmt: skip
"""Scores whose distributions are drawn, where they were computed."""

_GREY = "#7F7F7F"
_FAILED = {"missing": "there is no prediction", "unreadable": "cannot be read", "misaligned": "lies on another grid"}


@dataclass(frozen=True)
class CaseRow:
    """One case of the table.

    Args:
        case: Name.
        page: Link to the patient's own report; empty where there is none.
        failed: The prediction could not be scored.
        notes: What is wrong with the case, in words.
        values: (score, region) -> value; NaN where the rules leave it out.
        order: Mean over regions of the score that the table is sorted by; infinite without a value.
    """

    case: str
    page: str
    failed: bool
    notes: tuple[str, ...]
    values: dict[tuple[str, str], float]
    order: float


def write_scores_page(scores: Scores, path: str | Path, *, predictions: str | Path | None = None) -> Path:
    """Write the page of an evaluation; it appears only when complete.

    Args:
        scores: Of one case or a cohort.
        path: Ends in ``.html``.
        predictions: Side that was scored; the reports of patients in it are linked to.

    Raises:
        InputError: The name has another ending, a file of another program would be replaced, or a package is missing.
    """
    return write_page(path, "scores.html", **_values(scores, Path(path), predictions))


def scores_page(scores: Scores, path: Path, *, predictions: str | Path | None = None) -> str:
    """Return the page as text, as `write_scores_page` writes it."""
    return render_page("scores.html", **_values(scores, path, predictions))


def _values(scores: Scores, path: Path, predictions: str | Path | None) -> dict[str, Any]:
    """Return what the template shows."""
    regions = list(scores.summary["regions"])
    colours = dict(zip(regions, series_colours(len(regions)), strict=True))
    pages = {} if predictions is None else _pages(Path(predictions), path.parent)
    shown = _shown_scores(scores, len(regions))
    return {
        "title": path.stem if predictions is None else Path(os.path.abspath(predictions)).name,
        "summary": scores.summary,
        "lines": summary_lines(scores.summary),
        "tables": [copy_table(table) for table in summary_tables(scores.summary)],
        "strips": _distributions(scores.rows, colours),
        "agreements": _agreements(scores.rows, colours),
        "curves": _reliability(scores.summary.get("reliability", {}), colours),
        "border_mm": BORDER_MM,
        "rows": case_rows(scores, pages, shown),
        "regions": regions,
        "colours": colours,
        "shown": [SCORES[name] for name in shown],
    }


def _pages(predictions: Path, folder: Path) -> dict[str, str]:
    """Return the links from a folder to the reports of patients next to their label maps, by case."""
    place = predictions if predictions.is_dir() else predictions.parent
    return {
        str(read_json(page.with_suffix(".json")).get("case", page.stem)): Path(os.path.relpath(page, folder)).as_posix()
        for page in sorted(place.glob("*.html"))
        if page.is_file() and is_own_page(page)
    }


def _shown_scores(scores: Scores, regions: int) -> list[str]:
    """Return the columns of the table of cases; the first is the one that it is sorted by."""
    names: list[str] = [name for name in ("lesion_dice", "lesion_hd95", "dice", "hd95") if name in scores.rows[0]]
    return names[:3] if regions <= 3 else names[:2]


def case_rows(scores: Scores, pages: Mapping[str, str], shown: Sequence[str]) -> list[CaseRow]:
    """Return the rows of the table of cases, the worst first.

    Args:
        scores: Of a cohort.
        pages: Case -> link to its report.
        shown: Scores; the first one, where higher is better, decides what is worst.
    """
    cases = scores.summary["cases"]
    faults = {**cases["unreadable"], **cases["misaligned"], **cases["invalid_maps"]}
    by_case: dict[str, list[dict[str, Any]]] = {}
    for row in scores.rows:
        by_case.setdefault(row["case"], []).append(row)
    found = []
    for case, rows in by_case.items():
        status = rows[0]["status"]
        notes = [_FAILED.get(status, ""), faults.get(case, "")]
        if status == "scored":
            notes += [note for row in rows for note in _region_notes(row)]
        values = {(name, row["region"]): float(row[name]) for row in rows for name in shown}
        known = [values[shown[0], row["region"]] for row in rows if math.isfinite(values[shown[0], row["region"]])]
        order = sum(known) / len(known) if known else math.inf
        noted = tuple(note for note in notes if note)
        found.append(CaseRow(case, pages.get(case, ""), status != "scored", noted, values, order))
    return sorted(found, key=lambda row: (not row.failed, row.order, row.case))


def _region_notes(row: Mapping[str, Any]) -> list[str]:
    region, missed = row["region"], row.get("lesion_fn", 0)
    if row["empty"] == "prediction":
        return [f"{region} missed"]
    if row["empty"] == "reference":
        return [f"{region} predicted, but not in the reference"]
    return [f"{region}: {missed} of {missed + row['lesion_tp']} lesions missed"] if missed else []


def _distributions(rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> list[Strips]:
    drawn = []
    for score in (SCORES[name] for name in _DRAWN if name in rows[0]):
        groups = [
            (region, colour, [(row["case"], float(row[score.name])) for row in rows if row["region"] == region])
            for region, colour in colours.items()
        ]
        limits = None if score.unit else (0.0, 1.0)
        drawn.append(
            make_strips(score.heading, groups, digits=score.digits, logarithmic=bool(score.unit), limits=limits)
        )
    return [strips for strips in drawn if strips is not None]


def _agreements(rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> list[Agreement]:
    """Return one drawing per region, of the cases whose prediction was scored."""
    drawn = [
        make_agreement(
            region,
            colour,
            [
                (row["case"], float(row["reference_ml"]), float(row["predicted_ml"]))
                for row in rows
                if row["region"] == region and row["status"] == "scored"
            ],
        )
        for region, colour in colours.items()
    ]
    return [agreement for agreement in drawn if agreement is not None]


def _reliability(regions: Mapping[str, Any], colours: Mapping[str, str]) -> Curves | None:
    lines = [
        Line(
            f"{region} (Brier score {found['brier']:.4f})",
            colours[region],
            [(part["confidence"], part["frequency"]) for part in found["bins"] if part["voxels"]],
        )
        for region, found in regions.items()
    ]
    if not lines:
        return None
    ideal = Line("perfectly reliable", _GREY, [(0.0, 0.0), (1.0, 1.0)], faint=True)
    title = "Share of voxels in the reference"
    return make_curves(title, [ideal, *lines], axis="probability", span=(0.0, 1.0), limits=(0.0, 1.0))
