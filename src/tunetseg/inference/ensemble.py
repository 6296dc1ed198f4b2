"""Averaging the probabilities of several models (paper, Eq. 1)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.inference.windows import predict
from tunetseg.io.volume import Volume
from tunetseg.models.device import Precision
from tunetseg.models.store import ModelSpec, file_hash, load_model, read_spec
from tunetseg.models.zoo import MODEL
from tunetseg.networks import Cascade
from tunetseg.preparation.preprocess import Prepared, Preprocessing, prepare

__all__ = ["Ensemble"]


@dataclass(frozen=True)
class Ensemble:
    """Models whose probabilities are averaged, each at its own working spacing.

    One model's output and the running mean are held at a time, however many models there are.

    Args:
        paths: Model files.
        device: Where to compute.
        overlap: Least overlap of windows, as a share of their length.
        mirror: Average each model with its prediction of the mirror image.
        precision: Of the convolutions.
    """

    paths: tuple[Path, ...]
    device: torch.device
    overlap: float = 0.5
    mirror: bool = False
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        """Models must speak of the same regions and the same modalities."""
        if not self.paths:
            raise InputError("no model given; name one with --model")
        if not 0 <= self.overlap < 1:
            raise InputError(f"overlap {self.overlap}: must be at least 0 and below 1")
        specs = [read_spec(path) for path in self.paths]
        for path, spec in zip(self.paths, specs, strict=True):
            if (spec.architecture.regions, spec.modalities) != (
                specs[0].architecture.regions,
                specs[0].modalities,
            ):
                raise InputError(
                    f"{path}: its regions or modalities differ from those of {self.paths[0]}; do not mix them"
                )

    @property
    def spec(self) -> ModelSpec:
        """Spec of the first model, whose regions and modalities are those of all."""
        return read_spec(self.paths[0])

    def describe(self) -> list[dict[str, object]]:
        """Name, hash and training of each model, for a manifest."""
        return [
            {
                "file": path.name if path.name != MODEL else f"{path.parent.name}/{path.name}",
                "sha256": file_hash(path),
                "variant": spec.architecture.variant,
                "spacing_mm": spec.preprocessing.spacing,
                "training": spec.training,
            }
            for path, spec in ((path, read_spec(path)) for path in self.paths)
        ]

    def predict(self, volume: Volume, progress: Callable[[float], None] = lambda share: None) -> NDArray[np.float32]:
        """Mean probabilities on the volume's own grid.

        Args:
            volume: Shape (channel, x, y, z).
            progress: Told the share done so far, 0 to 1.

        Returns:
            float32, shape (region, x, y, z), axes as the volume's.
        """
        count = len(self.paths)
        mean: NDArray[np.float32] | None = None
        prepared: dict[Preprocessing, Prepared] = {}
        for number, (network, spec) in enumerate(self._models()):
            if spec.preprocessing not in prepared:
                # Models of another spacing follow each other as a rule, so one prepared array is kept.
                prepared = {spec.preprocessing: prepare(volume, spec.preprocessing)}

            def share(done: float, number: int = number) -> None:
                progress((number + done) / count)

            found = self._predict_one(network, spec, prepared[spec.preprocessing], share)
            found /= count
            mean = found if mean is None else np.add(mean, found, out=mean)
            # Or it would stand beside the next model's.
            del found
        assert mean is not None
        return mean

    def _predict_one(
        self, network: Cascade, spec: ModelSpec, ready: Prepared, progress: Callable[[float], None]
    ) -> NDArray[np.float32]:
        """One model's probabilities on the volume's own grid, shape (region, x, y, z)."""
        found = predict(
            network,
            spec,
            ready.array,
            overlap=self.overlap,
            mirror=self.mirror,
            precision=self.precision,
            progress=progress,
        )
        return ready.restore(found)

    def _models(self) -> Iterator[tuple[Cascade, ModelSpec]]:
        for path in self.paths:
            yield load_model(path, self.device)
