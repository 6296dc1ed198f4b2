"""One model, or the mean of several (Eq. 1), at the memory of one."""

import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tunetseg.datasets.phantom import make_patient
from tunetseg.errors import InputError
from tunetseg.inference import predictor
from tunetseg.inference.predictor import Ensemble, load_model
from tunetseg.inference.segment import segment
from tunetseg.io import Grid
from tunetseg.models.engines.openvino import OpenVinoEngine
from tunetseg.models.engines.openvino import _Network as OpenVinoNetwork
from tunetseg.models.engines.torch import RunningNetwork, TorchEngine
from tunetseg.models.export import write_companion
from tunetseg.models.store import file_hash, load_network, save_model
from tunetseg.networks import missing_packages
from tunetseg.preparation import Volume

CPU = TorchEngine("cpu")
FULL = TorchEngine("cpu", "32")
Models = Callable[..., Path]


@pytest.fixture
def models(tmp_path: Path, make_model: Callable[..., Path]) -> Models:
    """Return a function that writes a model of a number, which is also its seed."""

    def make(number: int, dataset: str = "brats2020", **options: Any) -> Path:
        settings = {"spacing": 2.0, "patch_size": (16, 16, 16), "seed": number} | options
        return make_model(tmp_path / f"{number}.safetensors", dataset, **settings)

    return make


def volume(side: int = 24) -> Volume:
    array = np.zeros((4, side, side, side), np.float32)
    array[:, 3:-2, 2:-3, 4:-1] = np.random.default_rng(0).normal(5, 1, (4, side - 5, side - 5, side - 5))
    grid = Grid.from_spacing(1.0, (side, side, side))
    return Volume(array, grid, grid)


def test_an_ensemble_is_the_mean_of_its_models(models: Models) -> None:
    """Members may differ in spacing, network and windows; each works at its own."""
    paths = [
        models(0),
        models(1),
        models(2, spacing=1.5),
        models(3, network="tunet-reb2", spacing=3.0),
        models(4, network="anisotropic-cascade", options={"base_filters": 4}, spacing=2.0),
        models(5, spacing=1.0, whole_volume=False, patch_size=(8, 8, 8)),
    ]
    if not missing_packages("unet"):
        paths.append(models(6, network="unet", options={"base_filters": 4}, spacing=1.5, patch_size=(32, 32, 16)))
    alone = [Ensemble((path,), FULL).predict(volume()) for path in paths]
    together = Ensemble(tuple(paths), FULL).predict(volume())
    assert together == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    assert not any(np.allclose(alone[0], other, atol=1e-3) for other in alone[1:])


def test_there_is_no_tumour_outside_the_foreground(models: Models) -> None:
    found = Ensemble((models(0),), CPU).predict(volume())
    assert found.shape == (3, 24, 24, 24)
    assert found.dtype == np.float32
    assert not found[:, :3].any()
    assert not found[:, :, :, :4].any()
    assert found[:, 3:-2, 2:-3, 4:-1].min() > 0


@pytest.mark.parametrize("whole_volume", [True, False])
def test_progress_rises_to_its_total(whole_volume: bool, models: Models) -> None:
    calls: list[tuple[str, float, float]] = []
    paths = tuple(models(number, whole_volume=whole_volume, patch_size=(8, 8, 8)) for number in range(3))
    Ensemble(paths, CPU).predict(volume(), task="anna", progress=lambda *call: calls.append(call))
    assert {(task, total) for task, _, total in calls} == {("anna", 1.0)}
    completed = [completed for _, completed, _ in calls]
    assert completed == sorted(set(completed))
    assert completed[-1] == 1.0
    assert len(completed) >= 3


def test_an_exception_in_progress_cancels(models: Models) -> None:
    class CancelledError(Exception):
        pass

    def cancel(*_: object) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        Ensemble((models(0),), CPU).predict(volume(), progress=cancel)


@pytest.mark.parametrize("cancels", [False, True])
def test_what_a_run_needs_is_freed_after_each_network(
    cancels: bool, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[int] = []
    monkeypatch.setattr(RunningNetwork, "release", lambda _: released.append(1))

    def cancel(*_: object) -> None:
        if cancels:
            raise KeyboardInterrupt

    ensemble = Ensemble((models(0), models(1)), CPU)
    with pytest.raises(KeyboardInterrupt) if cancels else nullcontext():
        ensemble.predict(volume(), progress=cancel)
    assert len(released) == (1 if cancels else 2)


def test_networks_that_share_keep_it_until_the_last(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = tuple(models(number) for number in range(3))
    for path in paths:
        write_companion(path)
    engine = OpenVinoEngine("32")
    assert engine.shares
    released: list[int] = []
    monkeypatch.setattr(OpenVinoNetwork, "release", lambda _: released.append(1))
    Ensemble(paths, engine).predict(volume())
    assert len(released) == 1


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    loaded: list[Path] = []
    real = TorchEngine.load

    def load(engine: TorchEngine, path: Path, **options: Any) -> Any:
        loaded.append(path)
        return real(engine, path, **options)

    monkeypatch.setattr(TorchEngine, "load", load)
    return loaded


def test_networks_are_loaded_once_while_memory_allows(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = count_loads(monkeypatch)
    paths = (models(0), models(1))
    results = []
    for limit, loads in ((2**30, 2), (0, 4), (70_000, 3)):
        monkeypatch.setattr(predictor, "_KEPT_BYTES", limit)
        ensemble = Ensemble(paths, FULL)
        results += [ensemble.predict(volume()) for _ in range(2)]
        assert len(loaded) == loads, f"with {limit} bytes"
        loaded.clear()
    assert all(np.array_equal(results[0], other) for other in results[1:]), "whether kept or not"


def test_memory_does_not_grow_with_the_models(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apart from networks that are kept."""
    monkeypatch.setattr(predictor, "_KEPT_BYTES", 0)
    paths = [models(number) for number in range(6)]
    peaks = []
    for some in (paths[:2], paths):
        tracemalloc.start()
        Ensemble(tuple(some), CPU).predict(volume(48))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0], peaks


def test_models_that_do_not_fit_each_other(models: Models) -> None:
    good, kidney = models(0), models(1, "kits19")
    with pytest.raises(InputError, match=r"1\.safetensors: its regions or channels differ from those of .*0\.safe"):
        Ensemble((good, kidney), CPU)
    with pytest.raises(InputError, match="no model is given"):
        Ensemble((), CPU)
    for overlap in (1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match=f"overlap {overlap}: must be at least 0 and below 1"):
            Ensemble((good,), CPU, overlap=overlap)


def test_a_volume_without_foreground(models: Models) -> None:
    empty = volume()
    empty.array[:] = 0
    with pytest.raises(InputError, match="no foreground"):
        Ensemble((models(0),), CPU).predict(empty)


def test_description_for_a_manifest(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr(predictor, "file_hash", lambda path: hashed.append(path) or "abc")
    paths = models(0), models(1, spacing=1.5)
    model = load_model(*paths, engine="torch", device="cpu", overlap=0.25, mirror=True, precision="bf16")
    facts = [model.describe() for _ in range(3)][-1]
    settings = {"overlap": 0.25, "mirror": True, "precision": "bf16", "device": "cpu"}
    assert facts["settings"] == {**settings, "engine": f"torch {torch.__version__}"}
    assert [entry["file"] for entry in facts["models"]] == ["0.safetensors", "1.safetensors"]
    assert [entry["spacing_mm"] for entry in facts["models"]] == [2.0, 1.5]
    assert facts["models"][0]["network"] == "tunet-seb"
    assert len(hashed) == 2, "a file is hashed once, not for each case"


def test_the_default_model() -> None:
    model = load_model(device="cpu")
    names = [facts["file"] for facts in model.describe()["models"]]
    assert names == [f"robust/fold-{number}.safetensors" for number in range(5)]
    facts = model.describe()["models"][0]
    assert facts["onnx_sha256"] == file_hash(model.paths[0].with_suffix(".onnx"))
    assert model.describe()["settings"]["engine"].startswith("openvino")
    assert model.dataset.channel_names == ("t1", "t1ce", "flair", "t2")
    assert "_networks" not in repr(model)
    assert "validation" in facts["training"], "of patients that it has not seen"
    (fast,) = load_model("fast", device="cpu").describe()["models"]
    assert fast["file"] == "fast/model.safetensors"
    assert "validation" not in fast["training"], "of patients that it was trained on"


@pytest.mark.needs_gpu
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    patient = make_patient(2, shape=(80, 80, 52), spacing=3.0)
    maps = [
        segment(
            patient.images, affine=patient.affine, model=load_model(engine="torch", device=device, precision="32")
        ).label_map
        > 0
        for device in ("cpu", "cuda")
    ]
    assert 2 * (maps[0] & maps[1]).sum() / (maps[0].sum() + maps[1].sum()) > 0.999


@pytest.mark.needs_gpu
def test_a_gpu_needs_no_settings() -> None:
    patient = make_patient(2, shape=(80, 80, 52), spacing=3.0)
    model = load_model(device="cuda")
    assert model.describe()["settings"]["engine"].startswith("torch")
    assert (segment(patient.images, affine=patient.affine, model=model).label_map > 0).any()


def test_weights_whose_results_are_no_numbers(models: Models) -> None:
    """Finite but huge weights gave NaN, and the manifest said 0 ml and an uncertainty of 0 everywhere."""
    path = models(0)
    network, spec = load_network(path)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e30)
    save_model(path, network, spec)
    with pytest.raises(InputError, match=r"0\.safetensors: its results are not numbers, so its weights are damaged"):
        load_model(path, engine="torch").predict(volume())


def test_damaged_weights_are_found_when_a_model_is_opened(models: Models) -> None:
    """Not with the first patient, whose images have been read by then."""
    paths = models(0), models(1)
    content = bytearray(paths[1].read_bytes())
    content[-3] ^= 4
    paths[1].write_bytes(content)
    with pytest.raises(InputError, match=r"1\.safetensors: damaged, its checksum is not that of its content"):
        load_model(*paths, engine="torch")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_an_engine_that_needs_a_file_that_is_missing(models: Models, engine: str) -> None:
    pytest.importorskip(engine)
    with pytest.raises(InputError, match=r"0\.safetensors: has no ONNX file next to it; make it with 'tunet export"):
        load_model(models(0), engine=engine)


def test_for_one_patient_nothing_is_kept(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = Ensemble((models(0),), FULL)
    loaded = count_loads(monkeypatch)
    for _ in range(2):
        ensemble.for_one_patient().predict(volume())
    assert len(loaded) == 2
    assert ensemble.keep


def test_a_window_that_memory_does_not_hold(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNETSEG_MEMORY_GB", "0.2")
    model = load_model(models(0, patch_size=(512, 512, 256)))
    with pytest.raises(InputError, match=r"a window of 512 x 512 x 256 voxels: needs about .* GB of memory"):
        model.predict(volume())
