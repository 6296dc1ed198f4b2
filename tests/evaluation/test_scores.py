"""Scores as an object: files, data frame, text."""

import json
import sys

import pytest

from tunetseg.errors import InputError
from tunetseg.evaluation.comparison import read_scores
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.scores import check_scores_target
from tunetseg.evaluation.tables import columns


def test_files_on_disk(tmp_path, references):
    out = tmp_path / "scores.csv"
    scores = evaluate(references, references, rules="brats2019")
    assert scores.save(out) == [out, tmp_path / "scores.json"]
    lines = out.read_text().splitlines()
    assert lines[0].split(",") == list(columns(scores.rows[0]))
    assert lines[0].startswith("case,region,dice,hd95,sensitivity,specificity,")
    assert lines[1] == "a,whole,1.0,0.0,1.0,1.0,1.0,1.0,0.0,0.0,0.0,0.0,0.192,0.192,none,scored"
    assert len(lines) == 1 + 2 * 3
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["rules"]["name"] == "brats2019"
    assert written["rules"]["hd95"] == "symmetric-max"
    assert written["rules"]["penalty_mm"] is None
    assert "research use" in written["note"]
    assert written["software"].startswith("tunetseg ")
    assert written["regions"]["core"]["dice"] == {
        **scores.summary["regions"]["core"]["dice"],
        "ci95": [1.0, 1.0],
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["references", "scores.csv", "scores.json"]


def test_unknown_spread_is_null_in_json(tmp_path, tumour, flat):
    side = flat(tmp_path / "side", a=tumour())
    evaluate(side, side).save(tmp_path / "scores.csv")
    assert json.loads((tmp_path / "scores.json").read_text())["regions"]["whole"]["dice"]["sd"] is None


def test_a_table_that_cannot_be_written(tmp_path, references):
    scores = evaluate(references, references)
    for out, message in (
        (tmp_path / "scores.txt", ".csv"),
        (tmp_path / "nowhere/scores.csv", "nowhere does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            scores.save(out)
        with pytest.raises(InputError, match=message):
            check_scores_target(out)


@pytest.mark.parametrize("text", ['{"case": "one", "labels": "brats2017"}', '{"stages": []}', "not JSON"])
def test_only_a_summary_is_overwritten(tmp_path, references, text, tumour, flat):
    flat(tmp_path / "p", one=tumour())
    manifest = tmp_path / "p/one.json"
    manifest.write_text(text)
    with pytest.raises(InputError, match="is not a summary of scores"):
        evaluate(references, references).save(tmp_path / "p/one.csv")
    assert manifest.read_text() == text
    assert not (tmp_path / "p/one.csv").exists()


def test_a_summary_is_overwritten(tmp_path, references):
    evaluate(references, references).save(tmp_path / "s.csv")
    before = (tmp_path / "s.json").read_text()
    evaluate(references, references, rules="brats2019").save(tmp_path / "s.csv")
    assert (tmp_path / "s.json").read_text() != before


def test_tables_of_the_paper_are_written_on_request(tmp_path, references):
    files = evaluate(references, references).save(tmp_path / "mine.csv", tables=True)
    assert [path.name for path in files] == ["mine.csv", "mine.json", "mine.md", "mine.tex"]
    assert all(path.stat().st_size for path in files)


def test_text_names_rules_means_and_definition(references):
    text = repr(evaluate(references, references))
    lines = text.splitlines()
    assert lines[0] == "2 cases, rules brats2020, mean ± SD"
    assert lines[1].split() == ["region", "Dice", "HD95", "in", "mm", "n", "sensitivity", "specificity"]
    assert lines[2].split()[:4] == ["whole", "1.000", "±", "0.000"]
    assert "HD95: larger of the two directed 95th percentiles" in text


def test_a_data_frame_has_the_columns_of_the_file(tmp_path, references):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    scores = evaluate(references, references)
    frame = scores.to_pandas()
    scores.save(tmp_path / "scores.csv")
    assert list(frame.columns) == list(pandas.read_csv(tmp_path / "scores.csv").columns)
    assert frame.groupby("region")["dice"].mean()["core"] == 1
    assert len(frame) == 6


def test_without_pandas_the_reason_is_clear(references, monkeypatch):
    scores = evaluate(references, references)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs pandas, which is not installed; run 'pip install pandas'"):
        scores.to_pandas()


def test_all_files_appear_or_none(tmp_path, references, monkeypatch):
    """Where the disk was full, a new table stood next to the summary of other rules."""
    evaluate(references, references, rules="brats2019").save(tmp_path / "s.csv", tables=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    scores = evaluate(references, references, rules="brats2020", strict=True)

    def full(facts, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("tunetseg.evaluation.tables.write_json", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        scores.save(tmp_path / "s.csv")
    assert caught.value.filename == str(tmp_path / "s.json")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    monkeypatch.undo()
    scores.save(tmp_path / "s.csv")
    assert read_scores(tmp_path / "s.csv").rules["name"] == "brats2020"
    assert read_scores(tmp_path / "s-strict.csv").rules is not None


def test_a_tolerance_without_end(references):
    for tolerance in (float("inf"), float("nan"), -1.0):
        with pytest.raises(InputError, match="invalid tolerance"):
            evaluate(references, references, tolerance=tolerance)
