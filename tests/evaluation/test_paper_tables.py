"""Tables in the layout of the paper's."""

import math
import re

import pytest

from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.paper_tables import csv_table, latex_table, markdown_table, score_table, write_tables


def test_tables_in_the_papers_layout(tmp_path, references, tumour, flat):
    predictions = flat(tmp_path / "predictions", a=tumour(shift=1), b=tumour())
    scores = evaluate(predictions, references, rules="brats2023")
    scores.save(tmp_path / "mine.csv", tables=True)
    first, second = (tmp_path / "mine.md").read_text().split("\n\n")
    dice = scores.summary["regions"]["whole"]["dice"]
    assert first.splitlines()[2].split(" | ")[:2] == ["| mine", f"{100 * dice['mean']:.2f} ({100 * dice['sd']:.2f})"]
    assert second.startswith("| Model | lesion-wise DSC whole |")
    assert (tmp_path / "mine.tex").read_text().count(r"\begin{tabular}") == 2


def summary(mean: float, sd: float = 0.1) -> dict:
    return {"mean": mean, "sd": sd}


def test_ratios_are_percent_and_distances_are_mm():
    methods = {"A": {"whole": {"dice": summary(0.5), "hd95": summary(4), "sensitivity": summary(math.nan)}}}
    _, body = score_table(methods, ["dice", "hd95", "sensitivity"], spread=True)
    assert body == [["A", "50.00 (10.00)", "4.00 (0.10)", "-"]]
    assert score_table(methods, ["dice"], spread=False)[1] == [["A", "50.00"]]


HOSTILE = "50% & #1 $x^2$ a_b {c} ~d \\e | <f> *g* `h` [i]"


def test_names_cannot_break_latex():
    """B9: # $ ^ ~ { } were written as they are."""
    row = latex_table([["", "DSC"], ["Model", "whole"]], [[HOSTILE, "1"]]).splitlines()[6]
    cell = row.removesuffix(" & 1 \\\\")
    plain = re.sub(r"\\text\w+\{\}|\\[#$%&_{}]", "", cell)
    assert not set(plain) & set("#$%&_{}~^\\|<>")
    assert r"\textbackslash{}e" in cell
    assert r"x\textasciicircum{}2\$" in cell


def test_names_cannot_break_markdown():
    """B9: a pipe ended the cell."""
    lines = markdown_table([["", "DSC"], ["Model", "whole"]], [[HOSTILE + "\nnext", "1"]]).splitlines()
    assert len(lines) == 3
    assert len(re.findall(r"(?<!\\)\|", lines[2])) == 3
    assert r"a\_b" in lines[2]
    assert r"\*g\*" in lines[2]


def test_a_group_that_a_method_lacks_is_left_out(tmp_path):
    methods = {"A": {"whole": {"dice": summary(0.5)}}}
    files = write_tables(methods, [("dice",), ("dauc", "rftp")], tmp_path / "x.json")
    assert [path.name for path in files] == ["x.md", "x.tex"]
    assert (tmp_path / "x.md").read_text().count("Model") == 1


@pytest.mark.parametrize("regions", [("whole",), ("a", "b", "c", "d")])
def test_headings_span_their_regions(regions):
    methods = {"A": {region: {"dice": summary(0.5), "hd95": summary(1)} for region in regions}}
    table = latex_table(*score_table(methods, ["dice", "hd95"], spread=False))
    assert f"\\multicolumn{{{len(regions)}}}{{c}}{{DSC}}" in table
    assert f"\\cmidrule(lr){{{len(regions) + 2}-{2 * len(regions) + 1}}}" in table


def test_tables_with_one_row_of_headings():
    heads, body = [["region", "method", "Dice"]], [["whole", "a, b", "0.9 ± 0.1"]]
    assert csv_table(heads, body) == 'region,method,Dice\nwhole,"a, b",0.9 ± 0.1\n'
    assert markdown_table(heads, body, left=2).splitlines()[1] == "| --- | --- | ---: |"
    latex = latex_table(heads, body, left=2).splitlines()
    assert latex[0] == r"\begin{tabular}{llr}"
    assert latex[2] == r"region & method & Dice \\"
    assert latex[4] == r"whole & a, b & 0.9 $\pm$ 0.1 \\"
