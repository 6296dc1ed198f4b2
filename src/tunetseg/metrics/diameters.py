"""Bidirectional diameters of lesions on axial slices, as response criteria of neuro-oncology measure them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.metrics.components import TOUCHING

__all__ = ["Diameters", "LesionSize", "axial_diameters", "lesion_sizes"]

_Point = tuple[float, float]


@dataclass(frozen=True)
class Diameters:
    """The two diameters of a lesion on one axial slice.

    Args:
        slice: Index of the slice along the last axis.
        longest_mm: Greatest distance between two points of the lesion's outline.
        perpendicular_mm: Longest chord at a right angle to it, from border to border.
        longest: Ends of the first, in voxels along the first two axes; 0 is the middle of the first voxel.
        perpendicular: Ends of the second.
    """

    slice: int
    longest_mm: float
    perpendicular_mm: float
    longest: tuple[_Point, _Point]
    perpendicular: tuple[_Point, _Point]

    @property
    def product_mm2(self) -> float:
        """Product of both diameters."""
        return self.longest_mm * self.perpendicular_mm

    @property
    def measurable(self) -> bool:
        """Whether both are 10 mm or more, which makes a lesion measurable (Wen et al. 2010 and 2023, RANO)."""
        return min(self.longest_mm, self.perpendicular_mm) >= 10


@dataclass(frozen=True)
class LesionSize:
    """How large one lesion is, and where it lies.

    Args:
        volume_ml: Volume in millilitres.
        centre: Mean voxel, x, y and z.
        diameters: On the axial slice where their product is greatest.
    """

    volume_ml: float
    centre: tuple[float, float, float]
    diameters: Diameters


def axial_diameters(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Diameters | None:
    """Return the diameters on the axial slice where their product is greatest; None for an empty mask.

    Diameters reach from one outer edge of voxels to the other, and pass over holes, such as the necrosis inside a ring
    of enhancement. The chord is found to within one voxel.

    Args:
        mask: One lesion, shape (x, y, z), the last axis running along the patient.
        spacing: Voxel size in mm along x, y, z.

    Examples:
        >>> mask = np.zeros((60, 40, 3), bool)
        >>> mask[10:50, 10:11, 1] = True
        >>> found = axial_diameters(mask, (1.0, 1.0, 3.0))
        >>> found.slice, round(found.longest_mm), round(found.perpendicular_mm)
        (1, 40, 1)
    """
    levels = np.flatnonzero(mask.any(axis=(0, 1))).tolist()
    slices = (_on_slice(mask[:, :, level], level, spacing) for level in levels)
    return max(slices, key=lambda found: found.product_mm2, default=None)


def lesion_sizes(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float], *, least_ml: float = 0.0
) -> list[LesionSize]:
    """Return the size of each lesion, the largest first; voxels that share a face, an edge or a corner are one lesion.

    Args:
        mask: Shape (x, y, z), the last axis running along the patient.
        spacing: Voxel size in mm along x, y, z.
        least_ml: Volume of the smallest lesion that counts.

    Returns:
        One size per lesion; slices and ends of diameters are counted in the whole array.

    Examples:
        >>> mask = np.zeros((9, 9, 9), bool)
        >>> mask[1:3, 1:3, 1:3] = mask[5:8, 5:8, 5:8] = True
        >>> [(lesion.volume_ml, lesion.centre) for lesion in lesion_sizes(mask, (1.0, 1.0, 1.0))]
        [(0.027, (6.0, 6.0, 6.0)), (0.008, (1.5, 1.5, 1.5))]
    """
    from scipy import ndimage

    whole = ndimage.find_objects(mask.view(np.uint8))
    if not whole:
        return []
    outer = whole[0]
    numbers, count = ndimage.label(mask[outer], TOUCHING)
    voxel_ml = float(np.prod(spacing)) / 1000
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    found = []
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        if sizes[number] * voxel_ml < least_ml:
            continue
        lesion = numbers[box] == number
        start = [part.start + around.start for part, around in zip(box, outer, strict=True)]
        x, y, z = (float(np.mean(axis) + first) for axis, first in zip(np.nonzero(lesion), start, strict=True))
        diameters = axial_diameters(lesion, spacing)
        assert diameters is not None
        found.append(LesionSize(float(sizes[number]) * voxel_ml, (x, y, z), _moved(diameters, start)))
    return sorted(found, key=lambda size: -size.volume_ml)


def _moved(diameters: Diameters, start: list[int]) -> Diameters:
    """Return diameters counted from another voxel."""
    x, y, z = start
    (a, b), (c, d) = (
        tuple((point[0] + x, point[1] + y) for point in ends) for ends in (diameters.longest, diameters.perpendicular)
    )
    return Diameters(diameters.slice + z, diameters.longest_mm, diameters.perpendicular_mm, (a, b), (c, d))


def _on_slice(mask: NDArray[np.bool_], level: int, spacing: tuple[float, float, float]) -> Diameters:
    size = np.array(spacing[:2])
    corners = _corners(mask) * size
    hull = corners[_hull(corners)]
    distances = np.linalg.norm(hull[:, None] - hull[None], axis=-1)
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    start, end = hull[first], hull[second]
    along = (end - start) / distances[first, second]
    across = np.array([-along[1], along[0]])
    low, high = _longest_chord(corners @ along, corners @ across, float(size.min()))
    return Diameters(
        level,
        float(distances[first, second]),
        float((corners[high] - corners[low]) @ across),
        (_point(start / size), _point(end / size)),
        _perpendicular_ends(corners[low], corners[high], along, across, size),
    )


def _perpendicular_ends(
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    size: NDArray[np.float64],
) -> tuple[_Point, _Point]:
    """Return the ends of the chord, both at the same place along the longest diameter."""
    place = along * float((low + high) @ along) / 2
    return _point((place + across * (low @ across)) / size), _point((place + across * (high @ across)) / size)


def _point(place: NDArray[np.float64]) -> _Point:
    return float(place[0]), float(place[1])


def _corners(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the corners of the voxels of a mask that lie on its border, in voxels; shape (corner, 2)."""
    padded = np.pad(mask, 1)
    around = padded[:-1, :-1].astype(np.uint8) + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]
    border = (around > 0) & (around < 4)
    return np.argwhere(border).astype(np.float64) - 0.5


def _hull(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return which points lie on the convex hull; of those in one row, only the first and last can."""
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(np.diff(points[:, 0], prepend=-np.inf))
    ends = np.unique(np.concatenate([rows, rows[1:] - 1, [len(points) - 1]]))
    return ends[ConvexHull(points[ends]).vertices]


def _longest_chord(along: NDArray[np.float64], across: NDArray[np.float64], step: float) -> tuple[int, int]:
    """Return the two points with the greatest distance across among those at one place along, to within a step."""
    places = np.floor((along - along.min()) / step).astype(np.intp)
    order = np.lexsort((across, places))
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    ends = np.append(starts[1:], len(order)) - 1
    widest = int((across[order[ends]] - across[order[starts]]).argmax())
    return int(order[starts[widest]]), int(order[ends[widest]])
