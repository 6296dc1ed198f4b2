"""A comparison as text and files."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from tunetseg.evaluation.comparison import compare, read_scores
from tunetseg.evaluation.comparison_text import comparison_lines, comparison_tables, write_comparison


def test_tables_and_lines(tables: list[Path]) -> None:
    comparison = compare([read_scores(path) for path in tables], scores=("dice", "hd95"))
    dice, hd95, tests = comparison_tables(comparison)
    assert dice.title == "Dice, 8 cases"
    assert dice.columns == ("region", "method", "mean ± SD", "95 % interval", "median", "n")
    assert [row[:2] for row in dice.rows[:3]] == [("whole", "good"), ("whole", "bad"), ("core", "good")]
    assert re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", dice.rows[0][2])
    assert hd95.title == "HD95 in mm, 8 cases"
    assert re.fullmatch(r"\d+\.\d{2} to \d+\.\d{2}", hd95.rows[0][3])
    assert [row[0] for row in tests.rows] == [
        f"{score}, {region}" for score in ("Dice", "HD95") for region in ("whole", "core", "enhancing")
    ]
    (line,) = comparison_lines(comparison)
    assert re.fullmatch(r"Mean rank .*: good 1\.\d\d, bad [12]\.\d\d\.", line)


def test_cases_left_out_are_said(tables: list[Path], rewrite: Callable[[Path, str], None]) -> None:
    lines = tables[1].read_text().splitlines()
    rewrite(tables[1], "\n".join(lines[:-3]))
    comparison = compare([read_scores(path) for path in tables], common=True)
    assert comparison_lines(comparison)[1] == ("WARNING: cases that not all tables have were left out: bad lacks 1.")


def test_files(tables: list[Path], tmp_path: Path) -> None:
    comparison = compare([read_scores(path) for path in tables])
    files = write_comparison(comparison, tmp_path / "all.json")
    assert [path.name for path in files] == ["all.json", "all.md", "all.tex"]
    facts = json.loads(files[0].read_text())
    assert set(facts) == {
        "software", "rules", "cases", "left_out", "failed", "test", "ranking", "methods", "tests", "ranks"
    }  # fmt: skip
    assert len(facts["tests"]) == 6
