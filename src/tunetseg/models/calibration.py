"""Calibration of a model's probabilities, stored with the model. Light: torch is not imported here."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

__all__ = ["Calibration", "calibrate"]

_TINY = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logarithms are taken."""

_Share = Annotated[float, Meta(ge=0, le=1)]


class Calibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rising curve from the probabilities of one region to how often they are right.

    Args:
        kind: ``temperature`` divides the logit by ``temperature`` (Guo et al., ICML 2017); ``isotonic`` interpolates
            between points.
        temperature: Above 1 where the network is too certain.
        probabilities: Rising, of the points of ``isotonic``.
        frequencies: Share of voxels inside the region at each of these points, rising.

    Raises:
        ValueError: The points of ``isotonic`` do not make a rising curve.

    Examples:
        >>> Calibration(kind="temperature", temperature=2.0)(np.float32([0.5, 0.9])).round(2).tolist()
        [0.5, 0.75]
    """

    kind: Literal["temperature", "isotonic"] = "temperature"
    temperature: Annotated[float, Meta(gt=0)] = 1.0
    probabilities: tuple[_Share, ...] = ()
    frequencies: tuple[_Share, ...] = ()

    def __post_init__(self) -> None:
        """Check the points."""
        if self.kind == "isotonic":
            x, y = np.array(self.probabilities), np.array(self.frequencies)
            if len(x) < 2 or len(x) != len(y) or (np.diff(x) <= 0).any() or (np.diff(y) < 0).any():
                raise ValueError("isotonic calibration needs two points or more whose values rise")

    def __call__(self, probabilities: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return calibrated probabilities, float32, of any shape; 0 stays 0."""
        if self.kind == "isotonic":
            curve = np.interp(probabilities, self.probabilities, self.frequencies)
        else:
            inside = np.clip(probabilities, _TINY, 1 - _TINY).astype(np.float64)
            curve = 1 / (1 + (1 / inside - 1) ** (1 / self.temperature))
        return np.where(probabilities == 0, 0, curve).astype(np.float32)


def calibrate(
    probabilities: NDArray[np.float32], regions: Sequence[str], models: Sequence[Mapping[str, Calibration]]
) -> NDArray[np.float32]:
    """Return calibrated probabilities of an ensemble: the mean of its models' curves.

    Args:
        probabilities: Mean over the models, shape (region, ...).
        regions: Names of the regions.
        models: Region -> curve of each model. A region that one of them has no curve for stays as it is.

    Returns:
        float32 of the same shape; the array itself where nothing is calibrated.
    """
    known = [region for region in regions if models and all(region in curves for curves in models)]
    if not known:
        return probabilities
    result = probabilities.copy()
    for region in known:
        level = list(regions).index(region)
        result[level] = np.mean([curves[region](probabilities[level]) for curves in models], axis=0, dtype=np.float32)
    return result
