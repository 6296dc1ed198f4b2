"""`tunet tune`, from probability maps to rules that `tunet segment` takes."""

import json
from pathlib import Path

import pytest

from tunetseg.cli.main import main
from tunetseg.datasets import find_cases
from tunetseg.models.store import read_spec


@pytest.fixture(scope="module")
def predictions(mri_cohort: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predictions")
    words = ["--out", str(out), "--model", str(tiny_model), "--device", "cpu", "--probabilities"]
    assert main(["segment", str(mri_cohort), *words]) == 0
    return out


def test_from_maps_to_a_segmentation(
    predictions: Path, mri_cohort: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(tiny_model.read_bytes())
    rules = tmp_path / "rules.toml"
    words = ["tune", str(predictions), str(mri_cohort), "--out", str(rules), "--folds", "2", "--model", str(model)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "4 cases; lesion-wise Dice / Dice of whole, core, enhancing" in shown
    for title in ("tuned, nested", "flatters", "calibrated, nested", "ECE / Brier / QU-BraTS", "threshold"):
        assert title in shown
    assert f"Wrote {rules}, stored in {model}." in shown
    assert set(read_spec(model).calibration) == {"whole", "core", "enhancing"}
    case = find_cases(mri_cohort)[0]
    settings = {}
    for name, options in {"stored": ["--model", str(model)], "file": ["--postprocessing", str(rules)]}.items():
        words = ["segment", str(case.images["t1"].parent), "--out", str(tmp_path / name), "--device", "cpu", *options]
        assert main([*words, *([] if name == "stored" else ["--model", str(tiny_model)])]) == 0
        settings[name] = json.loads((tmp_path / f"{name}/{case.id}.json").read_text())["settings"]
    assert settings["stored"]["postprocessing"] == settings["file"]["postprocessing"]
    assert (settings["stored"]["calibrated"], settings["file"]["calibrated"]) == (True, False)
    words = ["segment", str(case.images["t1"].parent), "--out", str(tmp_path / "plain"), "--model", str(model)]
    assert main([*words, "--device", "cpu", "--plain-uncertainty"]) == 0
    assert json.loads((tmp_path / f"plain/{case.id}.json").read_text())["settings"]["calibrated"] is False


def test_what_cannot_be_written(
    predictions: Path, mri_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", str(predictions), str(mri_cohort), "--out", str(tmp_path / "rules.json")]) == 2
    assert "choose a name that ends in .toml" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
