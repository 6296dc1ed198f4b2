"""The page of trainings, from hand-written logs and from a real run."""

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tunetseg.cli.main import main
from tunetseg.errors import InputError
from tunetseg.limits import Limits
from tunetseg.report.curves import Line, make_curves
from tunetseg.report.samples import read_samples
from tunetseg.report.training import read_run

_COLUMNS = "epoch,learning_rate,step,train/dice_core,train/dice_whole,train/loss,val/dice_core,val/dice_whole,val/loss"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was interrupted in its first stage and is in its second."""
    folder = tmp_path / "runs" / "fold<0>"
    for stage in (0, 1):
        (folder / f"stage-{stage}" / "csv").mkdir(parents=True)
    stages = [{"spacing": 4.0, "patch_size": [40, 48, 40], "whole_volume": False, "epochs": 3}, {"epochs": 9}]
    (folder / "recipe.json").write_text(json.dumps({"name": "tiny", "stages": stages}))
    facts = {"recipe": {"name": "tiny"}, "network": {"name": "tunet-seb"}, "fold": 0, "training": ["a", "b"]}
    (folder / "run.json").write_text(json.dumps(facts | {"validation": ["c"]}))
    (folder / "state.json").write_text(json.dumps({"status": "stopped", "message": "by <a> signal", "seconds": 5400}))
    logs = folder / "stage-0" / "csv"
    (logs / "metrics-0.csv").write_text(f"{_COLUMNS}\n0,0.1,1,.1,.2,3,,,\n1,0.1,3,.9,.9,9,,,\n")
    (logs / "metrics.csv").write_text(
        f"{_COLUMNS}\n1,0.1,3,.2,.3,2,,,\n1,,3,,,,.25,.35,2.5\n2,0.01,5,.3,.4,1,,,\n2,,5,,,,.24,.34,2.75\n"
    )
    (folder / "stage-1" / "csv" / "metrics.csv").write_text(f"{_COLUMNS}\n0,0.1,7,.5,.6,1,,,\n")
    return folder


def test_sessions_are_joined(run: Path) -> None:
    found = read_run(run)
    first, second = found.stages
    assert first.points("train/loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert first.points("val/loss") == [(2, 2.5), (3, 2.75)]
    assert first.best is not None
    assert (first.best["epoch"], first.best["val/dice_whole"]) == (2, 0.35)
    assert second.best is None
    assert found.regions == ["core", "whole"]


def test_the_page(run: Path, page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run)]) == 0
    assert "report.html" in capsys.readouterr().out
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "stopped: by &lt;a&gt; signal" in text
    assert "<h1>fold&lt;0&gt;</h1>" in text
    assert "Stage 1, 4 mm, patches of 40 by 48 by 40, 3 epochs" in text
    page.goto((run / "report.html").as_uri())
    cells = page.locator("tbody tr").first.locator("td").all_inner_texts()
    assert cells == ["tiny, tunet-seb", "0", "2 + 1", "stopped: by <a> signal", "1.5", "1", "3", "2.500", "2", "0.350",
                     "0.250"]  # fmt: skip
    assert page.locator(".chart").count() == 6
    assert (
        page.locator(".chart svg").first.get_attribute("aria-label").startswith("Loss by epoch: training from 3 to 1")
    )


def write_samples(path: Path, sides: tuple[int, int] = (12, 16)) -> None:
    """Two cases of two channels; a square was found one voxel further than it is."""
    reference, prediction = np.zeros((2, 2, *sides), np.uint8)
    reference[:, 3:6, 4:8] = 2
    prediction[:, 4:7, 4:8] = 1
    image = np.full((2, 2, *sides), 90, np.uint8)
    names = {"cases": np.array(["a<1>", "b"]), "channels": np.array(["flair", "t1ce"]), "epoch": np.array(7)}
    np.savez_compressed(path, image=image, reference=reference, prediction=prediction, **names)


def test_samples(run: Path, tmp_path: Path) -> None:
    write_samples(run / "stage-0" / "samples.npz")
    assert main(["report", str(run)]) == 0
    text = (run / "report.html").read_text(encoding="utf-8")
    assert text.count('<figure class="slice">') == 4
    assert "a&lt;1&gt;: prediction, epoch 7" in text
    reference, _ = read_samples(run / "stage-0" / "samples.npz", 2)[0].pictures
    packed = base64.b64decode(reference.data.partition(",")[2])
    colours = np.asarray(Image.open(io.BytesIO(packed)).convert("RGB"), int)
    assert colours.shape == (32, 24, 3), "x runs across, y down, each pixel twice"
    inside, outside = colours[12, 8], colours[2, 2]
    assert inside[0] > inside[2] + 60, "the inner region"
    assert np.ptp(outside) < 10


def test_samples_that_are_damaged_are_left_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run / "stage-0" / "samples.npz"
    path.write_bytes(b"damaged")
    assert read_samples(path, 2) == []
    np.savez(path, cases=np.array([{"a": 1}], dtype=object))
    assert read_samples(path, 2) == []
    write_samples(path)
    assert len(read_samples(path, 2)) == 2
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 50)):  # no error, whatever is read
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        assert len(read_samples(path, 2)) in {0, 2}
    path.write_bytes(whole)
    monkeypatch.setattr("tunetseg.report.samples.LIMITS", Limits(text_bytes=100))
    assert read_samples(path, 2) == [], "larger than any samples"
    assert main(["report", str(run)]) == 0


def test_several_runs(run: Path, tmp_path: Path) -> None:
    other = run.with_name("fold1")
    other.symlink_to(run, target_is_directory=True)
    assert main(["report", str(run), str(other), "--out", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "2 runs" in text
    with pytest.raises(InputError, match="is not a run folder"):
        read_run(tmp_path)


def test_runs_of_one_name_are_told_apart(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "others" / run.name))
    assert main(["report", str(run), str(other), "--out", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>runs/fold&lt;0&gt;, others/fold&lt;0&gt;</h1>" in text


def test_a_line_that_is_being_written_is_left_out(run: Path) -> None:
    log = run / "stage-1/csv/metrics.csv"
    log.write_text(log.read_text() + "1,0.1,9,.6,.7,1.5e-")
    assert read_run(run).stages[1].points("train/loss") == [(1, 1.0)]


def test_runs_and_patients_do_not_mix(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), str(tmp_path)]) == 2
    assert "is not a run folder, but others are" in capsys.readouterr().err


def test_nothing_logged_yet(run: Path) -> None:
    for log in run.glob("stage-*/csv/*.csv"):
        log.unlink()
    with pytest.raises(InputError, match="has logged no epoch yet"):
        read_run(run)


def test_a_line_from_corner_to_corner() -> None:
    curves = make_curves("Loss", [Line("a", "#000000", [(1, 0.001), (2, float("nan")), (3, 1.0)])], logarithmic=True)
    assert curves is not None
    left, right, top, bottom = curves.frame
    assert curves.curves[0].path == f"M{left} {bottom} L{right} {top}"
    assert [text for _, text in curves.up] == [
        "0.001",
        "0.002",
        "0.005",
        "0.01",
        "0.02",
        "0.05",
        "0.1",
        "0.2",
        "0.5",
        "1",
    ]
    assert [text for _, text in curves.across] == ["1", "2", "3"]
    assert make_curves("Loss", [Line("a", "#000000", [])]) is None
