"""From probabilities to nested region masks (paper, 2.6)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import nested

__all__ = ["Postprocessing", "postprocess"]


@dataclass(frozen=True)
class Postprocessing:
    """The paper's two rules, for whichever regions they are wanted.

    Args:
        ladder_region: Region whose threshold is lowered until something of it is found; None: none is.
        ladder: Thresholds in turn; the first is that of every region.
        sparse_region: Innermost region that is given up where it is small; None: none is.
        sparse_mm3: Smaller than this it becomes what surrounds it. The paper says 500 voxels, which are of
            1 mm3 in BraTS; counting mm3 gives the same there and the same lesion at any other spacing.
    """

    ladder_region: str | None = "core"
    ladder: tuple[float, ...] = (0.5, 0.3, 0.1, 0.05, 0.01)
    sparse_region: str | None = "enhancing"
    sparse_mm3: float = 500.0


def postprocess(
    probabilities: NDArray[np.float32],
    regions: tuple[str, ...],
    voxel_mm3: float,
    settings: Postprocessing | None = None,
) -> tuple[NDArray[np.bool_], list[str]]:
    """Threshold, apply both rules, enforce nesting: what an inner region holds, its outer ones hold too.

    A core that the core's own network finds nowhere is looked for at lower thresholds, inside the whole tumour only:
    the paper does not say where, and without that a brain without tumour would be given one at 0.01.

    Args:
        probabilities: Shape (region, x, y, z), outermost region first.
        regions: Names in the same order.
        voxel_mm3: Volume of one voxel.
        settings: Both of the paper's rules unless said otherwise.

    Returns:
        Nested masks, shape (region, x, y, z), and a sentence for each rule that changed something.
    """
    rules = settings or Postprocessing()
    first, *lower = rules.ladder
    found = probabilities >= first
    said: list[str] = []
    if rules.ladder_region in regions:
        # What an inner network found is no core found: it may be given up below, with nothing left of a core.
        level = regions.index(rules.ladder_region)
        outer = found[level - 1 :].any(axis=0) if level else np.ones(found.shape[1:], bool)
        for threshold in lower if not found[level].any() else []:
            found[level] = (probabilities[level] >= threshold) & outer
            if found[level].any():
                said.append(f"{rules.ladder_region} found only at threshold {threshold:g}")
                break
    masks = nested(found)
    if rules.sparse_region in regions:
        level = regions.index(rules.sparse_region)
        volume = float(masks[level].sum()) * voxel_mm3
        # An oblique file's float32 affine makes of 1 mm3 a hair less.
        if 0 < volume < rules.sparse_mm3 * (1 - 1e-6):
            masks[level:] = False
            said.append(f"{rules.sparse_region} of {volume:.0f} mm3 is under {rules.sparse_mm3:g} and was given up")
    return masks, said
