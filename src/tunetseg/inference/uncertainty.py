"""Uncertainty of each voxel and region (paper, Eq. 2)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["uncertainty"]


def uncertainty(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far probabilities are from certainty: 0 at 0 and at 1, 100 at one half.

    Args:
        probabilities: Untouched by post-processing, any shape, 0 to 1.

    Returns:
        float32 of the same shape, 0 certain to 100 uncertain.
    """
    result = 1 - probabilities
    np.minimum(result, probabilities, out=result)
    result *= 200
    return result
