"""What a synthetic patient is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets.labels import LabelScheme

__all__ = ["Phantom"]


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic patient with known truth.

    Args:
        images: Channel -> float32, shape (x, y, z), in the order in which a file holds them.
        label_map: uint8, shape (x, y, z).
        affine: Voxel to world in mm (RAS+, as in NIfTI), shape (4, 4).
        scheme: What the values of the label map mean.
        grade: ``HGG`` or ``LGG`` of a glioma; else None.
    """

    images: dict[str, NDArray[np.float32]]
    label_map: NDArray[np.uint8]
    affine: NDArray[np.float64]
    scheme: LabelScheme
    grade: str | None = None
