"""`tunet compare` as a person calls it."""

import json
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from tunetseg.cli.main import main
from tunetseg.evaluation.tables import write_scores

SUMMARY = {"rules": {"name": "brats2020", "version": 1}, "regions": {}}


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Scores of a good and a worse method on eight cases."""
    generator = np.random.default_rng(0)
    for name, dice in (("good", 0.9), ("bad", 0.7)):
        rows = [
            {
                "case": f"case{n}",
                "region": region,
                "dice": dice + generator.normal(0, 0.05),
                "hd95": 10 * (1 - dice) + n,
            }
            for n in range(8)
            for region in ("whole", "core", "enhancing")
        ]
        write_scores(rows, SUMMARY, tmp_path / f"{name}.csv")
    return [tmp_path / "good.csv", tmp_path / "bad.csv"]


def change(table: Path, text: str) -> None:
    """Rewrite a table as if it had been evaluated so."""
    table.write_text(text)
    table.with_suffix(".json").write_text(json.dumps(SUMMARY))


def compare(*words: object) -> int:
    return main(["compare", *map(str, words)])


def test_everything_is_written(tables: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(*tables, "--out", tmp_path / "all.json", "--plot", tmp_path / "all.png") == 0
    text = capsys.readouterr().out
    assert "paired Wilcoxon" in text
    assert "Mean rank" in text
    assert text.index("good 1.00") < text.index("bad 2.00")
    assert "all.tex, " in text
    facts = json.loads((tmp_path / "all.json").read_text())
    assert facts["rules"]["name"] == "brats2020"
    assert len(facts["cases"]) == 8
    markdown = (tmp_path / "all.md").read_text().splitlines()
    assert markdown[0] == "| Model | DSC whole | DSC core | DSC enh. | HD95 whole | HD95 core | HD95 enh. |"
    assert markdown[2].startswith("| good | ")
    latex = (tmp_path / "all.tex").read_text()
    assert r"\multicolumn{3}{c}{DSC} & \multicolumn{3}{c}{HD95}" in latex
    assert latex.count("&") == 2 + 3 * 6
    assert matplotlib.image.imread(tmp_path / "all.png").shape[0] > 300


@pytest.mark.parametrize(
    ("option", "name", "fault"),
    [
        ("--out", "nowhere/x.json", "does not exist"),
        ("--plot", "nowhere/x.png", "does not exist"),
        ("--plot", "x.pdf", "ends in .png"),
        ("--report", "x.pdf", "ends in .html"),
        ("--report", "nowhere/x.html", "does not exist"),
    ],
)
def test_targets_are_checked_first(tables, tmp_path, capsys, option, name, fault) -> None:
    assert compare(*tables, option, tmp_path / name) == 2
    printed = capsys.readouterr()
    assert fault in printed.err
    assert not printed.out


def test_a_library_that_is_not_installed_is_named(tables, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delitem(sys.modules, "tunetseg.report.comparison_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert compare(*tables, "--plot", tmp_path / "x.png") == 1
    assert "needs matplotlib" in capsys.readouterr().err


def test_odd_names_and_tables(tables, capsys) -> None:
    """Markup, a table that a spreadsheet saved with a byte order mark, and names that fill a window."""
    tables[0].write_bytes(b"\xef\xbb\xbf" + tables[0].read_bytes())
    names = ["TuNet with squeeze-and-excitation [red]narrow", "[/b] the baseline that everybody has"]
    assert compare(*tables, "--names", *names) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in names)
    assert "p (Holm)" in text


def test_names_must_be_as_many_as_tables(tables, capsys) -> None:
    assert compare(*tables, "--names", "one") == 2
    assert "--names: 1 names for 2 tables" in capsys.readouterr().err


def test_tables_of_unknown_rules_are_not_compared(tables, capsys) -> None:
    for table in tables:
        table.with_suffix(".json").unlink()
    assert compare(*tables) == 2
    assert "no .json with its rules next to the table" in capsys.readouterr().err


def test_a_missing_case_is_an_error_unless_common_ones_are_requested(tables, capsys) -> None:
    change(tables[1], "\n".join(tables[1].read_text().splitlines()[:-3]))
    assert compare(*tables) == 2
    assert "bad: lacks case case7" in capsys.readouterr().err
    assert compare(*tables, "--common") == 0
    assert "WARNING: cases that not all tables have were left out: bad lacks 1." in capsys.readouterr().out


def test_only_an_earlier_comparison_is_overwritten(tables, tmp_path, capsys) -> None:
    for _ in range(2):
        assert compare(*tables, "--out", tmp_path / "c.json") == 0
    before = tables[0].with_suffix(".json").read_text()
    assert compare(*tables, "--out", tables[0].with_suffix(".json")) == 2
    assert "is not a comparison and would be overwritten" in capsys.readouterr().err
    assert tables[0].with_suffix(".json").read_text() == before


def test_failed_cases_are_told(tables, capsys) -> None:
    lines = tables[1].read_text().splitlines()
    change(
        tables[1],
        "\n".join(
            [f"{lines[0]},status", *(f"{line},scored" for line in lines[1:-3])]
            + [f"{line},missing" for line in lines[-3:]]
        ),
    )
    assert compare(*tables) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "WARNING: cases whose prediction was missing or could not be scored: bad 1 (case7)." in text
