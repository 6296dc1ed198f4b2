"""Checks of the sequences against each other: shifted, copied, exchanged."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tunetseg.checks.sample import SEQUENCES, Sample
from tunetseg.checks.thresholds import THRESHOLDS
from tunetseg.findings import Finding

__all__ = ["check_sequences"]

_Values = dict[str, NDArray[np.float64]]


def check_sequences(sample: Sample) -> list[Finding]:
    """Return where the channels do not fit each other.

    Args:
        sample: The channels of a brain.
    """
    findings = _shifted(sample)
    copies = _copies(sample.deep)
    # Contrasts of copies, or of different places, say nothing.
    return findings + copies + ([] if findings or copies else _exchanged(sample.deep))


def _shifted(sample: Sample) -> list[Finding]:
    """A channel that shows the brain in another place than the others."""
    worst, pair = 1.0, ("", "")
    for (first, one), (second, other) in combinations(zip(sample.names, sample.masks, strict=True), 2):
        smaller = min(int(one.sum()), int(other.sum()))
        share = float((one & other).sum()) / smaller if smaller else 1.0
        if share < worst:
            worst, pair = share, (first, second)
    if worst >= THRESHOLDS.overlap:
        return []
    message = (
        f"only {100 * worst:.0f} % of the brain of {pair[0]} and {pair[1]} overlaps: they are shifted or of two "
        "patients; register all sequences to one"
    )
    return [Finding("shifted", "warning", message)]


def _copies(deep: _Values) -> list[Finding]:
    findings = []
    for first, second in combinations(deep, 2):
        correlation = _correlation(deep, first, second)
        if abs(correlation) > THRESHOLDS.copy:
            message = f"{first} and {second} are copies of each other but for their scale; give two different sequences"
            findings.append(Finding("copy", "warning", message))
    return findings


def _exchanged(deep: _Values) -> list[Finding]:
    """Whether the contrasts of the sequences are those of their names."""
    if not set(SEQUENCES) <= set(deep) or _fit(deep) >= 0:
        return []
    pairs = list(combinations(SEQUENCES, 2))
    fits = [_fit(_swapped(deep, *pair)) for pair in pairs]
    message = "the contrasts of the sequences do not fit their names; check which file is which"
    if max(fits) > 0:
        first, second = pairs[int(np.argmax(fits))]
        message = f"{first} and {second} look exchanged by their contrasts; check which file is which"
    return [Finding("exchanged", "warning", message)]


def _swapped(deep: _Values, first: str, second: str) -> _Values:
    return deep | {first: deep[second], second: deep[first]}


def _fit(deep: _Values) -> float:
    """Least distance from the limits of all contrasts; below 0 where one does not fit."""
    limits = THRESHOLDS
    r = {frozenset(pair): _correlation(deep, *pair) for pair in combinations(SEQUENCES, 2)}

    def alike(first: str, second: str) -> float:
        return r[frozenset((first, second))]

    own = alike("t1", "t1ce") + alike("flair", "t2")
    return min(
        _skew(deep["t1ce"] - deep["t1"]) - limits.enhancement,
        _skew(deep["t2"] - deep["t1"]) - limits.fluid,
        _skew(deep["t2"] - deep["flair"]) - limits.fluid,
        limits.opposite - alike("t1", "t2"),
        own - alike("t1", "flair") - alike("t1ce", "t2") - limits.kinship,
        own - alike("t1", "t2") - alike("t1ce", "flair") - limits.kinship,
    )


def _correlation(deep: _Values, first: str, second: str) -> float:
    return float(np.mean(deep[first] * deep[second]))


def _skew(values: NDArray[np.float64]) -> float:
    """How much farther the brightest half percent lies from the median than the darkest, from -1 to 1."""
    low, middle, high = np.percentile(values, [0.5, 50, 99.5])
    return float((high + low - 2 * middle) / (high - low)) if high > low else 0.0
