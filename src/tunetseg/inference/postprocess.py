"""From probabilities to nested region masks (paper, 2.6)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import DatasetDescription, Postprocessing, find_description, nested
from tunetseg.datasets.description import convert
from tunetseg.errors import InputError
from tunetseg.io.bounded import read_toml
from tunetseg.preparation.boxes import bounding_box

__all__ = ["find_postprocessing", "postprocess", "remove_islands"]

_TOUCHING = np.ones((3, 3, 3), bool)
"""Voxels that share a face, an edge or a corner belong to one component."""

_SLACK = 1 - 1e-6
"""The float32 affine of an oblique file makes a little less of 1 mm3."""


def find_postprocessing(name: str | Path, dataset: DatasetDescription) -> Postprocessing:
    """Return rules by name.

    Args:
        name: ``model``: those of the model's dataset; ``paper``: those of the paper (2.6), as BraTS 2020's description
            has them; ``none``: a threshold of one half and nothing else; or a TOML file with a table
            ``[postprocessing]``, as ``tunet tune`` writes it.
        dataset: Dataset of the model.

    Raises:
        InputError: There are no such rules, or they are of other regions.
    """
    if name == "model":
        return dataset.postprocessing
    if name == "none":
        return Postprocessing()
    if name == "paper":
        rules = find_description("brats2020").postprocessing
    elif Path(name).suffix == ".toml":
        rules = _read(Path(name))
    else:
        raise InputError(f"unknown post-processing {str(name)!r}; choose from model, paper, none, or name a .toml file")
    other = next((region for _, region in rules.regions() if region not in dataset.region_names), None)
    if other is not None:
        raise InputError(
            f"post-processing {name}: is for a region {other!r}, but the model has {', '.join(dataset.region_names)}"
        )
    return rules


def _read(path: Path) -> Postprocessing:
    raw = read_toml(path)
    if not isinstance(raw.get("postprocessing"), dict):
        raise InputError(f"{path}: has no table [postprocessing]; name a file that tunet tune has written")
    rules: Postprocessing = convert(raw["postprocessing"], Postprocessing, f"{path}: postprocessing")
    return rules


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
    thresholds = np.array([settings.threshold_of(region) for region in regions], np.float32)
    masks = probabilities >= thresholds[:, None, None, None]
    notes: list[str] = []
    if settings.fallback_region in regions:
        notes += _lower_threshold(masks, probabilities, regions.index(settings.fallback_region), settings)
    masks = nested(masks)
    for level, region in enumerate(regions):
        if settings.min_component_mm3.get(region, 0) > 0:
            notes += _without_islands(masks, level, region, voxel_mm3, settings.min_component_mm3[region])
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


def remove_islands(mask: NDArray[np.bool_], least: float) -> tuple[NDArray[np.bool_], int]:
    """Return a mask without its small components, and how many were removed.

    The largest component is kept whatever its size: a small tumour is not an island.

    Args:
        mask: Booleans, shape (x, y, z).
        least: Voxels of the smallest component that is kept. Voxels that share a face, an edge or a corner are
            connected.
    """
    from scipy import ndimage

    components, count = ndimage.label(mask, _TOUCHING)
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    small = sizes < least * _SLACK
    small[0] = False
    if count:
        small[1 + sizes[1:].argmax()] = False
    return mask & ~small[components], int(small.sum())


def _without_islands(
    masks: NDArray[np.bool_], level: int, region: str, voxel_mm3: float, least_mm3: float
) -> list[str]:
    """Remove the small components of a region, in place, with what lies of the regions inside it in them."""
    box = bounding_box(masks[level])
    if box is None:
        return []
    kept, count = remove_islands(masks[level][box], least_mm3 / voxel_mm3)
    if not count:
        return []
    masks[(slice(level, None), *box)] &= kept
    parts = "1 component" if count == 1 else f"{count} components"
    return [f"{parts} of {region} smaller than {least_mm3:g} mm3 removed"]


def _remove_small(masks: NDArray[np.bool_], level: int, voxel_mm3: float, settings: Postprocessing) -> list[str]:
    """Remove a region that is too small, in place, with all regions inside it."""
    volume = float(masks[level].sum()) * voxel_mm3
    if not 0 < volume < settings.min_volume_mm3 * _SLACK:
        return []
    masks[level:] = False
    return [
        f"{settings.min_volume_region} of {volume:.0f} mm3 was removed, as it is smaller than "
        f"{settings.min_volume_mm3:g} mm3"
    ]
