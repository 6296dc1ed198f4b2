"""One row per lesion, and the share of lesions that were found, by size."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunetseg.metrics.lesions import LesionMatch
from tunetseg.metrics.matching import OneToOneMatch

__all__ = ["SIZES_ML", "lesion_rows", "recall_by_size"]

SIZES_ML = (0.1, 1.0, 10.0)
"""Borders of the classes of size, in ml."""


def lesion_rows(match: LesionMatch | OneToOneMatch) -> list[dict[str, Any]]:
    """Return one row per lesion of the reference, smallest first.

    Args:
        match: Lesions of one region, scored at one tolerance of the normalised surface Dice.

    Returns:
        ``lesion``, from 1; ``volume_ml``; ``counted``: it enters the lesion-wise means of the rules; ``matched``: a
        predicted component matches it; ``components``, how many do; ``dice``; ``hd95`` in mm, NaN for a missed lesion;
        ``nsd``.

    Examples:
        >>> import numpy as np
        >>> from tunetseg.metrics import MatchingRules, match_one_to_one
        >>> mask = np.zeros((9, 1, 1), bool)
        >>> mask[[0, 4, 5]] = True
        >>> found = mask.copy()
        >>> found[0] = False
        >>> rows = lesion_rows(match_one_to_one(found, mask, (1, 1, 1), MatchingRules()))
        >>> [(row["lesion"], row["volume_ml"], row["matched"], row["dice"]) for row in rows]
        [(1, 0.001, False, 0.0), (2, 0.002, True, 1.0)]
    """
    counted = match.counted if isinstance(match, LesionMatch) else match.averaged
    kept = {id(lesion) for lesion in counted}
    return [
        {
            "lesion": number,
            "volume_ml": lesion.volume_mm3 / 1000,
            "counted": id(lesion) in kept,
            "matched": lesion.components > 0,
            "components": lesion.components,
            "dice": lesion.dice,
            "hd95": lesion.hd95,
            "nsd": lesion.nsd[0] if lesion.nsd else math.nan,
        }
        for number, lesion in enumerate(match.lesions, 1)
    ]


def recall_by_size(rows: Sequence[Mapping[str, Any]], sizes_ml: Sequence[float] = SIZES_ML) -> list[dict[str, Any]]:
    """Return how many lesions there are and how many were found, per class of size.

    Args:
        rows: Of `lesion_rows`, of any number of cases.
        sizes_ml: Borders of the classes, rising, in ml; a lesion of just this volume is in the larger class.

    Returns:
        Per class ``from_ml``, ``to_ml`` (None: no border), ``lesions``, ``found`` and ``recall``, NaN without lesions.

    Examples:
        >>> rows = [{"volume_ml": 0.05, "matched": False}, {"volume_ml": 0.1, "matched": True}]
        >>> [(found["lesions"], found["found"]) for found in recall_by_size(rows)]
        [(1, 0), (1, 1), (0, 0), (0, 0)]
    """
    classes = []
    for low, high in zip((0.0, *sizes_ml), (*sizes_ml, math.inf), strict=True):
        found = [bool(row["matched"]) for row in rows if low <= row["volume_ml"] < high]
        classes.append(
            {
                "from_ml": low,
                "to_ml": None if math.isinf(high) else high,
                "lesions": len(found),
                "found": sum(found),
                "recall": sum(found) / len(found) if found else math.nan,
            }
        )
    return classes
