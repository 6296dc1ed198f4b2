"""Every number that the checks compare with, in one table."""

from dataclasses import dataclass

__all__ = ["THRESHOLDS", "Thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """Limits beyond which something is reported.

    In brackets stands what was measured on 87 patients of BraTS 2017 to 2023 (``benchmarks/input_trials.py``); none of
    them is beyond a limit.

    Args:
        slice_mm: Longest edge of a voxel from which slices are thick [1].
        brain_ml: Least and most volume of a brain [1148 to 1910].
        extent_mm: Least extent of a brain to the left, the back and the top [120, 129, 120].
        skull: Least intensity 6 to 15 mm below the surface, as a share of the channel's median [0.84]; bone is darker.
        overlap: Least share of the smaller of two channels' masks that the other covers [0.992].
        copy: Correlation of two channels from which one is a copy of the other [0.95].
        enhancement: Least skew of T1ce minus T1 deep in the brain [0.00]; vessels and tumours are brighter in T1ce.
        fluid: Least skew of T2 minus T1 and of T2 minus FLAIR [0.13]; only in T2 is fluid bright.
        opposite: Greatest correlation of T1 and T2 [-0.24], whose contrasts are opposite.
        kinship: Least of r(T1, T1ce) + r(FLAIR, T2) - r(T1, FLAIR) - r(T1ce, T2), and of the same without the pairs
            T1 and T2, and T1ce and FLAIR [0.08].
        lost: Greatest share of a channel that lies outside of the grid that it is brought to.
        covered: Least share of the brain that the field of view of such a channel covers.
        region: Greatest share of the brain that a region fills [0.20].
        uncertainty: Greatest mean uncertainty, before calibration, where the outermost region has a probability of one
            half or more with the default model [33.2, 29.0, 26.4; with ``fast`` 22.4]; of brains without tumour, made
            by mirroring, it is [43.8 to 83.3; with ``fast`` 20.1 to 35.9].
    """

    slice_mm: float = 4.0
    brain_ml: tuple[float, float] = (700.0, 2000.0)
    extent_mm: tuple[float, float, float] = (105.0, 115.0, 95.0)
    skull: float = 0.7
    overlap: float = 0.98
    copy: float = 0.999
    enhancement: float = -0.06
    fluid: float = -0.1
    opposite: float = 0.0
    kinship: float = 0.0
    lost: float = 0.1
    covered: float = 0.9
    region: float = 1 / 3
    uncertainty: float = 26.5


THRESHOLDS = Thresholds()
