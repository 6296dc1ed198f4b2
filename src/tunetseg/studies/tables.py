"""The results of a study as files: the paper's Tables 1 to 4, comparisons, costs, and one summary."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from tunetseg import __version__
from tunetseg.evaluation.comparison_text import comparison_lines, comparison_tables, write_comparison
from tunetseg.evaluation.paper_tables import latex_table, markdown_table, score_table
from tunetseg.evaluation.tables import write_json
from tunetseg.evaluation.text import TextTable, format_table
from tunetseg.io.files import whole_file
from tunetseg.studies.ensembles import members, voters
from tunetseg.studies.plan import StudyPlan
from tunetseg.studies.results import MethodScores, StudyResults

__all__ = ["first_table", "result_lines", "write_results"]

_NOTE = "Research use, not a medical device."

_TITLES = {
    "tunet": "TuNet",
    "tunet-seb": "TuNet + SEB",
    "tunet-reb1": "TuNet + REB1",
    "tunet-reb1-seb": "TuNet + REB1 + SEB",
    "tunet-reb2": "TuNet + REB2",
    "tunet-reb2-seb": "TuNet + REB2 + SEB",
}

Summaries = dict[str, dict[str, Any]]
"""Region -> score -> its `Summary`."""


def write_results(results: StudyResults, plan: StudyPlan, folder: Path, costs: Mapping[str, Any]) -> list[Path]:
    """Write every table as Markdown and LaTeX, the comparisons as JSON too, all text at once, and a summary.

    Args:
        results: Of the study.
        plan: Of the study.
        folder: ``results`` in the folder of the study.
        costs: As `tunetseg.studies.costs.costs_of` returns them.

    Returns:
        The files written.
    """
    methods = _summaries(results.methods)
    files = _write_table(folder / "table1", methods, ("dice", "hd95"), spread=True)
    if results.test:
        tested = _summaries(results.test)
        files += _write_table(folder / "table2", tested, ("dice", "hd95"), spread=False)
        ensemble = {name: found for name, found in tested.items() if name == "Ensemble"} or tested
        files += _write_table(folder / "table3", ensemble, ("dice", "hd95"), spread=False)
        files += _write_table(folder / "table4", tested, ("dauc", "rftp"), spread=False)
    with whole_file(folder / "overview.md") as partial:
        partial.write_text(markdown_table(*_overview(results, costs)), encoding="utf-8")
    files.append(folder / "overview.md")
    for what, comparison in results.comparisons.items():
        files += write_comparison(comparison, folder / f"comparison-{what}.json")
    with whole_file(folder / "results.txt") as partial:
        partial.write_text("\n".join(result_lines(results, costs)) + "\n", encoding="utf-8")
    write_json(_summary(results, plan, methods, costs), folder / "summary.json")
    return [*files, folder / "results.txt", folder / "summary.json"]


def first_table(results: StudyResults) -> TextTable:
    """Return the paper's Table 1 for a screen."""
    (upper, lower), body = score_table(_summaries(results.methods), ("dice", "hd95"), spread=True)
    current, heads = "", []
    for above, below in zip(upper, lower, strict=True):
        current = above or current
        heads.append(f"{current} {below}".strip())
    cases = len(next(iter(results.methods.values())).table.cases)
    title = f"Mean (SD over cases) of {cases} cases, each segmented by models that never saw it"
    return TextTable(title, tuple(heads), tuple(map(tuple, body)), left=1)


def result_lines(results: StudyResults, costs: Mapping[str, Any]) -> list[str]:
    """Return all results as text."""
    lines = [format_table(first_table(results))]
    for comparison in results.comparisons.values():
        lines += [f"\n{format_table(table)}" for table in comparison_tables(comparison)]
        lines += ["", *comparison_lines(comparison)]
    return [*lines, "", format_table(_cost_table(costs)), _NOTE]


def _summaries(methods: Mapping[str, MethodScores]) -> dict[str, Summaries]:
    """Return title of a method -> region -> score -> `Summary`."""
    return {_TITLES.get(name, name): scores.regions for name, scores in methods.items()}


def _write_table(path: Path, methods: dict[str, Summaries], scores: Sequence[str], *, spread: bool) -> list[Path]:
    first = next(iter(next(iter(methods.values())).values()))
    if any(score not in first for score in scores):
        return []
    heads, body = score_table(methods, scores, spread=spread)
    files = []
    for ending, layout in ((".md", markdown_table), (".tex", latex_table)):
        with whole_file(path.with_suffix(ending)) as partial:
            partial.write_text(layout(heads, body), encoding="utf-8")
        files.append(path.with_suffix(ending))
    return files


def _overview(results: StudyResults, costs: Mapping[str, Any]) -> tuple[list[list[str]], list[list[str]]]:
    """Return headings and cells of one table: a row per network, what it reaches and what it costs side by side."""
    table = _cost_table(costs)
    heads, body = [[""], ["Model"]], [[row[0]] for row in table.rows]
    for methods, wanted in ((results.methods, ("dice", "hd95", "dauc")), (results.lesions, ("lesion_dice",))):
        summaries = _summaries({name: methods[name] for name in costs if name in methods})
        known = {score for regions in summaries.values() for scores in regions.values() for score in scores}
        if scores := [score for score in wanted if score in known]:
            more_heads, more = score_table(summaries, scores, spread=False)
            heads = [[*row, *added[1:]] for row, added in zip(heads, more_heads, strict=True)]
            body = [[*row, *added[1:]] for row, added in zip(body, more, strict=True)]
    heads = [[*heads[0], *table.columns[1:]], [*heads[1], *("" for _ in table.columns[1:])]]
    return heads, [[*row, *costing[1:]] for row, costing in zip(body, table.rows, strict=True)]


def _cost_table(costs: Mapping[str, Any]) -> TextTable:
    rows = tuple(
        (
            _TITLES.get(name, name),
            f"{cost['parameters']:,}",
            f"{cost['gflops']:.2f}",
            f"{cost['steps']:,}",
            _or_dash(cost["step_seconds"]),
            _or_dash(cost["pass_seconds"]),
            f"{cost['train_minutes']:.1f}",
            _or_dash(cost["case_seconds"]),
            f"{cost['memory_mb']:,}",
        )
        for name, cost in costs.items()
    )
    heads = ("network", "weights", "GFLOP per patch", "steps", "s per step", "s per pass", "min per model")
    return TextTable("Costs", (*heads, "s per case", "MB at the most"), rows, left=1)


def _or_dash(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def _summary(
    results: StudyResults, plan: StudyPlan, methods: dict[str, Summaries], costs: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "software": f"tunetseg {__version__}",
        "note": _NOTE,
        "cohort": plan.cohort,
        "folds": plan.folds,
        "models": len(plan.models),
        "ensemble": {"methods": list(members(plan)), "models": [model.name for model in voters(plan)]},
        "rules": next(iter(results.methods.values())).table.rules,
        "methods": methods,
        "fold_means": {_TITLES.get(name, name): _spread(found) for name, found in results.folds.items()},
        "lesions": _summaries(results.lesions),
        "ranks": {what: comparison.ranks for what, comparison in results.comparisons.items()},
        "tests": {what: list(comparison.tests) for what, comparison in results.comparisons.items()},
        "test": _summaries(results.test),
        "tuned": None if results.tuned is None else results.tuned.name,
        "costs": dict(costs),
    }


def _spread(found: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, Any]]:
    """Return region -> score -> means of the folds, their mean and their standard deviation."""
    return {
        region: {
            score: {
                "folds": values,
                "mean": fmean(values),
                "sd": stdev(values) if len(values) > 1 and not any(map(math.isnan, values)) else math.nan,
            }
            for score, values in scores.items()
        }
        for region, scores in found.items()
    }
