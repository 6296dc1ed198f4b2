"""Comparing the tables of scores that several methods got on the same cases."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunetseg import __version__
from tunetseg.errors import InputError
from tunetseg.io.files import read_json
from tunetseg.metrics import summarise
from tunetseg.metrics.comparison import HIGHER_IS_BETTER, holm, mean_ranks, paired_tests

__all__ = ["Comparison", "ScoreTable", "compare", "names_for", "read_scores"]


@dataclass(frozen=True)
class ScoreTable:
    """One method's scores, as ``tunet evaluate --out`` wrote them.

    Args:
        name: Of the method: the file's, or its folder's where all files are called the same.
        cases: Names, sorted.
        values: (score, region) -> one value a case, NaN where the rules left it out.
        rules: What the JSON beside the table says of the rules, their version and thresholds; None where there is none.
    """

    name: str
    cases: tuple[str, ...]
    values: dict[tuple[str, str], NDArray[np.float64]]
    rules: dict[str, Any] | None


def read_scores(path: str | Path, name: str | None = None) -> ScoreTable:
    """Read a table of scores.

    Raises:
        InputError: The file cannot be read, is no such table, or misses a region of a case.
    """
    file = Path(path)
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read ({error}); give tables that tunet evaluate --out wrote") from None
    if not rows or not {"case", "region"} <= rows[0].keys():
        raise InputError(f"{file}: no table of scores, which has columns case, region, dice, ...")
    scores = [column for column in rows[0] if column in HIGHER_IS_BETTER]
    cases = tuple(sorted({row["case"] for row in rows}))
    regions = list(dict.fromkeys(row["region"] for row in rows))
    found = {(row["case"], row["region"]): row for row in rows}
    missing = [f"{region} of {case}" for case in cases for region in regions if (case, region) not in found]
    if missing or len(found) < len(rows):
        raise InputError(f"{file}: {f'{missing[0]} is missing' if missing else 'a case and region is there twice'}")
    try:
        values = {
            (score, region): np.array([float(found[case, region][score] or "nan") for case in cases])
            for score in scores
            for region in regions
        }
    except ValueError as error:
        raise InputError(f"{file}: a score is no number ({error})") from None
    return ScoreTable(name or file.stem, cases, values, _rules(file.with_suffix(".json")))


def _rules(path: Path) -> dict[str, Any] | None:
    rules = read_json(path).get("rules")
    return rules if isinstance(rules, dict) else None


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Args:
        methods: Name -> region -> score -> `Summary`.
        tests: One dictionary a region, score and pair of methods: ``n``, ``median_difference``, ``p``, and
            ``p_holm``, corrected for all tests of the comparison.
        ranks: Method -> mean rank over all cases, regions and scores; 1 is best.
        facts: All of it with what it was made from, ready for JSON.
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
        tables: Two or more, of one set of rules.
        scores: What to compare and rank by.
        common: Compare on the cases that all tables have; otherwise a table that lacks one is an error, for leaving
            out the cases that one method failed on would flatter it.

    Raises:
        InputError: Fewer than two tables, one name twice, other rules, regions, scores or cases.
    """
    names = [table.name for table in tables]
    if len(tables) < 2 or len(set(names)) < len(names):
        raise InputError(
            f"compare needs two or more tables of different names, not {', '.join(names) or 'none'}; "
            "give names with --names"
        )
    if not scores:
        raise InputError("no score to compare; name one or more, such as dice")
    _check_alike(tables, scores)
    cases = sorted(set.intersection(*(set(table.cases) for table in tables)))
    lacking = {table.name: sorted(set().union(*(t.cases for t in tables)) - set(table.cases)) for table in tables}
    short = [name for name in names if lacking[name]]
    if short and not common:
        raise InputError(f"{short[0]}: has no {lacking[short[0]][0]}, which another has; add --common to leave it out")
    if not cases:
        raise InputError(f"{' and '.join(names)} have no case in common")
    places = {table.name: np.searchsorted(table.cases, cases) for table in tables}
    columns = {
        key: {table.name: table.values[key][places[table.name]] for table in tables}
        for key in tables[0].values
        if key[0] in scores
    }
    methods: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in names}
    for (score, region), found in columns.items():
        for name, values in found.items():
            methods[name].setdefault(region, {})[score] = summarise(values.tolist())
    tests = [
        {"score": score, "region": region, **test._asdict()}
        for (score, region), found in columns.items()
        for test in paired_tests({name: values.tolist() for name, values in found.items()})
    ]
    for test, corrected in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = corrected
    ranked = mean_ranks(
        [np.stack(list(found.values())) for found in columns.values()], [HIGHER_IS_BETTER[key[0]] for key in columns]
    )
    ranks = {name: float(rank) for name, rank in zip(names, ranked, strict=True)}
    facts = {
        "software": f"tunetseg {__version__}",
        "rules": tables[0].rules,
        "cases": cases,
        "left_out": {name: lacking[name] for name in short},
        "test": "two-sided Wilcoxon signed-rank test, p_holm corrected over all tests here",
        "ranking": "mean over cases, regions and scores of the method's rank, 1 is best",
        "methods": methods,
        "tests": tests,
        "ranks": ranks,
    }
    return Comparison(methods, tuple(tests), ranks, facts)


def _check_alike(tables: Sequence[ScoreTable], scores: Sequence[str]) -> None:
    first = tables[0]
    for table in tables:
        if table.rules is None or table.rules != first.rules:
            raise InputError(_other_rules(first, table))
        if {key[1] for key in table.values} != {key[1] for key in first.values}:
            raise InputError(f"{table.name}: other regions than {first.name}")
        for score in scores:
            if score not in {key[0] for key in table.values}:
                there = ", ".join(dict.fromkeys(key[0] for key in table.values))
                raise InputError(f"{table.name}: no score {score!r}; there are {there}")


def _other_rules(one: ScoreTable, other: ScoreTable) -> str:
    for table in (one, other):
        if table.rules is None:
            return f"{table.name}: no .json beside the table tells its rules; keep what tunet evaluate wrote together"
    assert one.rules is not None
    assert other.rules is not None
    key = next(key for key in (*one.rules, *other.rules) if one.rules.get(key) != other.rules.get(key))
    return (
        f"{other.name}: rules whose {key} is {other.rules.get(key)}, but {one.name} has {one.rules.get(key)}; "
        "evaluate both with the same"
    )


def names_for(paths: Sequence[Path]) -> list[str]:
    """A name a table: the file's, or its folder's where files are called the same."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [path.resolve().parent.name for path in paths]
