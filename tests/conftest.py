"""Fixtures that many tests share.

Cohorts and models are made once per session and are read-only by agreement: a test that changes files copies them
first.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tunetseg.datasets import DatasetDescription, find_description
from tunetseg.datasets.phantom import Phantom, make_for, write_cohort
from tunetseg.preparation import Preprocessing

# Property tests look for wrong values; that a machine is slow is not an error.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

_SHARED = {
    # Marker -> environment variable, folder next to the repository, what it holds.
    "needs_cohort": ("TUNETSEG_COHORT", "shared/cohort", "real patients"),
    "needs_oracles": ("TUNETSEG_ORACLES", "shared/oracles", "results of the challenges' own code"),
}

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]


def _shared_folder(marker: str) -> Path:
    variable, place, _ = _SHARED[marker]
    return Path(os.environ.get(variable) or Path(__file__).parents[2] / place)


def _skip_reason(marker: str) -> str | None:
    variable, _, what = _SHARED[marker]
    folder = _shared_folder(marker)
    return None if folder.is_dir() else f"no {what} in {folder}; name their folder in {variable}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests whose data are not there."""
    for marker in _SHARED:
        if item.get_closest_marker(marker) is not None and (reason := _skip_reason(marker)):
            pytest.skip(reason)
    if item.get_closest_marker("needs_gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no GPU")


@pytest.fixture(autouse=True, scope="session")
def _without_onnx() -> Iterator[None]:
    """Let training write no ONNX file, which takes longer than tiny networks train; its own tests call it directly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tunetseg.models.export.write_companion", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def real_cohort() -> Path:
    """Return the folder of real patients; the test is skipped where there is none."""
    if reason := _skip_reason("needs_cohort"):
        pytest.skip(reason)
    return _shared_folder("needs_cohort")


@pytest.fixture(scope="session")
def oracles() -> Path:
    """Return the folder of the official codes' results; the test is skipped where there is none."""
    if reason := _skip_reason("needs_oracles"):
        pytest.skip(reason)
    return _shared_folder("needs_oracles")


@pytest.fixture(scope="session")
def mri_patient() -> Phantom:
    """Return a glioma in memory: 24x24x16 voxels of 10 mm."""
    return make_for("brats2020", 0, shape=(24, 24, 16), spacing=10.0)


@pytest.fixture(scope="session")
def mri_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of four gliomas of BraTS 2019, one of low grade: 24x24x16 voxels of 10 mm."""
    folder = tmp_path_factory.mktemp("mri-cohort")
    write_cohort(folder, cases=4, dataset="brats2019", shape=(24, 24, 16), spacing=10.0)
    return folder


@pytest.fixture(scope="session")
def ct_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three kidney tumours of KiTS19: 28 slices of 36x48 voxels, 7x8x8 mm."""
    folder = tmp_path_factory.mktemp("ct-cohort")
    write_cohort(folder, cases=3, dataset="kits19")
    return folder


@pytest.fixture(scope="session")
def nested_description() -> DatasetDescription:
    """Return a dataset that is not packaged: two channels, four nested regions, label values in no order."""
    return DatasetDescription.from_dict(
        {
            "name": "onions",
            "channels": [{"name": "first"}, {"name": "second"}],
            "regions": [
                {"name": "peel", "labels": [7, 2, 5, 3]},
                {"name": "skin", "labels": [2, 5, 3]},
                {"name": "flesh", "labels": [5, 3]},
                {"name": "core", "labels": [3]},
            ],
            "files": {
                "case": r"case_(?P<patient>\d+)",
                "channels": {"first": "{case}_a", "second": "{case}_b"},
                "reference": "{case}_labels",
            },
        }
    )


@pytest.fixture(scope="session")
def nested_cohort(tmp_path_factory: pytest.TempPathFactory, nested_description: DatasetDescription) -> Path:
    """Return a folder of three cases of `nested_description`: 24x24x20 voxels of 8 mm."""
    folder = tmp_path_factory.mktemp("nested-cohort")
    write_cohort(folder, cases=3, dataset=nested_description, shape=(24, 24, 20), spacing=8.0)
    return folder


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    """Return a function that writes the file of an untrained model of few weights.

    It takes the path, the dataset, and if need be the network with its options, the spacing in mm, the patch size,
    whether a patch holds a whole volume, and a seed.
    """
    import torch

    from tunetseg.models.store import ModelSpec, save_model
    from tunetseg.networks import NetworkSpec, build_network

    def make(
        path: Path,
        dataset: str | DatasetDescription = "brats2020",
        *,
        network: str = "tunet-seb",
        options: dict[str, Any] | None = None,
        spacing: float = 10.0,
        patch_size: tuple[int, int, int] = (24, 24, 16),
        whole_volume: bool = True,
        seed: int = 0,
    ) -> Path:
        description = dataset if isinstance(dataset, DatasetDescription) else find_description(dataset)
        small = {"base_filters": 2, "levels": 2} if options is None else options
        spec = NetworkSpec(network, len(description.channels), description.region_names, small)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            built = build_network(spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_model(path, built, ModelSpec(spec, Preprocessing(spacing), patch_size, whole_volume, description))
        return path

    return make


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Path]) -> Path:
    """Return an untrained model file for BraTS 2020, of few weights, that sees whole volumes at 10 mm."""
    return make_model(tmp_path_factory.mktemp("tiny-model") / "model.safetensors")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return headless Chromium, as the system has installed it."""
    place = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if place is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=place, args=_FLAGS)
        yield opened
        opened.close()
