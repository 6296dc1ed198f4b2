"""Windows cover everything, weights cancel out, models survive the way through a file."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tunetseg.errors import InputError
from tunetseg.inference.windows import gaussian_weights, predict, window_starts
from tunetseg.models.store import ModelSpec, file_hash, load_model, save_model
from tunetseg.networks import Architecture, build_network
from tunetseg.preparation.preprocess import Preprocessing

ARCHITECTURE = Architecture("tunet-seb", base_filters=2, levels=2)


def spec(window: tuple[int, int, int] = (8, 8, 8), whole: bool = False) -> ModelSpec:
    return ModelSpec(ARCHITECTURE, Preprocessing(spacing=2.0), window, whole)


@pytest.mark.parametrize("size", range(5, 40))
def test_windows_cover_and_overlap(size: int) -> None:
    starts = window_starts(size, 10, 0.5)
    assert starts[0] == 0
    assert starts[-1] + 10 >= size
    assert all(0 < b - a <= 5 for a, b in itertools.pairwise(starts))


def test_weights_peak_in_the_middle() -> None:
    weights = gaussian_weights((8, 10, 6))
    assert weights[4, 5, 3] == weights.max()
    assert weights.min() > 0


@pytest.mark.parametrize("shape", [(8, 8, 8), (5, 9, 21), (16, 11, 3)])
def test_constant_network_gives_constant_probabilities(shape: tuple[int, int, int]) -> None:
    network = build_network(ARCHITECTURE).eval()
    for head in network.heads:
        torch.nn.init.zeros_(head.weight)
    found = predict(network, spec(), np.ones((4, *shape), np.float32), mirror=True)
    assert found.shape == (3, *shape)
    assert found == pytest.approx(np.full(found.shape, 0.5), abs=1e-6)


def test_one_pass_is_the_network_itself() -> None:
    torch.manual_seed(0)
    network = build_network(ARCHITECTURE).eval()
    array = np.random.default_rng(0).normal(size=(4, 12, 10, 8)).astype(np.float32)
    found = predict(network, spec(whole=True), array, precision="32")
    with torch.inference_mode():
        wanted = torch.sigmoid(network(torch.from_numpy(array)[None]))[0].numpy()
    assert found == pytest.approx(wanted, abs=1e-5)


def test_model_file_round_trip(tmp_path: Path) -> None:
    network = build_network(ARCHITECTURE).eval()
    save_model(tmp_path / "model.safetensors", network, spec(whole=True), torch.bfloat16)
    again, found = load_model(tmp_path / "model.safetensors")
    assert found == spec(whole=True)
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.bfloat16().float())


def test_one_model_has_one_hash(tmp_path: Path) -> None:
    network = build_network(ARCHITECTURE)
    paths = [tmp_path / f"{number}.safetensors" for number in range(12)]
    for path in paths:
        save_model(path, network, spec())
    assert len({file_hash(path) for path in paths}) == 1


def test_bad_model_files_are_said(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="no such model"):
        load_model(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_model(path)
    save_model(path, build_network(ARCHITECTURE), spec())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: [raw],
        lambda raw: raw | {"architecture": None},
        lambda raw: raw | {"architecture": raw["architecture"] | {"levels": "4"}},
        lambda raw: raw | {"architecture": raw["architecture"] | {"regions": ["a.b"]}},
        lambda raw: raw | {"architecture": raw["architecture"] | {"base_filters": 60000}},
        lambda raw: raw | {"architecture": raw["architecture"] | {"levels": 40}},
        lambda raw: raw | {"window": [8, 8]},
        lambda raw: raw | {"window": [8, 8, 9]},
        lambda raw: raw | {"modalities": ["t1"]},
        lambda raw: raw | {"unknown": 1},
        lambda raw: {key: value for key, value in raw.items() if key != "preprocessing"},
    ],
)
def test_a_header_that_makes_no_sense(change, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, build_network(ARCHITECTURE), spec())
    with safe_open(path, framework="pt") as file:
        raw = json.loads(file.metadata()["spec"])
    save_file(load_file(path), path, metadata={"spec": json.dumps(change(raw))})
    with pytest.raises(InputError, match=str(path)):
        load_model(path)


@pytest.mark.parametrize("text", ["v1", "[]", "3"])
def test_another_programs_header(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(1)}, path, metadata={"spec": text})
    with pytest.raises(InputError, match="another program's"):
        load_model(path)


def test_a_weight_that_is_no_number_is_refused(tmp_path: Path) -> None:
    network = build_network(ARCHITECTURE)
    next(network.parameters()).data.view(-1)[0] = float("nan")
    save_model(tmp_path / "model.safetensors", network, spec())
    with pytest.raises(InputError, match="weights that are no numbers"):
        load_model(tmp_path / "model.safetensors")
