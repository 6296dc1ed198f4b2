"""The command for a short time on a GPU, rehearsed on the CPU from pack to weights."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tunetseg.cli.main import main
from tunetseg.datasets.phantom import write_cohort
from tunetseg.models.store import load_network
from tunetseg.training.recipes import find_recipe

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/accelerator.py"

RECIPE = """
name = "tiny"
folds = 2
prior_logit = -2.0
ema_decay = 0.9
keep = "last"
suggested_options = { base_filters = 2, levels = 2 }
[defaults]
whole_volume = true
batch_size = 1
epochs = 3
schedule = "cosine"
early_stopping_patience = 0
validate_every = 2
[defaults.augmentation]
flip = { probability = [0.5, 0, 0] }
carvemix = { probability = 0.5 }
channel_dropout = { probability = 0.3 }
[[stages]]
spacing = 14.0
patch_size = [12, 16, 12]
[[stages]]
spacing = 10.0
patch_size = [16, 20, 16]
"""


@pytest.fixture(scope="module")
def accelerator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("accelerator", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pack of four patients, and a recipe of seconds."""
    folder = tmp_path_factory.mktemp("accelerator")
    write_cohort(folder / "cohort", cases=4, shape=(24, 28, 20), spacing=10.0)
    assert main(["pack", str(folder / "cohort"), "--spacing", "10", "--out", str(folder / "pack")]) == 0
    (folder / "tiny.toml").write_text(RECIPE)
    return folder / "pack", folder / "tiny.toml"


@pytest.fixture
def rehearse(
    accelerator: ModuleType, material: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> Callable[..., int]:
    """Return a function that runs the command on the CPU, with further words."""
    pack, recipe = material

    def run(*words: str) -> int:
        fixed = [str(pack), "--out", str(tmp_path / "out"), "--recipe", str(recipe), "--device", "cpu"]
        small = ["--base-filters", "2", "--batch-size", "2", "--rounds", "1", "--model", str(tiny_model)]
        return accelerator.main([*fixed, *small, *words])

    return run


def test_from_pack_to_weights(rehearse: Callable[..., int], tmp_path: Path) -> None:
    words = ["--minutes", "0.3", "--epochs-factor", "200", "--snapshot-minutes", "0.005", "--skip", "tests"]
    assert rehearse(*words) == 0
    out = tmp_path / "out"
    results = json.loads((out / "results.json").read_text())
    assert {path.name for path in out.iterdir()} == {"results.json", "weights-1.part"}
    assert results["machine"]["device"] == "cpu"
    assert results["agreement"]["dice_to_cpu_float32"]["cpu, 32"] == {"1": 1.0, "2": 1.0, "4": 1.0}
    # What the minutes of a busy machine do not suffice for is left out.
    assert {"float32", "bf16"} <= set(results["steps"]["steps_per_s"]) <= {"float32", "bf16", "bf16, channels last"}
    assert results["steps"]["batch_size"] == 2
    assert results["training"]["way"]["compiled"] is False
    assert results["training"]["steps"] > 3
    assert results["seconds"]["all"] < 40
    model = tmp_path / "model.safetensors"
    model.write_bytes((out / "weights-1.part").read_bytes())
    network, spec = load_network(model)
    assert spec.training["channel_dropout"] == 0.3
    assert spec.training["stage"] == 1, "the last stage had its share of the minutes"
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())


def test_a_part_that_fails_does_not_stop_the_next(
    accelerator: ModuleType, rehearse: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(accelerator, "time_steps", broken)
    monkeypatch.setattr(accelerator, "run_tests", lambda: {"exit_code": 0})
    assert rehearse("--minutes", "0.05", "--skip", "agreement") == 1
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["steps"] == {"failed": "RuntimeError: no memory"}
    assert results["tests"] == {"exit_code": 0}
    assert results["training"]["way"]["bf16"] is True, "what is likely to be fast, where nothing was measured"


def test_the_folder_that_a_variable_names(
    accelerator: ModuleType, material: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUT", str(tmp_path / "named"))
    assert accelerator.main([str(material[0]), "--skip", "tests", "agreement", "steps", "training"]) == 0
    assert [path.name for path in (tmp_path / "named").iterdir()] == ["results.json"]


def test_weights_in_parts(accelerator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "PART_BYTES", 10)
    model = tmp_path / "model"
    for content in (bytes(range(45)), bytes(range(15))):
        model.write_bytes(content)
        count = accelerator.write_parts(model, tmp_path)
        parts = sorted(tmp_path.glob("weights-*.part"))
        assert len(parts) == count == -(-len(content) // 10)
        assert b"".join(path.read_bytes() for path in parts) == content
    assert accelerator.PART_BYTES < 16 * 2**20


def test_the_way_with_most_steps(accelerator: ModuleType) -> None:
    steps = {"median_s": {"bf16": 0.1, "bf16, compiled": 0.05}, "first_s": {"bf16": 1.0, "bf16, compiled": 60.0}}
    assert accelerator.fastest(steps, 400, 3) == "bf16, compiled"
    assert accelerator.fastest(steps, 200, 3) == "bf16", "compiling three times takes longer than it saves"
    assert accelerator.fastest({"median_s": {}, "first_s": {"bf16": "OutOfMemoryError: x"}}, 200, 3) == "bf16"


def test_minutes_end_a_stage_and_not_its_epochs(accelerator: ModuleType) -> None:
    plain, long = find_recipe("robust"), accelerator.longer(find_recipe("robust"), 20, 2)
    for before, after in zip(plain.stages, long.stages, strict=True):
        assert after.epochs == 20 * before.epochs
        assert after.batch_size == 2
        assert after.epochs / after.validate_every >= 1
