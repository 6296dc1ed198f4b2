"""From probabilities to nested region masks (paper, 2.6)."""

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import Postprocessing, nested

__all__ = ["postprocess"]


def postprocess(
    probabilities: NDArray[np.float32],
    regions: tuple[str, ...],
    voxel_mm3: float,
    settings: Postprocessing,
) -> tuple[NDArray[np.bool_], list[str]]:
    """Return nested masks: threshold, apply the rules, add to each region what the regions inside it hold.

    Where nothing of ``settings.fallback_region`` is found, its threshold is lowered, but only inside the regions
    around it: the paper does not say where, and without that a brain without tumour would be given a core at 0.01.

    Args:
        probabilities: Shape (region, x, y, z), outermost region first.
        regions: Names in the same order.
        voxel_mm3: Volume of one voxel.
        settings: The rules.

    Returns:
        Nested masks, shape (region, x, y, z), and a sentence for each rule that changed something.
    """
    masks = probabilities >= settings.threshold
    notes: list[str] = []
    if settings.fallback_region in regions:
        notes += _lower_threshold(masks, probabilities, regions.index(settings.fallback_region), settings)
    masks = nested(masks)
    if settings.min_volume_region in regions:
        notes += _remove_small(masks, regions.index(settings.min_volume_region), voxel_mm3, settings)
    return masks, notes


def _lower_threshold(
    masks: NDArray[np.bool_], probabilities: NDArray[np.float32], level: int, settings: Postprocessing
) -> list[str]:
    """Fill an empty region, in place, at the first of the lower thresholds at which it has a voxel."""
    # What is found of the regions inside it does not count: it may be too small and removed later.
    if masks[level].any():
        return []
    around = masks[level - 1 :].any(axis=0) if level else np.ones(masks.shape[1:], bool)
    for threshold in settings.threshold_fallbacks:
        masks[level] = (probabilities[level] >= threshold) & around
        if masks[level].any():
            return [f"{settings.fallback_region} found only at threshold {threshold:g}"]
    return []


def _remove_small(masks: NDArray[np.bool_], level: int, voxel_mm3: float, settings: Postprocessing) -> list[str]:
    """Remove a region that is too small, in place, with all regions inside it."""
    volume = float(masks[level].sum()) * voxel_mm3
    # The float32 affine of an oblique file makes a little less of 1 mm3.
    if not 0 < volume < settings.min_volume_mm3 * (1 - 1e-6):
        return []
    masks[level:] = False
    return [
        f"{settings.min_volume_region} of {volume:.0f} mm3 was removed, as it is smaller than "
        f"{settings.min_volume_mm3:g} mm3"
    ]
