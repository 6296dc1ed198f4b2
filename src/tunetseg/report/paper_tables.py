"""The paper's Tables 1 to 4 as CSV, Markdown or LaTeX, from a study or from tables of scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunetseg.errors import InputError
from tunetseg.evaluation.comparison import check_alike, common_cases, names_of_tables, read_scores
from tunetseg.evaluation.paper_tables import csv_table, latex_table, markdown_table, score_table
from tunetseg.io.files import read_json, whole_file
from tunetseg.metrics import summarise

__all__ = ["TABLES", "write_paper_table"]

TABLES = {
    1: (("dice", "hd95"), True, "methods"),
    2: (("dice", "hd95"), False, "test"),
    3: (("dice", "hd95"), False, "test"),
    4: (("dauc", "rftp"), False, "test"),
}
"""Number of the table -> scores, whether standard deviations are given, and where a study's summary has them."""

Methods = dict[str, dict[str, dict[str, Any]]]
"""Method -> region -> score -> its `Summary`."""


def write_paper_table(number: int, sources: Sequence[Path], path: Path) -> Path:
    """Write one table.

    Args:
        number: Of the table in the paper. 1: all networks, by cross-validation. 2: the same on other patients. 3: the
            ensemble on other patients. 4: uncertainty on other patients.
        sources: The folder of a study whose results are made, or tables of scores, one per method.
        path: Ends in ``.csv``, ``.md`` or ``.tex``.

    Raises:
        InputError: The sources do not have these scores, or the name has another ending.
    """
    scores, spread, part = TABLES[number]
    if path.suffix not in {".csv", ".md", ".tex"}:
        raise InputError(f"{path}: a table is a .csv, .md or .tex file; choose such a name")
    study = len(sources) == 1 and sources[0].is_dir()
    methods = _of_study(sources[0], part) if study else _of_tables(sources)
    if number == 3 and "Ensemble" in methods:
        methods = {"Ensemble": methods["Ensemble"]}
    for name, regions in methods.items():
        lacking = [score for score in scores if any(score not in region for region in regions.values())]
        if lacking:
            raise InputError(f"{sources[0]}: has no {' and no '.join(lacking)} of {name}, which Table {number} needs")
    heads, body = score_table(methods, scores, spread=spread)
    layout = {".csv": csv_table, ".md": markdown_table, ".tex": latex_table}[path.suffix]
    with whole_file(path) as partial:
        partial.write_text(layout(heads, body), encoding="utf-8", newline="")
    return path


def _of_study(folder: Path, part: str) -> Methods:
    summary = read_json(folder / "results" / "summary.json")
    if not summary:
        raise InputError(f"{folder}: holds no results of a study; make them with tunet study, or name tables of scores")
    methods: Methods = summary.get(part) or {}
    if not methods:
        raise InputError(f"{folder}: the study has no second cohort, which this table is about; name tables of scores")
    return methods


def _of_tables(paths: Sequence[Path]) -> Methods:
    tables = [read_scores(path, name) for path, name in zip(paths, names_of_tables(paths), strict=True)]
    if len(tables) > 1:
        check_alike(tables)
        common_cases(tables, common=False)
    methods: Methods = {}
    for table in tables:
        regions = methods.setdefault(table.name, {})
        for (score, region), values in table.values.items():
            regions.setdefault(region, {})[score] = summarise(values.tolist())
    return methods
