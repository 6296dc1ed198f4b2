"""Scores as text."""

import math

from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.text import TextTable, format_number, format_table, summary_lines, summary_tables


def test_tables_that_were_requested_are_shown(tmp_path, references):
    first = summary_tables(evaluate(references, references).summary)
    assert [table.columns for table in first] == [
        ("region", "Dice", "HD95 in mm", "n", "sensitivity", "specificity"),
    ]
    assert summary_tables(evaluate(references, references, tolerance=1.0).summary)[0].columns[4] == "NSD"
    both = summary_tables(evaluate(references, references, tolerance=1.0, rules="brats2023").summary)
    assert [table.columns[1:] for table in both[1:]] == [
        ("HD100 in mm", "ASSD in mm", "surface Dice"),
        ("lesion-wise Dice", "lesion-wise HD95 in mm"),
    ]
    ones = ["1.000 ± 0.000"] * 3
    assert both[0].rows[0] == ("whole", ones[0], "0.00 ± 0.00", "2", *ones[1:], "1.0000 ± 0.0000")


def test_one_case_has_no_spread(tmp_path, tumour, flat):
    side = flat(tmp_path / "side", a=tumour())
    (table,) = summary_tables(evaluate(side, side).summary)
    assert table.title == "1 case, rules brats2020, mean ± SD"
    assert table.rows[2] == ("enhancing", "1.000", "0.00", "1", "1.000", "1.0000")


def test_long_lists_are_cut(tmp_path, tumour, flat):
    references = flat(tmp_path / "r", **{f"c{number:02d}": tumour() for number in range(15)})
    lines = summary_lines(evaluate(flat(tmp_path / "p", c00=tumour()), references).summary)
    (missing,) = [line for line in lines if line.startswith("WARNING")]
    assert missing.endswith(": c01, c02, c03, c04, c05, c06, c07, c08, c09, c10 and 4 more.")


def test_numbers_and_columns():
    assert [format_number(value, 2) for value in (1.005, math.nan, None)] == ["1.00", "-", "-"]
    text = format_table(TextTable("", ("name", "n"), (("a", "10"), ("long", "9"))))
    assert text == "name   n\na     10\nlong   9"


def test_the_usual_rules_of_the_label_values_are_said_where_none_were_named(tmp_path, tumour, flat):
    side = flat(tmp_path / "side", a=tumour(enhancing=3))
    lines = summary_lines(evaluate(side, side, labels="brats2023").summary)
    assert any("is scored by brats2023-gli" in line for line in lines)
    for options in ({"rules": "brats2020"}, {"dataset": "brats2023"}):
        said = summary_lines(evaluate(side, side, labels="brats2023", **options).summary)
        assert not any("No rules were named" in line for line in said)
    older = flat(tmp_path / "older", a=tumour())
    assert evaluate(older, older, labels="brats2020").summary["labels"]["usual_rules"] is None
