"""Scores as files."""

import hashlib
import json
import math

from tunetseg.evaluation.tables import columns, write_json, write_scores


def test_cells_and_order_of_columns(tmp_path):
    rows = [
        {"status": "scored", "case": "a", "hd95": math.nan, "dice": 1 / 3, "region": "whole", "lesion_tp": 2},
        {"status": "missing", "case": "b,c", "hd95": 373.12866, "dice": 0.0, "region": "whole", "lesion_tp": 0},
    ]
    write_scores(rows, {"mean": math.nan, "cases": ("a", "b,c"), "µ": 1}, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().splitlines() == [
        "case,region,dice,hd95,lesion_tp,status",
        "a,whole,0.333333,,2,scored",
        '"b,c",whole,0.0,373.12866,0,missing',
    ]
    text = (tmp_path / "s.json").read_text(encoding="utf-8")
    digest = hashlib.sha256((tmp_path / "s.csv").read_bytes()).hexdigest()
    assert json.loads(text) == {"mean": None, "cases": ["a", "b,c"], "µ": 1, "table_sha256": digest}
    assert "µ" in text


def test_unknown_keys_are_not_columns():
    assert columns({"case": "a", "region": "r", "guess": 1.0}) == ("case", "region")


def test_nested_nan_becomes_null(tmp_path):
    write_json({"a": [{"b": (math.nan, 1.0)}]}, tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [{"b": [None, 1.0]}]}
