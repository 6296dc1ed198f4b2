"""Checks of a result."""

import numpy as np
from numpy.typing import NDArray

from tunetseg.checks.sample import shows_brain
from tunetseg.checks.thresholds import THRESHOLDS
from tunetseg.datasets import DatasetDescription
from tunetseg.findings import Finding

__all__ = ["check_result", "unsureness"]


def unsureness(probabilities: NDArray[np.float32]) -> float:
    """Return the mean uncertainty (paper, Eq. 2), 0 to 100, where a region has a probability of one half or more.

    Post-processing plays no part: what a high threshold keeps is always certain. Without such voxels it is 0.
    """
    probable = probabilities[probabilities >= 0.5]
    return 200 * (1 - float(probable.mean())) if probable.size else 0.0


def check_result(
    masks: NDArray[np.bool_],
    probabilities: NDArray[np.float32],
    foreground: NDArray[np.bool_],
    description: DatasetDescription,
) -> list[Finding]:
    """Return what is unlikely about the segmentation of a brain.

    Args:
        masks: Nested, shape (region, x, y, z), outermost region first.
        probabilities: Of the outermost region, before calibration and post-processing, shape (x, y, z).
        foreground: The brain, shape (x, y, z).
        description: Names of channels and regions; of other images than MRI of brains nothing is known.
    """
    if not shows_brain(description) or not masks[0].any():
        return []
    findings = []
    region = description.region_names[0]
    share = float(masks[0].sum()) / max(1, int(foreground.sum()))
    if share > THRESHOLDS.region:
        message = f"{region} fills {100 * share:.0f} % of the brain, which is unlikely; check the images"
        findings.append(Finding("large-region", "warning", message))
    mean = unsureness(probabilities)
    if mean > THRESHOLDS.uncertainty:
        message = (
            f"the model is unsure of most of {region} (mean uncertainty {mean:.0f} of 100), as in brains without a "
            "tumour; do not rely on the result"
        )
        findings.append(Finding("unsure", "warning", message))
    return findings
