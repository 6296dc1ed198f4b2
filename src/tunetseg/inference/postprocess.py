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
    """Threshold, apply the rules, enforce nesting: what an inner region holds, its outer ones hold too.

    A region of which nothing is found is looked for at lower thresholds, inside the regions around it only: the paper
    does not say where, and without that a brain without tumour would be given a core at 0.01.

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
        # What an inner network found does not count: it may be removed below, with nothing left of this region.
        level = regions.index(settings.fallback_region)
        outer = masks[level - 1 :].any(axis=0) if level else np.ones(masks.shape[1:], bool)
        for threshold in settings.threshold_fallbacks if not masks[level].any() else ():
            masks[level] = (probabilities[level] >= threshold) & outer
            if masks[level].any():
                notes.append(f"{settings.fallback_region} found only at threshold {threshold:g}")
                break
    masks = nested(masks)
    if settings.min_volume_region in regions:
        level = regions.index(settings.min_volume_region)
        volume = float(masks[level].sum()) * voxel_mm3
        # The float32 affine of an oblique file makes a little less of 1 mm3.
        if 0 < volume < settings.min_volume_mm3 * (1 - 1e-6):
            masks[level:] = False
            notes.append(
                f"{settings.min_volume_region} of {volume:.0f} mm3 was removed, as it is smaller than "
                f"{settings.min_volume_mm3:g} mm3"
            )
    return masks, notes
