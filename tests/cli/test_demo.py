"""``tunet demo``, on a smaller patient."""

import re
from pathlib import Path

import pytest

from tunetseg.cli.main import main
from tunetseg.datasets import phantom


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    make = phantom.make_patient
    monkeypatch.setattr(phantom, "make_patient", lambda seed: make(seed, shape=(80, 80, 52), spacing=3.0))
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--seed", "2", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    (picture,) = out.glob("segmentation/*.png")
    assert picture.stat().st_size > 10_000
    assert (out / "scores.csv").read_text().startswith("case,region,dice,hd95")
    assert f"Picture: {picture}\nScores:  {out / 'scores.csv'}\n" in text
    assert "making a synthetic patient of 240x240x155 voxels from seed 2\n" in text
    dice = re.search(r"whole +(0\.\d+)", text)
    assert dice is not None
    assert float(dice[1]) > 0.8
    assert main(["demo", "--out", str(out), "--seed", "2", "--device", "cpu"]) == 0, "again into the same folder"
