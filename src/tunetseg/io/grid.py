"""Where voxels lie: geometry without files."""

import itertools
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt2axcodes,
    ornt_transform,
)
from numpy.typing import ArrayLike, NDArray

from tunetseg.errors import InputError
from tunetseg.limits import LIMITS

__all__ = ["LPS_TO_RAS", "Grid", "check_same_lattice", "check_voxel_size"]

LPS_TO_RAS = np.diag([-1.0, -1, 1, 1])
"""Turns coordinates of DICOM, ITK and NRRD into those of NIfTI, and back."""

_TOLERANCE_MM = 0.05
"""Programs that resample write the same lattice with affines that differ in the last digits of float32."""

_LEAST_VOLUME = 0.05
"""Volume of a voxel as a share of that of a box with its edges. A gantry tilted by 30 degrees gives 0.87."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A lattice of voxels in the patient's space.

    World coordinates follow NIfTI: x to the patient's right, y to the front, z up, in mm.

    Args:
        affine: Voxel indices to world in mm, shape (4, 4).
        shape: Voxels along the three axes.

    Raises:
        InputError: The affine cannot be inverted, is not finite, or is a shear in which axes have no direction.

    Examples:
        >>> grid = Grid(np.diag([-1, -1, 3, 1]), (10, 20, 5))
        >>> grid.spacing, grid.axes, grid.voxel_ml
        ((1.0, 1.0, 3.0), 'LPS', 0.003)
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        """Check that the voxels have a place and a size."""
        affine = np.array(self.affine, np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise InputError("the affine cannot be inverted, so the voxels have no place or size")
        if np.isnan(io_orientation(affine)).any():
            raise InputError("the affine is so oblique that the axes have no direction")
        if abs(np.linalg.det(affine[:3, :3])) < _LEAST_VOLUME * np.prod(np.linalg.norm(affine[:3, :3], axis=0)):
            raise InputError("the affine's axes lie nearly in one plane, as those of no image do; correct the header")
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        x, y, z = self.shape
        object.__setattr__(self, "shape", (int(x), int(y), int(z)))

    @classmethod
    def from_spacing(cls, spacing: ArrayLike, shape: tuple[int, int, int]) -> "Grid":
        """Return a grid in LPS order with voxels of a size in mm, for arrays without an affine.

        Args:
            spacing: Voxel sizes in mm along the three axes, or one for all.
            shape: Voxels along the three axes.

        Raises:
            InputError: The spacing is not one or three positive numbers.
        """
        sizes = np.asarray(spacing, np.float64)
        if sizes.shape not in {(), (1,), (3,)} or not (np.isfinite(sizes) & (sizes > 0)).all():
            raise InputError(f"invalid spacing {sizes.tolist()}; give one positive number of mm, or three")
        x, y, z = np.broadcast_to(sizes, 3).tolist()
        return cls(np.diag([-x, -y, z, 1.0]), shape)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel sizes in mm along the three axes."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0)).tolist()
        return x, y, z

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def axes(self) -> str:
        """Directions of the axes, such as ``LPS`` or ``RAS``; of oblique ones the nearest."""
        return "".join(ornt2axcodes(_orientation(self.affine)))

    def in_lps(self) -> "Grid":
        """Return the same lattice with axes towards left, posterior and superior."""
        if self.axes == "LPS":
            return self
        turn = self._turn_to_lps()
        x, y, z = (self.shape[int(axis)] for axis in np.argsort(turn[:, 0]))
        return Grid(self.affine @ inv_ornt_aff(turn, self.shape), (x, y, z))

    def to_lps(self, array: NDArray) -> NDArray:
        """Return an array on this grid with its last three axes towards left, posterior and superior.

        Args:
            array: Shape (..., *shape).

        Returns:
            A view.
        """
        return _turned(array, self._turn_to_lps())

    def from_lps(self, array: NDArray) -> NDArray:
        """Return an array in LPS order with its last three axes in the order of this grid, the inverse of `to_lps`."""
        return _turned(array, ornt_transform(axcodes2ornt("LPS"), _orientation(self.affine)))

    def difference(self, other: "Grid") -> float:
        """Return the largest distance in mm between a corner voxel of two grids of one shape; infinity otherwise."""
        if self.shape != other.shape:
            return float("inf")
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
        corners[:, :3] *= np.array(self.shape) - 1
        return float(np.linalg.norm((corners @ (self.affine - other.affine).T)[:, :3], axis=1).max())

    def same_lattice(self, other: "Grid") -> bool:
        """Return whether the voxels of two grids lie in the same places, in whatever order of axes."""
        return self.in_lps().difference(other.in_lps()) <= _TOLERANCE_MM

    def _turn_to_lps(self) -> NDArray[np.float64]:
        return ornt_transform(_orientation(self.affine), axcodes2ornt("LPS"))


_NUDGE = np.eye(3) + 1e-4 * np.array([[0.0, -3, 2], [3, 0, -1], [-2, 1, 0]])
"""A turn of the world by less than a thousandth, which decides where an axis lies just between two directions."""


def _orientation(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest direction of every axis and its sign, shape (3, 2), as nibabel's ``io_orientation``.

    That takes axis by axis, so that one lattice may get two orientations in two orders of its axes; here all three are
    chosen together, and the world decides between equals, so that it gets one.
    """
    first, _, second = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    turned = _NUDGE @ first @ second
    order = max(itertools.permutations(range(3)), key=lambda found: np.abs(turned[found, range(3)]).sum())
    return np.array([[row, 1.0 if turned[row, axis] >= 0 else -1.0] for axis, row in enumerate(order)])


def check_voxel_size(source: object, grid: Grid) -> None:
    """Raise InputError where no image has voxels of such a size.

    Args:
        source: The file, named in the error.
        grid: Its grid.
    """
    low, high = LIMITS.voxel_mm
    if not all(low <= edge <= high for edge in grid.spacing):
        size = " x ".join(f"{edge:.3g}" for edge in grid.spacing)
        raise InputError(f"{source}: voxels of {size} mm, but {low:g} to {high:g} mm are possible; correct the header")


def _turned(array: NDArray, orientation: NDArray[np.float64]) -> NDArray:
    """Reorder and flip the last three axes; axes before them stay."""
    moved = apply_orientation(np.moveaxis(array, (-3, -2, -1), (0, 1, 2)), orientation)
    return np.moveaxis(moved, (0, 1, 2), (-3, -2, -1))


def check_same_lattice(name: object, grid: Grid, other_name: object, other: Grid) -> None:
    """Raise InputError unless the voxels of two images lie in the same places, in whatever order of axes.

    Args:
        name: File of the first image, named in the error.
        grid: Its grid.
        other_name: File of the second image.
        other: Its grid.
    """
    first, second = grid.in_lps(), other.in_lps()
    if first.shape != second.shape:
        raise InputError(
            f"{name}: shape {grid.shape}, but {other_name} has {other.shape}; bring both to one grid first"
        )
    if not grid.same_lattice(other):
        raise InputError(
            f"{name}: lies up to {first.difference(second):.3g} mm away from {other_name}; bring both to one grid first"
        )
