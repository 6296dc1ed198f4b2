"""What can be run on a patient: one network, or the mean of several (paper, Eq. 1)."""

import copy
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import DatasetDescription
from tunetseg.errors import InputError
from tunetseg.inference.windows import predict_windows, window_sides
from tunetseg.io.seal import check_seal
from tunetseg.models.calibration import Calibration
from tunetseg.models.companion import needed_onnx_file, onnx_file
from tunetseg.models.device import Precision
from tunetseg.models.engines import Engine, RunnableNetwork, choose_engine
from tunetseg.models.store import ModelSpec, file_hash, read_spec
from tunetseg.models.zoo import find_models, shown_name
from tunetseg.preparation import Prepared, Preprocessing, Volume, find_working_grid, prepare
from tunetseg.progress import Progress, silent

__all__ = ["Ensemble", "Predictor", "load_model"]

_KEPT_BYTES = 2**27
"""Networks stay in memory as long as those of a predictor take no more than this together."""


class Predictor(Protocol):
    """What can be run on a patient: anything that turns a volume into probabilities of regions."""

    @property
    def dataset(self) -> DatasetDescription:
        """Channels that it needs, regions that it gives, and its post-processing."""

    @property
    def calibration(self) -> Sequence[Mapping[str, Calibration]]:
        """Region -> curve of each model, which uncertainty follows from; empty for plain uncertainty."""

    def predict(self, volume: Volume, *, task: str, progress: Progress) -> NDArray[np.float32]:
        """Return probabilities on the grid of the volume, float32, shape (region, x, y, z).

        Args:
            volume: Its channels in the order of ``dataset``.
            task: Name of the work, passed to ``progress``.
            progress: Receives the share that is done, from 0 to 1.
        """

    def describe(self) -> dict[str, Any]:
        """Return what it is and how it runs, as data for JSON."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """One model, or several whose probabilities are averaged, each at its own working spacing.

    However many models there are, memory holds their running sum, the output of one, and two networks, besides those
    that are kept.

    Args:
        paths: Model files.
        engine: Runs the networks.
        overlap: Least overlap of windows, as a share of their length.
        mirror: Average each model with its prediction of the mirror image.
        keep: Keep networks for the next patient, as long as they are small together.

    Raises:
        InputError: A model cannot be read, or two differ in channels or regions.
    """

    paths: tuple[Path, ...]
    engine: Engine
    overlap: float = 0.5
    mirror: bool = False
    keep: bool = True
    specs: tuple[ModelSpec, ...] = field(init=False)
    _networks: dict[Path, RunnableNetwork] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Read what the models are, and check that they fit each other."""
        if not self.paths:
            raise InputError("no model is given")
        if not 0 <= self.overlap < 1:
            raise InputError(f"overlap {self.overlap}: must be at least 0 and below 1")
        object.__setattr__(self, "specs", tuple(read_spec(path) for path in self.paths))
        for path in self.paths:  # so that a damaged one is found before the first patient
            check_seal(path)
            if self.engine.reads_onnx:
                check_seal(needed_onnx_file(path))
        for path, spec in zip(self.paths, self.specs, strict=True):
            if (spec.dataset.region_names, spec.dataset.channel_names) != (
                self.dataset.region_names,
                self.dataset.channel_names,
            ):
                raise InputError(f"{path}: its regions or channels differ from those of {self.paths[0]}")

    @property
    def dataset(self) -> DatasetDescription:
        """Dataset of the first model, whose channels and regions are those of all."""
        return self.specs[0].dataset

    @property
    def calibration(self) -> tuple[dict[str, Calibration], ...]:
        """Region -> curve of each model, for `tunetseg.models.calibration.calibrate`."""
        return tuple(spec.calibration for spec in self.specs)

    def describe(self) -> dict[str, Any]:
        """Return the models and settings, as data for JSON."""
        settings = {
            "overlap": self.overlap,
            "mirror": self.mirror,
            "engine": self.engine.version,
            "precision": self.engine.precision,
            "device": self.engine.device,
        }
        return {"models": self._models, "settings": settings}

    @cached_property
    def _models(self) -> list[dict[str, Any]]:
        """What the models are; each file is hashed once."""
        return [
            {
                "file": shown_name(path),
                "sha256": file_hash(path),
                **({"onnx_sha256": file_hash(onnx_file(path))} if self.engine.reads_onnx else {}),
                "network": spec.network.name,
                "spacing_mm": spec.preprocessing.spacing,
                "training": _honest(spec.training),
            }
            for path, spec in zip(self.paths, self.specs, strict=True)
        ]

    def for_one_patient(self) -> "Ensemble":
        """Return the same models, of which no network is kept."""
        result = copy.copy(self)  # whose files need not be checked again
        object.__setattr__(result, "keep", False)
        object.__setattr__(result, "_networks", {})
        return result

    def predict(self, volume: Volume, *, task: str = "predicting", progress: Progress = silent) -> NDArray[np.float32]:
        """Return mean probabilities on the grid of a volume.

        Args:
            volume: Its channels in the order of ``dataset``.
            task: Name of the work, passed to ``progress``.
            progress: Receives the share that is done, from 0 to 1, after each window of each model.

        Returns:
            float32, shape (region, x, y, z).

        Raises:
            InputError: The volume holds no foreground, or a model is damaged.
        """
        count = len(self.paths)
        mean: NDArray[np.float32] | None = None
        numbers = iter(range(count))
        for key, members in groupby(zip(self.paths, self.specs, strict=True), _preparation):
            grid = find_working_grid(volume, *key)
            total: NDArray[np.float32] | None = None
            with ThreadPoolExecutor(1) as pool:
                ready = pool.submit(prepare, volume, *key, grid)  # while the first network is loaded and compiled
                try:
                    with closing(self._loaded(list(members), (len(volume.array), *grid.shape))) as networks:
                        for path, spec, network in networks:
                            part = _part(progress, task, next(numbers), count)
                            probabilities = self._predict_one(path, spec, network, ready.result(), part)
                            total = probabilities if total is None else np.add(total, probabilities, out=total)
                            del probabilities, network  # or they would be held while the next model runs
                finally:  # also where the progress function cancels
                    if not self.keep:
                        self.engine.release()
            assert total is not None
            total /= count
            del ready
            restored = grid.restore(total)  # is linear, so that of the sum is enough
            mean = restored if mean is None else np.add(mean, restored, out=mean)
        assert mean is not None
        return mean

    def _loaded(
        self, members: list[tuple[Path, ModelSpec]], shape: tuple[int, ...]
    ) -> Generator[tuple[Path, ModelSpec, RunnableNetwork], None, None]:
        """Yield models with their networks; while one runs, the next is compiled in a thread, if it has to be."""

        def load(path: Path, spec: ModelSpec) -> RunnableNetwork:
            network = self._network(path)
            sides = window_sides(shape, spec.patch_size, network.stride, whole_volume=spec.whole_volume)
            network.compile((shape[0], *sides))
            return network

        with ThreadPoolExecutor(1) as pool:
            coming: Future[RunnableNetwork] = pool.submit(load, *members[0])
            for (path, spec), following in zip_longest(members, members[1:]):
                network = coming.result()
                # Reading weights takes less time alone than it takes from the network that runs.
                later = following is not None and self.engine.shares and following[1].network == spec.network
                if following is not None and not later:
                    coming = pool.submit(load, *following)
                kept = False
                try:
                    yield path, spec, network
                    kept = later  # what a run needs serves the next model
                finally:  # also where the progress function cancels
                    if not kept:
                        network.release()
                    del network
                if following is not None and later:
                    coming = pool.submit(load, *following)

    def _predict_one(
        self, path: Path, spec: ModelSpec, network: RunnableNetwork, ready: Prepared, progress: Progress
    ) -> NDArray[np.float32]:
        """Return the probabilities of one model on its working grid, shape (region, x, y, z)."""
        probabilities = predict_windows(
            network,
            ready.array,
            patch_size=spec.patch_size,
            whole_volume=spec.whole_volume,
            overlap=self.overlap,
            mirror=self.mirror,
            progress=progress,
        )
        if not np.isfinite(probabilities).all():
            raise InputError(f"{path}: its results are not numbers, so its weights are damaged; copy it again")
        return probabilities

    def _network(self, path: Path) -> RunnableNetwork:
        """Return a network, which is kept for the next patient while it and those that are kept are small enough."""
        network = self._networks.get(path)
        if network is None:
            architecture = self.specs[self.paths.index(path)].network
            network = self.engine.load(path, shared=sum(spec.network == architecture for spec in self.specs) > 1)
            if self.keep and network.size + sum(kept.size for kept in self._networks.values()) <= _KEPT_BYTES:
                self._networks[path] = network
        return network


def _honest(training: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts of a training without scores of patients that it was trained on."""
    return {key: value for key, value in training.items() if key != "validation" or training.get("unseen")}


def _preparation(member: tuple[Path, ModelSpec]) -> tuple[Preprocessing, DatasetDescription]:
    """Return what decides how a volume is prepared for a model; neighbours that share it share the prepared array."""
    _, spec = member
    return spec.preprocessing, spec.dataset


def _part(progress: Progress, task: str, number: int, count: int) -> Progress:
    """Return a progress function for one of several models that reports the share of the whole task."""

    def report(_: str, completed: float, total: float, /) -> None:
        progress(task, (number + completed / total) / count, 1.0)

    return report


def load_model(
    *models: str | Path,
    engine: str = "auto",
    device: str = "auto",
    overlap: float = 0.5,
    mirror: bool = False,
    precision: Precision = "auto",
    keep: bool = True,
) -> Ensemble:
    """Return one trained model, or several that are averaged, ready to segment.

    Args:
        models: Packaged models, model files, run folders or study folders; several are averaged. By default the
            default model.
        engine: ``openvino``, ``onnxruntime``, ``torch``, or ``auto``: PyTorch on a GPU, else OpenVINO where it is
            installed, computes rightly and every model has its ONNX file, else PyTorch.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overlap: Least overlap of windows, as a share of their length, for models trained on patches.
        mirror: Average with the prediction of the mirror image; takes twice as long.
        precision: ``bf16``, ``32``, or ``auto``, which is bf16 where the hardware has it.
        keep: Keep networks in memory for the next patient.

    Raises:
        InputError: There is no such model, engine or device, or the models differ in channels or regions.

    Examples:
        >>> model = load_model()
        >>> model.dataset.channel_names, model.dataset.region_names
        (('t1', 't1ce', 'flair', 't2'), ('whole', 'core', 'enhancing'))
    """
    paths = find_models(models)
    chosen = choose_engine(engine, device=device, precision=precision, models=paths)
    return Ensemble(paths, chosen, overlap, mirror, keep)
