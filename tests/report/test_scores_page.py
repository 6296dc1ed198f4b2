"""The pages of an evaluation and of a comparison."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tunetseg.cli.main import main
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.scores import Scores
from tunetseg.report.agreement import make_agreement
from tunetseg.report.pages import MARK
from tunetseg.report.scores import case_rows, scores_page
from tunetseg.report.strips import make_strips

CASES = ("a", "b", "c&<i>", "d", "e")


def label_map(shift: int = 0, values: tuple[int, int, int] = (2, 1, 4)) -> np.ndarray:
    labels = np.zeros((14, 12, 10), np.uint8)
    for value, margin in zip(values, (1, 2, 3), strict=True):
        labels[margin + shift : 11 - margin + shift, margin : 11 - margin, margin : 9 - margin] = value
    return labels


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five cases by two methods; of the first method b is missing, d unreadable, e lacks the enhancing tumour."""
    folder = tmp_path_factory.mktemp("sides")
    for side in ("references", "first", "second"):
        (folder / side).mkdir()
        for number, case in enumerate(CASES):
            shift = {"references": 0, "first": number % 3, "second": 2}[side]
            values = (2, 1, 1) if (side, case) == ("first", "e") else (2, 1, 4)
            nib.save(nib.Nifti1Image(label_map(shift, values), np.eye(4)), folder / side / f"{case}.nii.gz")
    (folder / "first/b.nii.gz").unlink()
    (folder / "first/d.nii.gz").write_bytes(b"broken")
    for case in ("a", "c&<i>"):
        (folder / f"first/{case}.html").write_text(f"<!doctype html>{MARK}")
    (folder / "first/e.html").write_text("of another program")
    return folder


@pytest.fixture(scope="module")
def scores(sides: Path) -> Scores:
    return evaluate(sides / "first", sides / "references", rules="brats2023-gli", labels="2021")


@pytest.fixture(scope="module")
def pages(sides: Path) -> Path:
    """Folder of both pages, with the tables."""
    out = sides / "out"
    out.mkdir()
    for side in ("first", "second"):
        call = ["evaluate", str(sides / side), str(sides / "references"), "--labels", "2021"]
        assert main([*call, "--out", str(out / f"{side}.csv"), "--report", str(out / f"{side}.html")]) == 0
    call = ["compare", str(out / "first.csv"), str(out / "second.csv"), "--names", "<b>one</b>", "two"]
    assert main([*call, "--out", str(out / "both.json"), "--report", str(out / "both.html")]) == 0
    return out


def test_it_says_what_must_be_known(pages: Path) -> None:
    text = (pages / "first.html").read_text(encoding="utf-8")
    assert "5 cases, 2 failed, rules brats2020" in text
    assert "HD95: larger of the two directed 95th percentiles" in text
    assert "Research use, not a medical device." in text
    assert "<strong>Warning:</strong> 1 of 5 references have no prediction" in text
    assert not re.search(r"""(?:src|href)=["']?https?:""", text)
    assert "c&amp;&lt;i&gt;" in text
    assert "c&<i>" not in text


def test_failed_and_worst_cases_come_first(scores: Scores) -> None:
    rows = case_rows(scores, {"a": "a.html"}, ["lesion_dice", "dice"])
    assert [row.case for row in rows] == ["b", "d", "e", "c&<i>", "a"]
    assert [row.failed for row in rows] == [True, True, False, False, False]
    assert rows[0].notes == ("there is no prediction",)
    assert rows[1].notes[0] == "cannot be read"
    assert "not a NIfTI image" in rows[1].notes[1]
    assert rows[2].notes == ("enhancing missed",)
    assert rows[-1].page == "a.html"
    assert rows[-1].values["dice", "whole"] == 1


def test_it_links_to_the_reports_of_patients_that_exist(pages: Path) -> None:
    text = (pages / "first.html").read_text(encoding="utf-8")
    assert '<a href="../first/a.html">a</a>' in text
    assert '<a href="../first/c%26%3Ci%3E.html">c&amp;&lt;i&gt;</a>' in text
    assert text.count("<a href=") == 2, "the page of another program is none"


def test_scores_that_the_rules_leave_out(sides: Path, tmp_path: Path) -> None:
    """A case that is skipped has no score, and comes first all the same."""
    found = evaluate(sides / "first", sides / "references", rules="brats2026-goat", labels="2021")
    page = found.report(tmp_path / "scores.html", predictions=sides / "first").read_text(encoding="utf-8")
    first = page[page.index("<tbody>", page.index('id="cases"')) :]
    assert first.index(">b<") < first.index(">d<") < first.index("&lt;i&gt;")
    assert '<td class="number" data-value="">\u2013</td>' in first


def test_six_regions_have_fewer_columns(sides: Path) -> None:
    found = evaluate(sides / "second", sides / "references", rules="brats2024-gli", labels="2021")
    text = scores_page(found, Path("scores.html"))
    assert "lesion-wise Dice, cavity" in text
    assert "Dice, whole</th>" in text
    assert text.count('data-sort="number"') == 12


def test_reliability_is_drawn_where_probabilities_were_scored(scores: Scores) -> None:
    assert "Reliability" not in scores_page(scores, Path("scores.html"))
    bins = [
        {"from": n / 10, "to": (n + 1) / 10, "voxels": 10 * (n != 3), "confidence": n / 10 + 0.05, "frequency": n / 10}
        for n in range(10)
    ]
    bins[3] |= {"confidence": float("nan"), "frequency": float("nan")}
    summary = {**scores.summary, "reliability": {"whole": {"brier": 0.0123, "bins": bins}}}
    text = scores_page(replace(scores, summary=summary), Path("scores.html"))
    assert "whole (Brier score 0.0123)" in text
    assert 'aria-label="Share of voxels in the reference by probability: ' in text
    curve = re.findall(r'<path d="(M[^"]+)" stroke="#0072B2"/>', text)
    assert len(curve) == 1
    assert curve[0].count("L") == 8, "the empty bin is left out"


def test_agreement_of_volumes() -> None:
    cases = [("a", 10.0, 12.0), ("b", 20.0, 20.0), ("c", 30.0, 34.0), ("d", 5.0, float("nan"))]
    drawn = make_agreement("whole", "#000000", cases)
    assert drawn is not None
    assert drawn.summary == "3 cases: mean difference +2.0 ml, limits of agreement -1.9 to +5.9 ml"
    assert drawn.dots[0].label == "a: +2.0 ml at 11.0 ml"
    (bias, _), (lower, _), (upper, _) = drawn.lines
    assert lower - bias == pytest.approx(bias - upper, abs=0.1)
    assert drawn.dots[0].y == bias, "its difference is the mean"
    assert [text for _, text in drawn.across] == ["0", "10", "20", "30"]
    assert make_agreement("whole", "#000000", cases[:1]) is None
    equal = make_agreement("whole", "#000000", [("a", 0.0, 0.0), ("b", 0.0, 0.0)])
    assert equal is not None
    assert "mean difference +0.0 ml" in equal.summary


def test_a_comparison_shows_paired_differences(pages: Path) -> None:
    text = (pages / "both.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;one&lt;/b&gt;, two" in text
    assert "<b>one</b>" not in text
    assert "5 cases, rules brats2020; failed: &lt;b&gt;one&lt;/b&gt; 2, two 0" in text
    assert "could not be scored: &lt;b&gt;one&lt;/b&gt; 2 (b, d)." in text
    assert "Dice, &lt;b&gt;one&lt;/b&gt; minus two (to the right &lt;b&gt;one&lt;/b&gt; is better)" in text
    assert "HD95 in mm, &lt;b&gt;one&lt;/b&gt; minus two (to the right two is better)" in text
    assert re.search(r"whole: mean [+-]0\.\d{3} \([+-]\d\.\d{3} to [+-]\d\.\d{3}\), p \d[^,]*, n 5", text)
    assert "Research use, not a medical device." in text
    assert "HD95: larger of the two directed" in text


def test_all_files_of_an_evaluation_appear_together_or_none(scores: Scores, tmp_path: Path) -> None:
    for folder in ("tables", "pages"):
        (tmp_path / folder).mkdir()
    written = scores.save(tmp_path / "tables/scores.csv", report=tmp_path / "pages/scores.html")
    assert [path.name for path in written] == ["scores.csv", "scores.json", "scores.html"]
    assert all(path.is_file() for path in written)
    one_folder = scores.save(tmp_path / "tables/scores.csv", report=tmp_path / "tables/scores.html")
    assert all(path.is_file() for path in one_folder)
    one_folder[-1].unlink()
    with pytest.raises(OSError, match="nowhere"):
        scores.save(tmp_path / "tables/other.csv", report=tmp_path / "nowhere/other.html")
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["scores.csv", "scores.html", "scores.json"]


def names(page: Any) -> list[str]:
    return list(page.locator("#cases tbody tr:not([hidden]) th").all_inner_texts())


def test_sorting_filtering_and_copying(page: Any, pages: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto((pages / "first.html").as_uri())
    assert names(page)[:2] == ["b", "d"]
    page.get_by_role("button", name="Dice, whole", exact=False).first.click()
    assert names(page)[0] == "a"
    page.get_by_role("button", name="Case").click()
    assert names(page) == sorted(CASES)
    page.locator("#only").check()
    assert names(page) == ["b", "d", "e"]
    table = page.locator(".copied").first
    for name, start in (("CSV", "region,Dice,HD95 in mm,n,"), ("Markdown", "| region | Dice |"), ("LaTeX", "\\begin{")):
        table.get_by_role("button", name=f"Copy as {name}").click()
        table.get_by_text(f"Copied as {name}.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()").startswith(start)
    page.goto((pages / "both.html").as_uri())
    page.locator("#cases thead button").nth(1).click()
    column = [float(text) for text in page.locator("#cases tbody tr td:nth-child(2)").all_inner_texts()]
    assert column == sorted(column, reverse=True)
    assert page.get_by_role("button", name="Copy as LaTeX").count() == 3


def test_without_scripts_the_texts_can_be_unfolded(browser: Any, pages: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    shown = context.new_page()
    shown.goto((pages / "first.html").as_uri())
    assert not shown.get_by_role("button").count()
    shown.locator(".copied summary").first.click()
    assert "region,Dice,HD95 in mm" in shown.locator(".copied pre").first.inner_text()
    assert names(shown)[0] == "b"
    context.close()


def test_dots_of_many_cases_are_small_and_do_not_leave_their_row() -> None:
    few, many = (
        make_strips("Dice", [("whole", "#000000", [(str(n), 0.5) for n in range(count)])], limits=(0, 1))
        for count in (100, 1000)
    )
    assert few is not None
    assert many is not None
    assert (few.radius, many.radius) == (3, 1.5)
    for drawn in (few, many):
        heights = {round(dot.y, 2) for dot in drawn.rows[0].dots}
        assert 5 <= len(heights) <= 9
        assert 14 < min(heights) < max(heights) == 35
