"""Masks of the regions that rules score, which need not be nested, from the label values of a label map."""

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import LabelScheme, find_scheme
from tunetseg.metrics import Rules

__all__ = ["of_rules", "region_masks"]


def of_rules(rules: Rules) -> dict[str, tuple[int, ...]]:
    """Return the regions that rules name and their label values; empty where the label scheme's count."""
    return {region.name: region.labels for region in rules.regions}


def region_masks(label_map: NDArray[np.uint8], scheme: LabelScheme, rules: Rules) -> NDArray[np.bool_]:
    """Return the masks of the regions that rules name, or those of the label scheme where they name none.

    A label map in another scheme than the rules' is first written in theirs, region by region, so that an oedema is
    found whatever number it has; a cavity that the other scheme does not know stays empty.

    Args:
        label_map: Label values, shape (x, y, z).
        scheme: Meaning of the values.
        rules: Rules, and the dataset whose label values they name.

    Returns:
        Booleans, shape (region, x, y, z).

    Raises:
        InputError: A value is not a label of the scheme.

    Examples:
        >>> from tunetseg.metrics import RULES
        >>> label_map = np.array([[[0, 1, 2, 4]]], np.uint8)
        >>> masks = region_masks(label_map, find_scheme("brats2021"), RULES["brats2026-gli"])
        >>> masks[:, 0, 0].astype(int).tolist()
        [[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    """
    regions = of_rules(rules)
    if not regions or rules.labels is None:
        return scheme.masks(label_map)
    wanted = find_scheme(rules.labels)
    if scheme.name != wanted.name:
        label_map = wanted.label_map(scheme.nesting(label_map))
    table = np.zeros((len(regions), max(*wanted.values, 0, int(label_map.max(initial=0))) + 1), bool)
    for row, labels in zip(table, regions.values(), strict=True):
        row[list(labels)] = True
    return np.stack([row[label_map] for row in table])
