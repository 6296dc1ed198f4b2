"""``tunet info``, for readers and for programs."""

import json

import pytest

from tunetseg import __version__
from tunetseg.cli import facts
from tunetseg.cli.main import main
from tunetseg.models.zoo import packaged_models
from tunetseg.networks import network_names
from tunetseg.training.recipes import recipe_names


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["version"] == __version__
    assert [network["name"] for network in found["networks"]] == list(network_names())
    assert {"name": "tunet", "parameters": 12_323_907} in found["networks"]
    assert {"name": "tunet-seb", "parameters": 12_461_811} in found["networks"]
    datasets = {dataset["name"]: dataset for dataset in found["datasets"]}
    assert datasets["kits19"]["channels"] == ["ct"]
    assert datasets["kits19"]["regions"] == ["kidney", "tumour"]
    assert datasets["brats2020"]["channels"] == ["t1", "t1ce", "flair", "t2"]
    assert found["recipes"] == list(recipe_names())
    assert [model["name"] for model in found["models"]] == list(packaged_models())
    assert found["default_model"] in packaged_models()
    (robust,) = (model for model in found["models"] if model["name"] == "robust")
    assert all(len(file["sha256"]) == 64 and file["training"]["cases"] for file in robust["files"])
    assert robust["spacing_mm"] > 0


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"tunetseg {__version__}, Python 3.")
    assert "robust (default): mean of 5, tunet-seb, " in text
    assert all(f"\n  {name} " in text for name in network_names())
    assert "12,323,907 parameters" in text
    assert "KiTS19: ct; kidney, tumour" in text
    assert "not a medical device" in text


def test_networks_of_packages_that_are_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(facts, "missing_packages", lambda name: ("monai",) if name == "unet" else ())
    found = facts.gather()
    assert {"name": "unet", "parameters": None} in found["networks"]
    line = next(line for line in facts.lines(found) if line.startswith("  unet "))
    assert line.endswith("needs tunetseg[rivals]")
