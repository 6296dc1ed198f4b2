"""Model files: what is written is read, and what cannot be used is refused with the right reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tunetseg.datasets import DatasetDescription, find_description
from tunetseg.errors import InputError
from tunetseg.io.seal import SEAL
from tunetseg.models.store import ModelSpec, file_hash, load_network, read_spec, save_model, write_tensors
from tunetseg.networks import NetworkSpec, SegmentationNetwork, build_network, registry
from tunetseg.preparation import Preprocessing

NETWORK = NetworkSpec("tunet-seb", 4, ("whole", "core", "enhancing"), {"base_filters": 2, "levels": 2})
Change = Callable[[dict[str, Any]], Any]


def spec(**changes: Any) -> ModelSpec:
    parts = {
        "network": NETWORK,
        "preprocessing": Preprocessing(2.0, denoise=True),
        "patch_size": (8, 12, 16),
        "whole_volume": False,
        "dataset": find_description("brats2020"),
        "training": {"recipe": "quick", "cases": 3, "dice": {"whole": 0.9}},
    }
    return ModelSpec(**(parts | changes))


@pytest.fixture
def network() -> SegmentationNetwork:
    return build_network(NETWORK)


@pytest.fixture
def path(tmp_path: Path, network: SegmentationNetwork) -> Path:
    save_model(tmp_path / "model.safetensors", network, spec())
    return tmp_path / "model.safetensors"


def rewrite(path: Path, change: Change) -> None:
    """Replace the spec in the header of a model file."""
    with safe_open(path, framework="pt") as file:
        raw = json.loads(file.metadata()["spec"])
    raw.pop(SEAL)
    write_tensors(path, load_file(path), "spec", change(raw))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_round_trip(dtype: torch.dtype, network: SegmentationNetwork, tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", network.train(), spec(), dtype)
    again, found = load_network(tmp_path / "model.safetensors")
    assert found == read_spec(tmp_path / "model.safetensors") == spec()
    assert not any(module.training for module in again.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.to(dtype).float())


@pytest.mark.parametrize("dataset", ["kits19", "onions"])
def test_any_channels_and_regions(
    dataset: str, nested_description: DatasetDescription, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    """A model of one channel and two regions was written and then called damaged."""
    description = nested_description if dataset == "onions" else find_description(dataset)
    network, found = load_network(make_model(tmp_path / "model.safetensors", description))
    assert found.dataset == description
    assert found.network.in_channels == len(description.channels)
    assert network.regions == description.region_names


def test_the_same_model_has_the_same_hash(network: SegmentationNetwork, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.safetensors" for number in range(12)]
    for path in paths:
        save_model(path, network, spec())
    assert len({file_hash(path) for path in paths}) == 1


def test_parts_that_do_not_fit_each_other() -> None:
    for changes, reason in (
        ({"dataset": find_description("kits19")}, "a network of 4 channels for the 1 channels ct"),
        ({"network": NetworkSpec("tunet", 4, ("a", "b"))}, "a network of the regions a, b for a dataset of"),
        ({"patch_size": (8, 8)}, "three whole numbers"),
        ({"patch_size": (8, 8, 0)}, "three whole numbers"),
        ({"patch_size": (8, 8, 8.5)}, "three whole numbers"),
    ):
        with pytest.raises(ValueError, match=reason):
            spec(**changes)


def test_files_that_cannot_be_read(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        load_network(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match="is a folder, not a file"):
        load_network(tmp_path)
    content = path.read_bytes()
    for damaged in (b"nonsense", b"", content[:-100]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"not a readable safetensors file .* copy it again"):
            load_network(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw | {"network": None},
        lambda raw: raw | {"network": raw["network"] | {"new": 1}},
        lambda raw: raw | {"network": raw["network"] | {"options": {"levels": "4"}}},
        lambda raw: raw | {"network": raw["network"] | {"options": {"base_filters": 60000}}},
        lambda raw: raw | {"network": raw["network"] | {"options": {"levels": 40}}},
        lambda raw: raw | {"network": raw["network"] | {"regions": ["a.b"]}},
        lambda raw: raw | {"network": raw["network"] | {"in_channels": 1}},
        lambda raw: raw | {"network": raw["network"] | {"options": {"levels": 10**12}}},
        lambda raw: raw | {"network": raw["network"] | {"options": {"base_filters": 10**12}}},
        lambda raw: raw | {"network": raw["network"] | {"options": {"base_filters": float("nan")}}},
        lambda raw: raw | {"network": raw["network"] | {"options": {"base_filters": float("inf")}}},
        lambda raw: raw | {"preprocessing": {"spacing": -1.0}},
        lambda raw: raw | {"preprocessing": {"spacing": True}},
        lambda raw: raw | {"preprocessing": {"spacing": 1.0, "denoise": []}},
        lambda raw: raw | {"whole_volume": "no"},
        lambda raw: raw | {"patch_size": [8.0, 8.0, 8.0]},
        lambda raw: raw | {"patch_size": [1024, 1024, 1024]},
        lambda raw: raw | {"patch_size": [2**40, 2**40, 2**40]},
        lambda raw: raw | {"patch_size": [8, 8]},
        lambda raw: raw | {"patch_size": [8, 8, 9]},
        lambda raw: raw | {"patch_size": ["8", "8", "8"]},
        lambda raw: raw | {"dataset": raw["dataset"] | {"channels": []}},
        lambda raw: raw | {"dataset": raw["dataset"] | {"new": 1}},
        lambda raw: raw | {"training": None},
        lambda raw: {key: value for key, value in raw.items() if key != "preprocessing"},
    ],
)
def test_a_header_that_makes_no_sense(change: Change, path: Path) -> None:
    rewrite(path, change)
    with pytest.raises(InputError, match=r"model\.safetensors: .*copy it again") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


def test_a_header_that_is_nested_deeply(path: Path) -> None:
    """A recursion without end was called a bug of the program."""
    deep = "[" * 100_000 + "]" * 100_000
    save_file(load_file(path), path, metadata={"spec": f'{{"format": {deep}}}'})
    with pytest.raises(InputError, match=r"its header is damaged .*nested too deeply"):
        load_network(path)


def test_every_flipped_bit_is_found(path: Path) -> None:
    """200 of 200 flipped bits in the weights were loaded without a word."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    mark = content.index(b"file_sha256")
    for place in [*range(mark, mark + 20), *range(begin, len(content), len(content) // 25), len(content) - 1]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"(damaged|not a readable safetensors file).*; copy it again"):
            load_network(path)
    path.write_bytes(content)
    load_network(path)


@pytest.mark.parametrize("kind", [torch.bool, torch.int32])
def test_weights_that_are_not_fractions(path: Path, kind: torch.dtype) -> None:
    tensors = load_file(path)
    name = next(iter(tensors))
    write_tensors(path, tensors | {name: tensors[name].to(kind)}, "spec", read_spec(path).to_dict())
    with pytest.raises(InputError, match=rf"do not fit its network \({name} has values of type {str(kind)[6:]}"):
        load_network(path)


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_is_said_to_be_one(version: int, path: Path) -> None:
    rewrite(path, lambda raw: raw | {"version": version, "network": {"new": "field"}})
    with pytest.raises(
        InputError,
        match=f"has version {version} of the model format, but this tunetseg reads version 2; install the tunetseg",
    ) as caught:
        load_network(path)
    assert "damaged" not in str(caught.value)


def test_a_network_of_a_later_release_is_not_called_damaged(path: Path) -> None:
    rewrite(path, lambda raw: raw | {"network": raw["network"] | {"name": "mamba", "options": {}}})
    with pytest.raises(InputError, match=r"cannot be used here \(unknown network 'mamba'; choose from tunet"):
        load_network(path)


def test_a_missing_package_is_not_called_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "missing_packages", lambda name: ("monai",))
    with pytest.raises(InputError, match=r"model\.safetensors: network 'tunet-seb' needs MONAI; install") as caught:
        load_network(path)
    assert "copy" not in str(caught.value)


@pytest.mark.parametrize("text", ["v1", "[]", "3", "{}", '{"format": "pt"}', None])
def test_files_of_other_programs(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(1)}, path, metadata=None if text is None else {"spec": text})
    with pytest.raises(InputError, match=r"not a model of tunetseg|header is damaged"):
        load_network(path)


def test_weights_that_are_not_finite_are_refused(network: SegmentationNetwork, path: Path) -> None:
    next(network.parameters()).data.view(-1)[0] = float("nan")
    save_model(path, network, spec())
    with pytest.raises(InputError, match="holds weights that are NaN or infinite"):
        load_network(path)


def test_weights_of_another_network_are_refused_in_one_line(path: Path) -> None:
    write_tensors(path, dict(list(load_file(path).items())[1:]), "spec", read_spec(path).to_dict())
    with pytest.raises(InputError, match="its weights do not fit its network") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


def test_a_model_stays_until_the_next_is_complete(
    network: SegmentationNetwork, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("tunetseg.models.store._write_header", full)
    with pytest.raises(OSError, match="No space left on device"):
        save_model(path, network, spec())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("length", range(1, 41, 8))
def test_weights_lie_in_memory_alike_whatever_the_length_of_the_header(
    network: SegmentationNetwork, tmp_path: Path, length: int
) -> None:
    """Kernels that look at where a tensor begins would else round in another way, and resumed runs would differ."""
    path = tmp_path / "model.safetensors"
    save_model(path, network, spec(training={"note": "x" * length}))
    loaded, _ = load_network(path)
    assert {tensor.data_ptr() % 64 for tensor in loaded.state_dict().values() if tensor.numel() > 1} == {0}
