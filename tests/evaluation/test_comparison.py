"""Comparing tables of scores, from files to files."""

import json
import sys
from pathlib import Path

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest

from tunetseg.cli.main import main
from tunetseg.errors import InputError
from tunetseg.evaluation.comparison import compare, names_for, read_scores
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.report.comparison_plot import draw_comparison


def cube(size: int, shift: int = 0) -> np.ndarray:
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[2 + shift : 12 + shift, 2:12, 2:12] = 2
    labels[3 + shift : 3 + shift + size, 3:9, 3:9] = 1
    labels[4 + shift : 3 + shift + size - 1, 4:8, 4:8] = 4
    return labels


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """A good and a worse method on eight cases, evaluated."""
    written = []
    for method, worse in (("truth", 0), ("good", 1), ("bad", 2)):
        folder = tmp_path / method
        folder.mkdir()
        for case in range(8):
            labels = cube(6 + case % 3, shift=min(worse, (case + worse) % 4))
            nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / f"case{case}.nii.gz")
        if method != "truth":
            evaluate(folder, tmp_path / "truth", out=tmp_path / f"{method}.csv")
            written.append(tmp_path / f"{method}.csv")
    return written


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


def test_command_writes_everything(tables: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", *map(str, tables), "--out", str(tmp_path / "all.json"), "--plot", str(tmp_path / "all.png")]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "paired Wilcoxon" in text
    assert "Mean rank" in text
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


def test_faults_are_said(tables: list[Path], tmp_path: Path) -> None:
    good, bad = (read_scores(path) for path in tables)
    with pytest.raises(InputError, match="two or more"):
        compare([good])
    with pytest.raises(InputError, match="different names"):
        compare([good, good])
    with pytest.raises(InputError, match="no score 'dauc'"):
        compare([good, bad], scores=("dauc",))
    lines = tables[1].read_text().splitlines()
    shorter = tmp_path / "short.csv"
    shorter.write_text("\n".join(lines[:-3]))
    shorter.with_suffix(".json").write_bytes(tables[1].with_suffix(".json").read_bytes())
    short = read_scores(shorter)
    with pytest.raises(InputError, match=r"short: has no case7.*--common"):
        compare([good, short])
    common = compare([good, short], common=True)
    assert common.facts["left_out"] == {"short": ["case7"]}
    assert len(common.facts["cases"]) == 7
    draw_comparison(common, [good, short], tmp_path / "common.png")
    (tmp_path / "broken.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match="enhancing of case7 is missing"):
        read_scores(tmp_path / "broken.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no table of scores"):
        read_scores(tmp_path / "other.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_scores(tmp_path / "nowhere.csv")


def test_other_rules_do_not_mix(tables: list[Path], tmp_path: Path) -> None:
    evaluate(tmp_path / "bad", tmp_path / "truth", rules="brats2019", out=tmp_path / "skip.csv")
    with pytest.raises(InputError, match="rules whose name is brats2019, but good has brats2020"):
        compare([read_scores(tables[0]), read_scores(tmp_path / "skip.csv")])
    evaluate(tmp_path / "bad", tmp_path / "truth", rules="brats2020", tolerance=2.0, out=tmp_path / "near.csv")
    with pytest.raises(InputError, match=r"surface_dice_tolerance_mm is 2\.0, but good has None"):
        compare([read_scores(tables[0]), read_scores(tmp_path / "near.csv")])
    (tmp_path / "near.json").unlink()
    with pytest.raises(InputError, match=r"near: no \.json beside the table"):
        compare([read_scores(tables[0]), read_scores(tmp_path / "near.csv")])


def test_where_nothing_can_be_written_nothing_is_done(
    tables: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, name, said in (
        ("--out", "nowhere/x.json", "does not exist"),
        ("--plot", "nowhere/x.png", "does not exist"),
        ("--plot", "x.pdf", "is a .png file"),
    ):
        assert main(["compare", *map(str, tables), option, str(tmp_path / name)]) == 2
        printed = capsys.readouterr()
        assert said in printed.err
        assert not printed.out


def test_a_library_that_is_not_installed_is_named(
    tables: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "tunetseg.report.comparison_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert main(["compare", *map(str, tables), "--plot", str(tmp_path / "x.png")]) == 1
    assert "needs matplotlib" in capsys.readouterr().err


def test_tables_of_one_name_are_called_by_their_folder() -> None:
    assert names_for([Path("a/scores.csv"), Path("b/scores.csv")]) == ["a", "b"]
    assert names_for([Path("a/one.csv"), Path("a/two.csv")]) == ["one", "two"]


def test_odd_names_and_tables(tables: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Markup, a table that a spreadsheet saved with its mark, and names that fill a window."""
    tables[0].write_bytes(b"\xef\xbb\xbf" + tables[0].read_bytes())
    names = ["TuNet with squeeze-and-excitation [red]narrow", "[/b] the baseline that everybody has"]
    assert main(["compare", *map(str, tables), "--names", *names]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in names)
    assert "p (Holm)" in text


def test_tables_of_unknown_rules_are_not_compared(tables: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    for table in tables:
        table.with_suffix(".json").unlink()
    assert main(["compare", *map(str, tables)]) == 2
    assert "no .json beside the table tells its rules" in capsys.readouterr().err


def test_comparisons_and_summaries_are_not_written_over_each_other(tables: list[Path], tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["compare", *map(str, tables), "--out", str(tmp_path / "c.json")]) == 0
    with pytest.raises(InputError, match="is no summary of scores"):
        evaluate(tmp_path / "good", tmp_path / "truth", out=tmp_path / "c.csv")


def test_nothing_to_compare_by(tables: list[Path]) -> None:
    with pytest.raises(InputError, match="no score to compare"):
        compare([read_scores(path) for path in tables], scores=())


def test_a_tables_own_summary_is_not_written_over(tables: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    before = tables[0].with_suffix(".json").read_text()
    assert main(["compare", *map(str, tables), "--out", str(tables[0].with_suffix(".json"))]) == 2
    assert "is no comparison, and one would be written over it" in capsys.readouterr().err
    assert tables[0].with_suffix(".json").read_text() == before
