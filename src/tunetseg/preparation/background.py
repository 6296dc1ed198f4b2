"""What of an MRI volume is background: found in each channel, and set to 0.

BraTS images have a background of exactly 0, and such images stay as they are, bit for bit. Images of other origin have
a constant background that is not 0, small values around 0 where they were resampled with a kernel that rings
(B-splines, Lanczos), or noise.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Background", "clean"]

_SHARE = 0.5
"""Share of the border voxels that have one value where the background is constant."""
_FAINT = 0.04
"""Share of the robust maximum below which a voxel may be ringing or noise."""
_RINGING = 0.03
"""Faint voxels around the head, as a share of its own voxels, from which they are ringing."""
_EDGE = 0.2
"""Share of the intensity further inside below which a voxel at the edge of the head is background."""
_SPIKE = 20
"""A voxel is damaged if it is this many times the 99.9th percentile."""
_NOISE = 6
"""Standard deviations of the border beyond which a voxel is not noise."""


@dataclass(frozen=True)
class Background:
    """What was found of one channel.

    Args:
        kind: ``zero``: nothing was changed. ``constant``: another value. ``ringing``: faint values around the head.
            ``noise``: no value is common. ``none``: the border looks like the rest, and nothing was changed.
        level: Value of the background in the file.
        spikes: Count of voxels that were damaged and have been limited.
    """

    kind: Literal["zero", "constant", "ringing", "noise", "none"]
    level: float = 0.0
    spikes: int = 0


@dataclass(frozen=True)
class _Estimate:
    """Background of one channel, before the channels are compared.

    Args:
        kind: As in `Background`.
        level: Value of the background.
        faint: Distance from the level up to which a voxel may be background.
        darker: Whether values below the level may be foreground, as in normalised images.
    """

    kind: Literal["zero", "constant", "ringing", "noise", "none"]
    level: float
    faint: float
    darker: bool


def clean(array: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[Background, ...]]:
    """Find the background of each channel and set it to 0, and limit single damaged voxels.

    A channel whose background is not 0 is moved by its level, so that its contrast stays. Channels with ringing or
    noise share one mask: what stands out in any of them, in large pieces and without holes.

    Args:
        array: Shape (channel, x, y, z); not changed.

    Returns:
        The same array where nothing had to be changed, otherwise a new one; and what was found of each channel.

    Examples:
        >>> head = np.full((1, 20, 20, 20), 10, np.float32)
        >>> head[:, 5:15, 5:15, 5:15] = 300
        >>> cleaned, found = clean(head)
        >>> found[0].kind, found[0].level, np.unique(cleaned).tolist()
        ('constant', 10.0, [0.0, 290.0])
    """
    found = [_estimate(channel) for channel in array]
    spikes = [_spikes(channel, one.level) for channel, one in zip(array, found, strict=True)]
    if all(one.kind in {"zero", "none"} for one in found) and not any(count for count, _ in spikes):
        return array, tuple(Background(one.kind, one.level) for one in found)
    result = array.copy()
    for channel, one, (count, limit) in zip(result, found, spikes, strict=True):
        if count:
            np.clip(channel, one.level - limit, one.level + limit, out=channel)
    shared = np.ones(array.shape[1:], bool)
    if any(one.kind in {"ringing", "noise"} for one in found):
        shared = _head(result, found)
        if shared.mean() > 0.97 or not shared.any():
            found = [_Estimate("none", 0, 0, True) if one.kind in {"ringing", "noise"} else one for one in found]
    for number, one in enumerate(found):
        if one.kind in {"constant", "ringing", "noise"}:
            result[number] -= one.level
        if one.kind in {"ringing", "noise"}:
            result[number][~shared] = 0
    backgrounds = (Background(one.kind, one.level, count) for one, (count, _) in zip(found, spikes, strict=True))
    return result, tuple(backgrounds)


def _estimate(channel: NDArray[np.float32]) -> _Estimate:
    border = np.concatenate([np.take(channel, side, axis).ravel() for axis in range(3) for side in (0, -1)])
    if (border == 0).mean() >= 0.9 and channel.min() >= 0:
        return _Estimate("zero", 0, 0, False)
    values, counts = np.unique(border, return_counts=True)
    level, share = float(values[counts.argmax()]), counts.max() / border.size
    sample = channel[::2, ::2, ::2]
    scale = float(np.percentile(np.abs(sample - level), 99.5))
    others = np.abs(border[border != level] - level)
    if share >= _SHARE and (not others.size or share >= 0.9 or float(np.median(others)) > 0.15 * scale):
        return _constant(sample, level, scale)
    level = float(np.median(border))
    scale = float(np.percentile(np.abs(sample - level), 99.5))
    faint = max(_FAINT * scale, _NOISE * 1.5 * float(np.percentile(np.abs(border - level), 75)))
    darker = float(np.percentile(sample, 0.5)) < level - faint
    return _Estimate("none" if faint > 0.5 * scale else "noise", level, faint, darker)


def _constant(sample: NDArray[np.float32], level: float, scale: float) -> _Estimate:
    """A background of one value, around which an interpolation may have rung."""
    distance = sample - level
    faint = _FAINT * scale
    # Ringing hardly leaves the faint values; half of a normalised brain lies below the level.
    darker = bool((distance < -faint).sum() > 0.2 * (distance > faint).sum())
    kind: Literal["zero", "constant", "ringing"] = "zero" if level == 0 else "constant"
    if distance.min() < 0 and not darker:
        head = _solid(distance > faint)
        around = ((distance != 0) & ~head).sum()
        below = ((distance < 0) & ~head).sum()
        if around > _RINGING * head.sum() and below > 0.1 * around:
            kind = "ringing"
    return _Estimate(kind, level, faint, darker)


def _spikes(channel: NDArray[np.float32], level: float) -> tuple[int, float]:
    """Count of damaged voxels, and the distance from the level to which they are limited."""
    sample = np.abs(channel[::2, ::2, ::2] - level)
    inside = sample[sample > 0]
    if not inside.size:
        return 0, 0.0
    limit = float(np.percentile(inside, 99.9))
    farthest = max(float(channel.max()) - level, level - float(channel.min()))
    if farthest <= _SPIKE * limit:
        return 0, limit
    return int((np.abs(channel - level) > _SPIKE * limit).sum()), limit


def _head(array: NDArray[np.float32], found: list[_Estimate]) -> NDArray[np.bool_]:
    """What stands out of the background in any channel."""
    seen = np.zeros(array.shape[1:], bool)
    height = np.zeros(array.shape[1:], np.float32)
    for channel, one in zip(array, found, strict=True):
        if one.kind in {"ringing", "noise"}:
            distance = np.abs(channel - one.level) if one.darker else channel - one.level
            stands_out = distance > one.faint
            seen |= stands_out
            if stands_out.any():
                height += np.maximum(distance, 0) / np.median(distance[stands_out])
    return _without_blurred_edge(_solid(seen), height)


def _without_blurred_edge(head: NDArray[np.bool_], height: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Leave out voxels at the edge that an interpolation has made of hardly anything but background.

    They are darker than any tissue, and a model takes them for a rim of it.
    """
    from scipy import ndimage

    inner = ndimage.binary_erosion(head, iterations=2)
    weight = ndimage.gaussian_filter(inner.astype(np.float32), 2)
    inside = ndimage.gaussian_filter(height * inner, 2)
    return head & (inner | (height * weight >= _EDGE * inside))


def _solid(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The large pieces of a mask, without holes; threads and single voxels around them are left out."""
    from scipy import ndimage

    opened = ndimage.binary_opening(mask)
    labels, count = ndimage.label(opened)
    if not count:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    # A scalp may not touch the brain, and must not be lost, so that the skull is seen.
    large = (sizes > 0.05 * sizes.max())[labels]
    closed = ndimage.binary_closing(np.pad(large, 2), iterations=2)[2:-2, 2:-2, 2:-2]
    return ndimage.binary_fill_holes(closed | large)
