"""``tunet paper``."""

import csv
import json
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from tunetseg.cli.main import main
from tunetseg.datasets import find_cases, find_description
from tunetseg.networks import create_network
from tunetseg.report.paper_figures import draw_cascade


@pytest.fixture(scope="module")
def result(mri_cohort: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The label map of a segmented patient."""
    out = tmp_path_factory.mktemp("results")
    case = find_cases(mri_cohort)[0]
    command = ["segment", str(case.images["t1"].parent), "--model", str(tiny_model), "--out", str(out)]
    assert main([*command, "--probabilities"]) == 0
    return out / f"{case.id}.nii.gz"


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_figure_1_in_every_format(ending: str, tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / f"cascade.{ending}"
    assert main(["paper", "figure1", "--model", str(tiny_model), "--out", str(target)]) == 0
    assert target.stat().st_size > 5000
    assert target.read_bytes()[:4] in {b"\x89PNG", b"<?xm", b"%PDF"}


def test_figure_1_shows_what_the_network_has() -> None:
    network = create_network("tunet-reb1-seb", base_filters=2, levels=3)
    figure = draw_cascade(network, find_description("brats2020"), "a title")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"W-Net", "C-Net", "E-Net"} <= set(words)
    for subnetwork in network.subnetworks.values():  # type: ignore[union-attr, operator]
        weights: Any = sum(parameter.numel() for parameter in subnetwork.parameters())
        assert f"{weights:,} weights" in words
    assert words.count("8") == 3, "filters of the deepest level of each"
    assert any("contrast-enhanced T1" in word for word in words)


def test_figures_4_and_5(result: Path, mri_cohort: Path, tmp_path: Path) -> None:
    for number in (4, 5):
        target = tmp_path / f"figure{number}.png"
        command = ["paper", f"figure{number}", str(result), "--images", str(mri_cohort), "--out", str(target)]
        assert main(command) == 0
        picture = matplotlib.image.imread(target)
        assert min(picture.shape[:2]) > 300
        assert np.ptp(picture[..., :3], axis=-1).max() > 0.4, "colours"


def write_scores(path: Path, dice: float, *, uncertainty: bool = True) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "region", "dice", "hd95", *(["dauc", "rftp"] if uncertainty else [])])
        for case in ("a", "b"):
            for region in ("whole", "core", "enhancing"):
                writer.writerow([case, region, dice, 4.0, *([0.9, 0.1] if uncertainty else [])])
    return path


def test_tables_of_scores(tmp_path: Path) -> None:
    first, second = (write_scores(tmp_path / f"{name}.csv", dice) for name, dice in (("one", 0.9), ("two", 0.8)))
    for number, heading in ((1, "DSC whole"), (2, "DSC whole"), (3, "DSC whole"), (4, "DAUC whole")):
        target = tmp_path / "table.csv"
        assert main(["paper", f"table{number}", str(first), str(second), "--out", str(target)]) == 0
        with target.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["Model"] for row in rows] == ["one", "two"]
        assert rows[0][heading] in {"90.00 (0.00)", "90.00"}
    assert main(["paper", "table1", str(first), "--out", str(tmp_path / "table.tex")]) == 0
    assert r"\toprule" in (tmp_path / "table.tex").read_text()
    assert main(["paper", "table4", str(first), "--out", str(tmp_path / "table.md")]) == 0
    assert "| one | 90.00 |" in (tmp_path / "table.md").read_text()


def test_tables_that_do_not_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first = write_scores(tmp_path / "a/x.csv", 0.9)
    twin = write_scores(tmp_path / "b/x.csv", 0.8)
    fewer, other = (tmp_path / f"{name}.csv" for name in ("fewer", "other"))
    lines = first.read_text().splitlines(keepends=True)
    fewer.write_text("".join(lines[:4]))
    other.write_text("".join(line for line in lines if "core" not in line))
    words = ["paper", "table2", "--out", str(tmp_path / "table.csv"), str(first)]
    for path, sentence in (
        (fewer, "fewer: lacks case b, which another table has"),
        (other, "other: other regions than"),
        (twin, ""),
    ):
        assert main([*words, str(path)]) == (2 if sentence else 0)
        assert sentence in capsys.readouterr().err
    with (tmp_path / "table.csv").open(newline="") as file:
        assert len({row["Model"] for row in csv.DictReader(file)}) == 2


def test_tables_of_a_study(tmp_path: Path) -> None:
    summary = {"mean": 0.9, "sd": 0.1}
    regions = {region: {"dice": summary, "hd95": summary} for region in ("whole", "core")}
    (tmp_path / "results").mkdir()
    methods = {"TuNet": regions, "Ensemble": regions}
    (tmp_path / "results/summary.json").write_text(json.dumps({"methods": methods, "test": methods}))
    assert main(["paper", "table1", str(tmp_path), "--out", str(tmp_path / "table.md")]) == 0
    assert "| TuNet | 90.00 (10.00) |" in (tmp_path / "table.md").read_text()
    assert main(["paper", "table3", str(tmp_path), "--out", str(tmp_path / "table.md")]) == 0
    assert "TuNet" not in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["figure1", "x"], "figure1 is drawn from a model"),
        (["figure1", "--network", "monai-unet"], "choose from"),
        (["figure1", "--out", "f.gif"], "a figure is a .png, .svg or .pdf file"),
        (["figure4"], "is made from results"),
        (["figure4", "{result}"], "name their folder with --images"),
        (["table1", "{folder}"], "holds no results of a study"),
        (["table1", "{scores}", "--out", "t.txt"], "a table is a .csv, .md or .tex file"),
        (["table4", "{scores}", "--out", "t.md"], "has no dauc and no rftp"),
    ],
)
def test_what_cannot_be_made(
    result: Path, tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    scores = write_scores(tmp_path / "scores.csv", 0.5, uncertainty=False)
    words = [word.format(result=result, folder=tmp_path, scores=scores) for word in arguments]
    if "--out" not in words:
        words += ["--out", "table.md" if words[0].startswith("table") else "figure.png"]
    assert main(["paper", *words]) == 2
    assert sentence in capsys.readouterr().err
