"""Compare the tables of scores that several methods reached on the same cases."""

import codecs
import hashlib
import os
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunetseg import __version__
from tunetseg.errors import InputError
from tunetseg.evaluation.tables import TABLE_HASH
from tunetseg.io.bounded import read_csv
from tunetseg.io.files import read_json
from tunetseg.metrics import SCORES, summarise
from tunetseg.metrics.comparison import holm, mean_ranks, paired_tests

__all__ = [
    "Comparison",
    "ScoreTable",
    "check_alike",
    "common_cases",
    "compare",
    "names_of_tables",
    "rankable_scores",
    "read_scores",
]


def rankable_scores() -> dict[str, bool]:
    """Return the scores that methods can be ranked by, and whether higher is better."""
    return {name: score.higher_is_better for name, score in SCORES.items() if score.higher_is_better is not None}


@dataclass(frozen=True)
class ScoreTable:
    """Scores of one method, as ``tunet evaluate --out`` wrote them.

    Args:
        name: Name of the method.
        cases: Names of the cases, sorted.
        values: (score, region) -> one value per case, NaN where the rules left it out.
        rules: Rules, their version and thresholds, from the JSON file next to the table; None where there is none.
        failed: Cases whose prediction was missing or could not be scored, as far as the table says.
    """

    name: str
    cases: tuple[str, ...]
    values: dict[tuple[str, str], NDArray[np.float64]]
    rules: dict[str, Any] | None
    failed: tuple[str, ...] = ()

    def on_cases(self, cases: Sequence[str]) -> dict[tuple[str, str], NDArray[np.float64]]:
        """Return the values of some of the cases, in the order given."""
        positions = np.searchsorted(self.cases, cases)
        return {key: values[positions] for key, values in self.values.items()}


def read_scores(path: str | Path, name: str | None = None) -> ScoreTable:
    """Read a table of scores.

    Args:
        path: CSV file that ``tunet evaluate --out`` wrote.
        name: Name of the method; by default that of the file.

    Raises:
        InputError: The file cannot be read, is not a table of scores, or lacks a region of a case.
    """
    file = Path(path)
    try:
        _, rows = read_csv(file)
    except InputError as fault:
        raise InputError(f"{fault}; give tables that tunet evaluate wrote") from None
    if not rows or not {"case", "region"} <= rows[0].keys():
        raise InputError(f"{file}: not a table of scores, which has columns case, region, dice, ...")
    cells = {(row["case"], row["region"]): row for row in rows}
    cases = tuple(sorted({row["case"] for row in rows}))
    regions = list(dict.fromkeys(row["region"] for row in rows))
    missing = [f"{region} of {case}" for case in cases for region in regions if (case, region) not in cells]
    if missing:
        raise InputError(f"{file}: {missing[0]} is missing; evaluate again")
    if len(cells) < len(rows):
        raise InputError(f"{file}: a case and region is there twice; evaluate again")
    rankable = rankable_scores()
    values = {
        (score, region): np.array([_score(file, score, cells[case, region][score]) for case in cases])
        for score in rows[0]
        if score in rankable
        for region in regions
    }
    failed = tuple(sorted({row["case"] for row in rows if row.get("status", "scored") != "scored"}))
    return ScoreTable(name or file.stem, cases, values, _rules(file), failed)


_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,20})?(e-?[0-9]{1,2})?", re.ASCII)


def _score(file: Path, score: str, text: str) -> float:
    """Return the number of a cell; NaN of a blank one, which the rules left out."""
    if not text:
        return float("nan")
    value = float(text) if _NUMBER.fullmatch(text) else float("nan")
    most = 1.0 if SCORES[score].percent else float("inf")
    if not 0 <= value <= most:
        allowed = "from 0 to 1" if most == 1 else "from 0 up"
        raise InputError(f"{file}: {score} is {reprlib.repr(text)}, but must be a number {allowed}; evaluate again")
    return value


def _rules(table: Path) -> dict[str, Any] | None:
    """Return the rules in the JSON file next to a table; None where there are none.

    Raises:
        InputError: The JSON file belongs to another table.
    """
    path = table.with_suffix(".json")
    summary = read_json(path)
    # A spreadsheet may have added a byte-order mark and other ends of lines.
    content = table.read_bytes().removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
    if TABLE_HASH in summary and summary[TABLE_HASH] != hashlib.sha256(content).hexdigest():
        raise InputError(f"{table}: is not the table that {path.name} belongs to, or was changed; evaluate again")
    rules = summary.get("rules")
    return rules if isinstance(rules, dict) else None


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison.

    Args:
        methods: Name -> region -> score -> `Summary`.
        tests: One dictionary per region, score and pair of methods: ``n``, ``median_difference``,
            ``mean_difference`` with its 95 % interval ``ci95``, ``p``, and ``p_holm``, corrected for all tests of the
            comparison.
        ranks: Method -> mean rank over all cases, regions and scores; 1 is best.
        facts: All of this and what it was computed from, ready for JSON.
    """

    methods: dict[str, dict[str, dict[str, Any]]]
    tests: tuple[dict[str, Any], ...]
    ranks: dict[str, float]
    facts: dict[str, Any]


def compare(
    tables: Sequence[ScoreTable], *, scores: Sequence[str] = ("dice", "hd95"), common: bool = False
) -> Comparison:
    """Compare methods case by case.

    Args:
        tables: Two or more, scored by the same rules.
        scores: Scores to compare and rank by.
        common: Compare on the cases that all tables have. Otherwise a table that lacks a case is an error, because
            leaving out the cases on which one method failed would favour it.

    Returns:
        Summaries, tests and ranks.

    Raises:
        InputError: Fewer than two tables, a name twice, or different rules, regions, scores or cases.
    """
    _check_comparable(tables, scores)
    names = [table.name for table in tables]
    cases, lacking = common_cases(tables, common)
    on_cases = {table.name: table.on_cases(cases) for table in tables}
    columns = {
        key: {name: values[key] for name, values in on_cases.items()} for key in tables[0].values if key[0] in scores
    }
    methods: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in names}
    for (score, region), by_method in columns.items():
        for name, values in by_method.items():
            methods[name].setdefault(region, {})[score] = summarise(values.tolist())
    tests = _test_pairs(columns)
    higher_is_better = rankable_scores()
    mean = mean_ranks(
        [np.stack(list(by_method.values())) for by_method in columns.values()],
        [higher_is_better[score] for score, _ in columns],
    )
    ranks = {name: float(rank) for name, rank in zip(names, mean, strict=True)}
    facts = {
        "software": f"tunetseg {__version__}",
        "rules": tables[0].rules,
        "cases": cases,
        "left_out": lacking,
        "failed": {table.name: [case for case in table.failed if case in cases] for table in tables},
        "test": "two-sided Wilcoxon signed-rank test, p_holm corrected over all tests here",
        "ranking": "mean over cases, regions and scores of the method's rank, 1 is best",
        "methods": methods,
        "tests": tests,
        "ranks": ranks,
    }
    return Comparison(methods, tuple(tests), ranks, facts)


def _test_pairs(columns: dict[tuple[str, str], dict[str, NDArray[np.float64]]]) -> list[dict[str, Any]]:
    tests = [
        {"score": score, "region": region, **test._asdict()}
        for (score, region), by_method in columns.items()
        for test in paired_tests({name: values.tolist() for name, values in by_method.items()})
    ]
    for test, corrected in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = corrected
    return tests


def common_cases(tables: Sequence[ScoreTable], common: bool) -> tuple[list[str], dict[str, list[str]]]:
    """Return the cases that all tables have, and for each table that lacks some, which."""
    cases = sorted(set.intersection(*(set(table.cases) for table in tables)))
    every = set().union(*(table.cases for table in tables))
    lacking = {table.name: sorted(every - set(table.cases)) for table in tables if every - set(table.cases)}
    if lacking and not common:
        name, missing = next(iter(lacking.items()))
        raise InputError(f"{name}: lacks case {missing[0]}, which another table has; compare on common cases only")
    if not cases:
        raise InputError(f"{' and '.join(table.name for table in tables)} have no case in common")
    return cases, lacking


def _check_comparable(tables: Sequence[ScoreTable], scores: Sequence[str]) -> None:
    if len(tables) < 2:
        raise InputError(f"a comparison needs two or more tables, but got {len(tables)}; give another")
    if not scores:
        raise InputError("no score to compare; name one or more, such as dice")
    if any(table.rules is None for table in tables):
        raise InputError(_describe_difference(tables[0], next(table for table in tables if table.rules is None)))
    check_alike(tables)
    for table in tables:
        known = dict.fromkeys(score for score, _ in table.values)
        for score in scores:
            if score not in known:
                raise InputError(f"{table.name}: unknown score {score!r}; choose from {', '.join(known)}")


def check_alike(tables: Sequence[ScoreTable]) -> None:
    """Raise InputError where tables have one name, other regions, or, as far as they say, other rules."""
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise InputError(f"two tables have the same name ({', '.join(names)}); give each a name (--names)")
    first = tables[0]
    for table in tables:
        if table.rules is not None and first.rules is not None and table.rules != first.rules:
            raise InputError(_describe_difference(first, table))
        if {region for _, region in table.values} != {region for _, region in first.values}:
            raise InputError(f"{table.name}: other regions than {first.name}; evaluate both alike")


def _describe_difference(first: ScoreTable, second: ScoreTable) -> str:
    """Return how the rules of two tables differ."""
    for table in (first, second):
        if table.rules is None:
            return f"{table.name}: no .json with its rules next to the table; keep both files that tunet evaluate wrote"
    assert first.rules is not None
    assert second.rules is not None
    key = next(key for key in (*first.rules, *second.rules) if first.rules.get(key, "") != second.rules.get(key, ""))
    return (
        f"{second.name}: rules whose {key} is {second.rules.get(key)}, but {first.name} has {first.rules.get(key)}; "
        "evaluate both with the same rules"
    )


def names_of_tables(paths: Sequence[Path]) -> list[str]:
    """Return one name per table: the file's, or its folder's where all files are called the same.

    Examples:
        >>> names_of_tables([Path("a/scores.csv"), Path("b/scores.csv")])
        ['a', 'b']
    """
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [Path(os.path.realpath(path)).parent.name for path in paths]
