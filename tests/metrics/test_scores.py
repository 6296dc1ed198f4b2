"""The one table of scores, and that everything reads it."""

import numpy as np
import pytest

from tunetseg.evaluation.comparison import ScoreTable, compare
from tunetseg.evaluation.comparison_text import comparison_tables
from tunetseg.evaluation.paper_tables import score_table
from tunetseg.evaluation.tables import columns
from tunetseg.evaluation.text import summary_tables
from tunetseg.metrics import SCORES, Score, summarise_regions
from tunetseg.report.comparison_plot import draw_comparison


@pytest.fixture
def gain(monkeypatch) -> Score:
    """A score of its own, added by one entry."""
    score = Score("gain", "gain", unit="mm", digits=1, when_empty="overlap", table="masks", paper_title="GAIN")
    monkeypatch.setitem(SCORES, "gain", score)
    return score


def rows(value: float) -> list[dict]:
    base = dict.fromkeys(("dice", "hd95", "sensitivity", "specificity"), 0.5)
    return [
        {"case": case, "region": "whole", **base, "gain": value + n, "empty": empty, "status": "scored"}
        for n, (case, empty) in enumerate((("a", "none"), ("b", "both"), ("c", "none")))
    ]


def test_every_score_is_called_by_its_key():
    assert all(name == score.name for name, score in SCORES.items())


def test_a_score_in_the_table_appears_in_files_and_on_the_screen(gain):
    assert columns(rows(1)[0]) == (
        "case", "region", "dice", "hd95", "sensitivity", "specificity", "gain", "empty", "status"
    )  # fmt: skip
    statistics = summarise_regions(rows(1))["whole"]
    assert (statistics["gain"]["mean"], statistics["gain"]["set_by_rule"]) == (2, 1)
    empty = {"both": 1, "reference": 0, "prediction": 0}
    summary = {
        "cases": {"references": 3},
        "rules": {"name": "mine"},
        "regions": {"whole": {"empty": empty, **statistics}},
    }
    (table,) = summary_tables(summary)
    assert table.columns[-1] == "gain in mm"
    assert table.rows[0][-1] == "2.0 ± 1.0"
    heads, body = score_table({"A": {"whole": statistics}}, ["gain"], spread=True)
    assert (heads[0], body) == (["", "GAIN"], [["A", "2.00 (1.00)"]])


def test_a_score_in_the_table_is_compared_and_plotted(gain, tmp_path):
    tables = [
        ScoreTable(
            name, ("a", "b", "c"), {("gain", "whole"): np.array([value, value + 1, value + 2])}, {"name": "mine"}
        )
        for name, value in (("low", 1.0), ("high", 5.0))
    ]
    comparison = compare(tables, scores=["gain"])
    assert comparison.ranks == {"low": 2, "high": 1}
    first = comparison_tables(comparison)[0]
    assert first.title == "gain in mm, 3 cases"
    assert first.rows[0][:3] == ("whole", "low", "2.0 ± 1.0")
    assert draw_comparison(comparison, tables, tmp_path / "plot.png").stat().st_size > 0
