"""From the places of slices to one lattice of voxels: order, gaps, tilt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.findings import Finding
from tunetseg.io.grid import LPS_TO_RAS, Grid

__all__ = ["Plane", "Stack", "stack_planes", "straighten"]

_COSINE_TOLERANCE = 2e-3
"""Directions that differ by 0.1 degrees are the same: scanners round them."""

_POSITION_MM = 0.05
_SHEAR_DEGREES = 0.5


@dataclass(frozen=True, eq=False)
class Plane:
    """Where the pixels of one slice lie, in DICOM's space: x to the left, y to the back, z up, in mm.

    Args:
        position: Centre of the first pixel.
        along_row: Direction in which the column number grows.
        along_column: Direction in which the row number grows.
        spacing: Between rows, then between columns.
        shape: Rows and columns.
        thickness: Of the slice, if it is given.
    """

    position: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    spacing: tuple[float, float]
    shape: tuple[int, int]
    thickness: float | None = None

    @property
    def place(self) -> tuple[float, ...]:
        """Position and directions, rounded so that copies of a slice have the same."""
        numbers = np.concatenate([self.position, self.along_row, self.along_column])
        return tuple(np.round(numbers, 2).tolist())


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in their order along the normal.

    Args:
        order: Indices of the planes from the lowest to the highest along the normal.
        grid: Lattice with axes (column, row, slice); right-angled even where the slices are sheared.
        shear: Shift from one slice to the next along columns and rows, in pixels; zeros where there is none.
    """

    order: tuple[int, ...]
    grid: Grid
    shear: tuple[float, float] = (0.0, 0.0)


class _Refused(Exception):  # noqa: N818
    """A finding because of which slices make no volume."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(code, "refuse", message)


def stack_planes(planes: Sequence[Plane], name: str) -> tuple[Stack | None, list[Finding]]:
    """Order slices by their place along the normal, and check that they make one lattice.

    Args:
        planes: At least one, in any order, no two of them copies.
        name: What the slices are, for the sentences.

    Returns:
        The stack, or None where a finding refuses it; and the findings.
    """
    try:
        return _stack(planes, name)
    except _Refused as refused:
        return None, [refused.finding]


def _stack(planes: Sequence[Plane], name: str) -> tuple[Stack, list[Finding]]:
    row, column = _directions(planes, name)
    spacing = _spacing(planes, name)
    normal = np.cross(row, column)
    places = np.array([plane.position for plane in planes])
    if not np.isfinite(places).all():
        raise _Refused("no-geometry", f"{name}: a slice has no valid position; export the series again")
    heights = places @ normal
    order = np.argsort(heights, kind="stable")
    if len(planes) == 1:
        raise _Refused("single-slice", f"{name}: holds a single slice; a whole volume is needed")
    step, findings = _step(heights[order], name)
    findings += _thickness(planes, step, name)
    shear, shear_findings = _shear(places[order], row, column, spacing, step, name)
    affine = np.eye(4)
    affine[:3, 0] = row * spacing[1]
    affine[:3, 1] = column * spacing[0]
    affine[:3, 2] = normal * step
    rows, columns = planes[0].shape
    before, after = _room(shear, len(planes))
    affine[:3, 3] = places[order[0]] - affine[:3, :2] @ before
    shape = (columns + before[0] + after[0], rows + before[1] + after[1], len(planes))
    try:
        grid = Grid(LPS_TO_RAS @ affine, shape)
    except InputError:
        raise _Refused("no-geometry", f"{name}: its pixels have no size; export the series again") from None
    return Stack(tuple(order.tolist()), grid, shear), findings + shear_findings


def _directions(planes: Sequence[Plane], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The common directions of rows and columns, made right-angled and of unit length."""
    pairs = np.array([[plane.along_row, plane.along_column] for plane in planes])
    if not np.isfinite(pairs).all():
        raise _Refused("no-geometry", f"{name}: does not say how the patient lies; export the series again")
    spread = np.abs(pairs - pairs[0]).max(axis=(1, 2))
    if (spread > _COSINE_TOLERANCE).any():
        count = len({tuple(np.round(pair, 1).ravel().tolist()) for pair in pairs})
        raise _Refused(
            "orientations",
            f"{name}: its slices lie in {max(count, 2)} orientations, as in a localizer; it is not one volume",
        )
    row, column = pairs.mean(axis=0)
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > 0.02 or abs(float(row @ column)) > 0.02:
        raise _Refused("no-geometry", f"{name}: its directions of rows and columns are invalid; export it again")
    # The nearest right-angled pair; directions are often rounded.
    left, _, right = np.linalg.svd(np.array([row, column]), full_matrices=False)
    row, column = left @ right
    return row, column


def _spacing(planes: Sequence[Plane], name: str) -> tuple[float, float]:
    spacings = np.array([plane.spacing for plane in planes])
    if not (np.isfinite(spacings).all() and (spacings > 0).all()):
        raise _Refused("no-geometry", f"{name}: does not give the size of its pixels; export the series again")
    if np.abs(spacings / spacings[0] - 1).max() > 1e-3 or len({plane.shape for plane in planes}) > 1:
        raise _Refused("spacing", f"{name}: its slices have pixels or images of different sizes; it is not one volume")
    first, second = spacings[0].tolist()
    return first, second


def _step(heights: NDArray[np.float64], name: str) -> tuple[float, list[Finding]]:
    """Distance between slices, in order, and what is irregular about it."""
    steps = np.diff(heights)
    usual = float(np.median(steps))
    if usual <= _POSITION_MM or (steps <= _POSITION_MM).any():
        raise _Refused(
            "repeated-slices",
            f"{name}: several different images lie in one place, as in a dynamic or diffusion series, or two scans are "
            "mixed; export the one that is wanted as a series of its own",
        )
    wide = np.flatnonzero(steps > 1.5 * usual)
    if len(wide):
        missing = int(np.rint(steps[wide] / usual - 1).sum())
        first = int(wide[0])
        raise _Refused(
            "gap",
            f"{name}: about {missing} of {len(heights) + missing} slices missing, the first after slice {first + 1} "
            f"({steps[first]:.3g} mm to the next, {usual:.3g} mm elsewhere); export or send the series again",
        )
    step = float((heights[-1] - heights[0]) / (len(heights) - 1))
    off = float(np.abs(heights - heights[0] - step * np.arange(len(heights))).max())
    if off > 0.5 * step:
        raise _Refused(
            "irregular",
            f"{name}: the distance between its slices varies from {steps.min():.3g} to {steps.max():.3g} mm"
            "; a series with even distances is needed",
        )
    if off > max(2 * _POSITION_MM, 0.05 * step):
        message = (
            f"{name}: its slices lie up to {off:.2g} mm away from even distances of {step:.3g} mm, which are assumed"
        )
        return step, [Finding("irregular", "warning", message)]
    return step, []


def _thickness(planes: Sequence[Plane], step: float, name: str) -> list[Finding]:
    thickness = planes[0].thickness
    if not thickness or thickness <= 0:
        return []
    if step > 1.6 * thickness:
        message = (
            f"{name}: slices of {thickness:.3g} mm lie {step:.3g} mm apart; every second one may be missing, so "
            "compare with the scanner's protocol"
        )
        return [Finding("sparse-slices", "warning", message)]
    return []


def _shear(
    places: NDArray[np.float64],
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    spacing: tuple[float, float],
    step: float,
    name: str,
) -> tuple[tuple[float, float], list[Finding]]:
    """Shift from slice to slice within the plane, which a tilted gantry makes."""
    count = len(places)
    offsets = (places - places[0]) @ np.array([row, column]).T
    slope = offsets[-1] / (count - 1)
    off = float(np.linalg.norm(offsets - np.arange(count)[:, None] * slope, axis=1).max())
    if off > max(0.5 * min(spacing), 2 * _POSITION_MM):
        raise _Refused(
            "scattered",
            f"{name}: its slices are shifted against each other by up to {off:.2g} mm; it is not one volume",
        )
    degrees = float(np.degrees(np.arctan2(np.linalg.norm(slope), step)))
    if degrees <= _SHEAR_DEGREES:
        return (0.0, 0.0), []
    if degrees > 45:
        raise _Refused("tilt", f"{name}: its slices are sheared by {degrees:.0f} degrees; export an untilted volume")
    message = (
        f"{name}: its slices are sheared by {degrees:.1f} degrees (gantry tilt); they were brought to a right-angled "
        "grid with linear interpolation"
    )
    return (float(slope[0] / spacing[1]), float(slope[1] / spacing[0])), [Finding("tilt", "warning", message)]


def _room(shear: tuple[float, float], count: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels to add before and after the columns and rows of the first slice, so that the others fit in."""
    ends = [shift * (count - 1) for shift in shear]
    columns, rows = ((math.ceil(max(-end, 0.0)), math.ceil(max(end, 0.0))) for end in ends)
    return (columns[0], rows[0]), (columns[1], rows[1])


def straighten(array: NDArray[np.float32], shear: tuple[float, float]) -> NDArray[np.float32]:
    """Bring sheared slices to the right-angled lattice of their `Stack`, with linear interpolation.

    Args:
        array: Shape (column, row, slice).
        shear: Shift per slice along columns and rows, in pixels.

    Returns:
        An array that is larger by the shift of the last slice; what no slice covers has the smallest value of all.
    """
    from scipy.ndimage import shift

    before, after = _room(shear, array.shape[2])
    lowest = float(array.min())
    padded = np.pad(
        array, ((before[0], after[0]), (before[1], after[1]), (0, 0)), mode="constant", constant_values=lowest
    )
    result = np.empty_like(padded)
    for number in range(array.shape[2]):
        # A pixel of this slice lies so much further along than the same one of the first slice.
        offset = (shear[0] * number, shear[1] * number)
        shift(padded[..., number], offset, output=result[..., number], order=1, mode="constant", cval=lowest)
    return result
