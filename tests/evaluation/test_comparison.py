"""Comparing tables of scores."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tunetseg.errors import InputError
from tunetseg.evaluation.comparison import compare, names_of_tables, rankable_scores, read_scores
from tunetseg.evaluation.evaluate import evaluate


def test_the_better_method_wins(tables: list[Path]) -> None:
    found = compare([read_scores(path) for path in tables])
    assert found.ranks["good"] < found.ranks["bad"]
    whole = {name: found.methods[name]["whole"]["dice"] for name in ("good", "bad")}
    assert whole["good"]["mean"] > whole["bad"]["mean"]
    assert whole["good"]["n"] == 8
    assert {(test["score"], test["region"]) for test in found.tests} == {
        (score, region) for score in ("dice", "hd95") for region in ("whole", "core", "enhancing")
    }
    assert all(test["p"] <= test["p_holm"] <= 1 for test in found.tests)


Rewrite = Callable[[Path, str], None]


def test_invalid_input_is_explained(tables: list[Path], tmp_path: Path, rewrite: Rewrite) -> None:
    good, bad = (read_scores(path) for path in tables)
    with pytest.raises(InputError, match="two or more"):
        compare([good])
    with pytest.raises(InputError, match="two tables have the same name"):
        compare([good, good])
    with pytest.raises(InputError, match="unknown score 'dauc'; choose from dice, hd95"):
        compare([good, bad], scores=("dauc",))
    lines = tables[1].read_text().splitlines()
    shorter = tmp_path / "short.csv"
    shorter.with_suffix(".json").write_bytes(tables[1].with_suffix(".json").read_bytes())
    rewrite(shorter, "\n".join(lines[:-3]))
    short = read_scores(shorter)
    with pytest.raises(InputError, match=r"short: lacks case case7, which another table has"):
        compare([good, short])
    common = compare([good, short], common=True)
    assert common.facts["left_out"] == {"short": ["case7"]}
    assert len(common.facts["cases"]) == 7
    (tmp_path / "broken.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match="enhancing of case7 is missing"):
        read_scores(tmp_path / "broken.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a table of scores"):
        read_scores(tmp_path / "other.csv")
    with pytest.raises(InputError, match="there is no such file"):
        read_scores(tmp_path / "nowhere.csv")


def test_other_rules_do_not_mix(tables: list[Path], tmp_path: Path) -> None:
    evaluate(tmp_path / "bad", tmp_path / "truth", rules="brats2019").save(tmp_path / "skip.csv")
    with pytest.raises(InputError, match="rules whose name is brats2019, but good has brats2020"):
        compare([read_scores(tables[0]), read_scores(tmp_path / "skip.csv")])
    evaluate(tmp_path / "bad", tmp_path / "truth", rules="brats2020", tolerance=2.0).save(tmp_path / "near.csv")
    with pytest.raises(InputError, match=r"surface_dice_tolerance_mm is 2\.0, but good has None"):
        compare([read_scores(tables[0]), read_scores(tmp_path / "near.csv")])
    facts = json.loads((tmp_path / "near.json").read_text())
    facts["rules"] |= {"surface_dice_tolerance_mm": None, "invented": None}
    (tmp_path / "near.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="invented is None, but good has"):
        compare([read_scores(tables[0]), read_scores(tmp_path / "near.csv")])
    (tmp_path / "near.json").unlink()
    with pytest.raises(InputError, match=r"near: no \.json with its rules next to the table"):
        compare([read_scores(tables[0]), read_scores(tmp_path / "near.csv")])


def test_tables_of_one_name_are_named_by_their_folder() -> None:
    assert names_of_tables([Path("a/scores.csv"), Path("b/scores.csv")]) == ["a", "b"]
    assert names_of_tables([Path("a/one.csv"), Path("a/two.csv")]) == ["one", "two"]


def test_nothing_to_compare_by(tables: list[Path]) -> None:
    with pytest.raises(InputError, match="no score to compare"):
        compare([read_scores(path) for path in tables], scores=())


def test_scores_that_can_be_ranked() -> None:
    ranked = rankable_scores()
    assert ranked["dice"]
    assert ranked["hd95"] is False
    assert "volume_error_ml" not in ranked


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda text: text + text.splitlines()[1] + "\n", "a case and region is there twice"),
        (lambda text: text.replace("case0,whole,", "case0,whole,much", 1), "dice is 'much0"),
        (lambda text: text.splitlines()[0] + "\n", "not a table of scores"),
    ],
)
def test_broken_tables(tables: list[Path], change, fault: str) -> None:
    tables[0].write_text(change(tables[0].read_text()))
    with pytest.raises(InputError, match=fault):
        read_scores(tables[0])


@pytest.mark.parametrize("value", ["inf", "-inf", "1e999", "1e308", "-1", "2", "1_0", "٣", "nan", "x", " 0.5", "0x1"])
def test_scores_that_are_none(tables: list[Path], rewrite: Rewrite, value: str) -> None:
    """Some were a crash of JSON, and others were taken."""
    lines = tables[0].read_text().splitlines()
    lines[1] = ",".join((*lines[1].split(",")[:2], value, *lines[1].split(",")[3:]))
    rewrite(tables[0], "\n".join(lines))
    with pytest.raises(InputError, match=r"good\.csv: dice is .*, but must be a number from 0 to 1; evaluate again"):
        read_scores(tables[0])


def test_a_table_that_is_cut_off(tables: list[Path]) -> None:
    text = tables[0].read_text()
    for cut in range(1, 60):
        tables[0].write_text(text[:-cut])
        with pytest.raises(InputError, match=r"good\.csv: "):
            read_scores(tables[0])


def test_a_table_and_a_summary_of_two_evaluations(tables: list[Path]) -> None:
    """Where the disk was full between them, scores by one rule set were compared under the name of another."""
    read_scores(tables[0])
    first, second = (path.read_text() for path in tables)
    tables[0].write_text(second)
    with pytest.raises(InputError, match=r"good\.csv: is not the table that good\.json belongs to, or was changed"):
        read_scores(tables[0])
    tables[0].write_bytes(b"\xef\xbb\xbf" + first.replace("\n", "\r\n").encode())
    read_scores(tables[0])


def test_a_summary_that_nests_without_end(tables: list[Path]) -> None:
    tables[0].with_suffix(".json").write_text("[" * 100_000)
    assert read_scores(tables[0]).rules is None


def test_other_regions_are_not_compared(tables: list[Path], rewrite: Rewrite) -> None:
    lines = tables[0].read_text().splitlines()
    rewrite(tables[0], "\n".join(line for line in lines if ",core," not in line))
    with pytest.raises(InputError, match="other regions"):
        compare([read_scores(path) for path in tables])
