"""Geometry: the same voxels lie in the same places, in whatever order of axes."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from scipy.spatial.transform import Rotation

from tunetseg.errors import InputError
from tunetseg.io import Grid, check_same_lattice

ORIENTATIONS = [
    "".join(axis[sign] for axis, sign in zip(order, signs, strict=True))
    for order in itertools.permutations(("LR", "AP", "IS"))
    for signs in itertools.product((0, 1), repeat=3)
]
SHAPE = (4, 5, 6)


@st.composite
def grids(draw: st.DrawFn, most_degrees: float = 40) -> Grid:
    """A grid of any spacing and origin, turned up to some degrees against the axes of the patient."""
    spacing = draw(st.tuples(*[st.floats(0.3, 7)] * 3))
    axis = draw(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda axis: np.linalg.norm(axis) > 0.1))
    turn = Rotation.from_rotvec(np.array(axis) / np.linalg.norm(axis) * np.deg2rad(draw(st.floats(0, most_degrees))))
    affine = np.eye(4)
    affine[:3, :3] = turn.as_matrix() @ np.diag([-spacing[0], -spacing[1], spacing[2]])
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return Grid(affine, draw(st.tuples(*[st.integers(1, 7)] * 3)))


def stored_as(grid: Grid, array: np.ndarray, axes: str) -> tuple[Grid, np.ndarray]:
    """The same voxels in another order of axes, as nibabel does it; the grid is near LPS."""
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(axes))
    turned = apply_orientation(array, turn)
    return Grid(grid.affine @ inv_ornt_aff(turn, grid.shape), turned.shape), turned


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_every_orientation_goes_to_lps_and_back(axes: str) -> None:
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    lps = Grid(np.array([[-1, 0, 0, 7], [0, -2, 0, 8], [0, 0, 3, 9], [0, 0, 0, 1]]), SHAPE)
    grid, stored = stored_as(lps, array, axes)
    assert grid.axes == axes
    assert np.array_equal(grid.to_lps(stored), array)
    assert np.array_equal(grid.from_lps(array), stored)
    assert grid.in_lps().axes == "LPS"
    assert grid.in_lps().shape == SHAPE
    assert grid.in_lps().affine == pytest.approx(lps.affine)
    assert grid.same_lattice(lps)
    check_same_lattice("a", grid, "b", lps)
    assert sorted(grid.spacing) == [1, 2, 3]
    assert grid.in_lps().spacing == (1, 2, 3)
    assert grid.voxel_ml == pytest.approx(0.006)


@given(grid=grids(), axes=st.sampled_from(ORIENTATIONS), channels=st.integers(1, 3))
def test_oblique_grids_go_to_lps_and_back(grid: Grid, axes: str, channels: int) -> None:
    array = np.random.default_rng(0).random(grid.shape)
    other, stored = stored_as(grid, array, axes)
    assert grid.same_lattice(other)
    assert other.same_lattice(grid)
    assert np.array_equal(other.from_lps(other.to_lps(stored)), stored)
    assert np.array_equal(other.to_lps(stored), grid.to_lps(array)), "one array in memory, whatever the file"
    both = np.stack([stored] * channels)
    assert np.array_equal(other.to_lps(both)[-1], other.to_lps(stored)), "axes before the last three stay"
    assert other.voxel_ml == pytest.approx(grid.voxel_ml)
    assert sorted(other.spacing) == pytest.approx(sorted(grid.spacing))
    assert other.in_lps().spacing == pytest.approx(grid.in_lps().spacing)


@given(grid=grids(most_degrees=180))
def test_any_rotation_goes_to_lps_and_back(grid: Grid) -> None:
    array = np.random.default_rng(0).random(grid.shape)
    lps = grid.to_lps(array)
    assert lps.shape == grid.in_lps().shape
    assert np.array_equal(grid.from_lps(lps), array)
    # A voxel keeps its place in the world.
    index = np.unravel_index(int(lps.argmax()), lps.shape)
    before = np.unravel_index(int(array.argmax()), array.shape)
    assert grid.in_lps().affine @ [*index, 1] == pytest.approx(grid.affine @ [*before, 1], abs=1e-6)


@given(grid=grids(), shift=st.tuples(*[st.floats(-1, 1)] * 3))
def test_a_lattice_is_the_same_up_to_a_twentieth_of_a_millimetre(grid: Grid, shift: tuple[float, ...]) -> None:
    affine = grid.affine.copy()
    affine[:3, 3] += shift
    moved = Grid(affine, grid.shape)
    assert grid.difference(moved) == pytest.approx(np.linalg.norm(shift), abs=1e-6)
    assert grid.same_lattice(moved) == (grid.difference(moved) <= 0.05)


@pytest.mark.parametrize("degrees", [45, 135, -45, 44.9999, 60])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("axes", ["PLS", "SRA", "AIL"])
def test_one_lattice_in_two_orders_of_axes_is_the_same_at_any_turn(degrees: float, axis: int, axes: str) -> None:
    """Just between two directions, the order of the axes decided which one an axis got."""
    turn = Rotation.from_rotvec(np.eye(3)[axis] * np.deg2rad(degrees)).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1.0, -1, 1])
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    grid = Grid(affine, SHAPE)
    other, turned = stored_as(grid, array, axes)
    assert grid.same_lattice(other)
    assert (grid.to_lps(array) == other.to_lps(turned)).all()


def test_another_lattice() -> None:
    grid = Grid(np.diag([-1.0, -1, 1, 1]), SHAPE)
    bigger = Grid(grid.affine, (4, 5, 7))
    assert grid.difference(bigger) == np.inf
    assert not grid.same_lattice(bigger)
    with pytest.raises(
        InputError, match=r"a\.nii: shape \(4, 5, 6\), but b\.nii has \(4, 5, 7\); bring both to one grid"
    ):
        check_same_lattice("a.nii", grid, "b.nii", bigger)
    mirrored = Grid(np.diag([1.0, -1, 1, 1]), SHAPE)
    with pytest.raises(InputError, match=r"a\.nii: lies up to 3 mm away from b\.nii"):
        check_same_lattice("a.nii", grid, "b.nii", mirrored)
    coarser = Grid(np.diag([-1.02, -1, 1, 1]), SHAPE)
    assert not grid.same_lattice(coarser), "0.06 mm at the far corner"


def test_rounding_of_programs_is_accepted() -> None:
    affine = np.diag([-0.9375, -0.9375, 1.2, 1]) + np.eye(4, k=3) * 123.456
    grid = Grid(affine, (256, 256, 150))
    assert grid.same_lattice(Grid(affine.astype(np.float32), grid.shape))
    assert grid.same_lattice(Grid(affine + np.eye(4, k=3) * 0.002, grid.shape))
    assert not grid.same_lattice(Grid(affine + np.diag([0.001, 0, 0, 0]), grid.shape)), "a quarter of a mm at the end"


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan), np.diag([1, 1, 0, 1])])
def test_an_affine_that_cannot_be_inverted(affine: np.ndarray) -> None:
    with pytest.raises(InputError, match="affine cannot be inverted"):
        Grid(affine, SHAPE)


def test_axes_that_lie_nearly_in_one_plane() -> None:
    affine = np.eye(4)
    affine[:3, 1] = (1, 0.01, 0)
    with pytest.raises(InputError, match="axes lie nearly in one plane"):
        Grid(affine, SHAPE)
    tilt = np.eye(4)
    tilt[:3, 2] = (0, np.sin(np.radians(30)), np.cos(np.radians(30)))
    assert Grid(tilt, SHAPE).spacing == pytest.approx((1, 1, 1)), "of a gantry"


def test_a_grid_shares_nothing_with_the_array_that_it_was_made_of() -> None:
    affine = np.diag([-1.0, -1, 1, 1])
    grid = Grid(affine, SHAPE)
    affine[0, 0] = 5
    assert grid.spacing == (1, 1, 1)
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 5


def test_from_spacing() -> None:
    grid = Grid.from_spacing((1, 2, 3), SHAPE)
    assert (grid.axes, grid.spacing) == ("LPS", (1, 2, 3))
    assert Grid.from_spacing(2, SHAPE).spacing == (2, 2, 2)
    for spacing in ((1, 2), 0, (1, -1, 1), np.nan):
        with pytest.raises(InputError, match="invalid spacing"):
            Grid.from_spacing(spacing, SHAPE)


def test_axes_agree_with_nibabel() -> None:
    affine = np.array([[0, 0, 3, 0], [1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]], float)
    grid = Grid(affine, (6, 8, 10))
    assert grid.axes == "".join(nib.aff2axcodes(affine)) == "AIR"
    assert grid.in_lps().spacing == (3, 1, 2)
    assert grid.in_lps().shape == (10, 6, 8)
