"""The page of a cohort."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tunetseg.cli.main import main
from tunetseg.datasets import find_cases
from tunetseg.errors import InputError
from tunetseg.report.cohort import read_score_table
from tunetseg.report.strips import make_strips


@pytest.fixture(scope="module")
def folder(mri_cohort: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four segmented patients with pages, copied to make eight, one of them warned of and one far larger."""
    out = tmp_path_factory.mktemp("cohort") / "results"
    assert main(["segment", str(mri_cohort), "--model", str(tiny_model), "--out", str(out), "--report"]) == 0
    volumes = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 900.0]
    cases = find_cases(mri_cohort)
    for number, volume in enumerate(volumes):
        source = out / f"{cases[number % 4].id}.json"
        said = json.loads(source.read_text())
        said["volume_ml"]["whole"] = volume
        said["findings"] = [{"code": "gap", "level": "warning", "message": "a <i>gap</i>"}] if number == 5 else []
        if number >= 4:
            said["case"] = f"extra{number}"
            shutil.copy(source.with_suffix(".nii.gz"), out / f"extra{number}.nii.gz")
        (out / f"{said['case']}.json").write_text(json.dumps(said))
    return out


@pytest.fixture(scope="module")
def report(folder: Path, mri_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scores = tmp_path_factory.mktemp("scores") / "scores.csv"
    with scores.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "region", "dice", "hd95"])
        for number, case in enumerate(case.id for case in find_cases(mri_cohort)):
            writer.writerow([case, "whole", 0.5 + number / 10, "" if number == 0 else 3.0])
    # The cases that were copied have no images.
    assert main(["report", str(folder), "--scores", str(scores)]) == 0
    return folder / "report.html"


def test_segmenting_several_with_a_report_writes_one(folder: Path, mri_cohort: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    for case in find_cases(mri_cohort):
        assert f'<a href="{case.id}.html">{case.id}</a>' in text


def test_outliers_and_warnings_come_first(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert text.index(">extra7<") < text.index(">extra6<")
    assert text.index(">extra5<") < text.index(">extra6<")
    assert "<li>volume of whole is high</li>" in text
    assert "a &lt;i&gt;gap&lt;/i&gt;" in text
    assert text.count('data-out="yes"') == 2


def names(page: Any) -> list[str]:
    return list(page.locator("#patients tbody tr:not([hidden]) th").all_inner_texts())


def test_it_sorts_and_filters(page: Any, report: Path) -> None:
    page.goto(report.as_uri())
    first = names(page)
    heading = page.locator("#patients thead th").nth(2)
    heading.locator("button").click()
    volumes = page.locator("#patients tbody tr td:nth-child(3)").all_inner_texts()
    assert [float(volume) for volume in volumes] == sorted(map(float, volumes), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="Patient").click()
    assert names(page) == sorted(first)
    page.get_by_role("button", name="HD95 in mm, whole").click()
    assert page.locator("#patients tbody tr").last.locator("td").nth(7).inner_text() == "\u2013", "no value comes last"
    page.locator("#search").fill("gap")
    assert names(page) == ["extra5"]
    page.locator("#search").fill("")
    page.locator("#only").check()
    assert sorted(names(page)) == ["extra5", "extra7"]
    assert page.locator("#count").inner_text() == "2 of 8 shown"


def test_a_table_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "volumes.csv").write_text("case,whole_ml\na,1\n")
    with pytest.raises(InputError, match="not a table of scores"):
        read_score_table(tmp_path / "volumes.csv")
    with pytest.raises(InputError, match="there is no such file"):
        read_score_table(tmp_path / "nothing.csv")


def test_places_of_dots() -> None:
    strips = make_strips("Dice", [("whole", "#000000", [("a", 0.0), ("b", 1.0), ("c", float("nan"))])], limits=(0, 1))
    assert strips is not None
    (row,) = strips.rows
    assert [(dot.case, dot.x) for dot in row.dots] == [("a", 8.0), ("b", 632.0)]
    assert row.bar[1] == 320.0
    assert row.summary == "2 cases, median 0.5, quartiles 0.2 and 0.8"
    assert [text for _, text in strips.ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert make_strips("Dice", [("whole", "#000000", [("a", float("nan"))])]) is None
