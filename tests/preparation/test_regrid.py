"""Bringing arrays from one lattice to another in one world."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tunetseg.io import Grid
from tunetseg.preparation.regrid import regrid, regrid_masks


def blob(grid: Grid, centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """A ball at a place of the world."""
    places = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return np.linalg.norm(places - centre, axis=-1) <= radius


def centroid(mask: np.ndarray, grid: Grid) -> np.ndarray:
    return grid.affine[:3, :3] @ np.array(ndimage.center_of_mass(mask)) + grid.affine[:3, 3]


FINE = Grid(np.array([[-2.0, 0, 0, 40], [0, -2, 0, 40], [0, 0, 2, -30], [0, 0, 0, 1]]), (40, 40, 30))


@pytest.mark.parametrize("turn", [0, 25, 90])
@pytest.mark.parametrize("spacing", [(2, 2, 2), (1.5, 3, 6), (1, 1, 1)])
def test_masks_keep_their_place_and_size(turn: float, spacing: tuple[float, ...]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [turn, turn / 2, -turn], degrees=True).as_matrix() * spacing
    shape = tuple(int(90 / size) for size in spacing)
    affine[:3, 3] = -affine[:3, :3] @ np.array(shape) / 2
    target = Grid(affine, shape)  # type: ignore[arg-type]
    outer, inner = blob(FINE, (5, -4, 3), 16), blob(FINE, (8, -4, 3), 8)
    moved = regrid_masks(np.stack([outer, inner]), FINE, target)
    assert not (moved[1] & ~moved[0]).any(), "nested"
    for before, after in zip((outer, inner), moved, strict=True):
        assert after.sum() * target.voxel_ml == pytest.approx(before.sum() * FINE.voxel_ml, rel=0.15)
        assert centroid(after, target) == pytest.approx(centroid(before, FINE), abs=max(0.3, 0.25 * max(spacing)))


def test_the_edge_of_what_is_inside_stays_sharp() -> None:
    """Interpolation with the background would leave dark voxels around the brain."""
    values = np.where(blob(FINE, (0, 0, 0), 20), np.float32(100), np.float32(0))
    target = Grid(FINE.affine @ np.diag([0.7, 0.7, 1.6, 1]), (57, 57, 19))
    moved = regrid(values, FINE, target, masked=True)
    assert set(np.unique(np.round(moved, 3))) == {0, 100}
    assert (moved != 0).sum() * target.voxel_ml == pytest.approx((values != 0).sum() * FINE.voxel_ml, rel=0.05)
    assert regrid(values, FINE, target).min() == 0
    assert len(np.unique(np.round(regrid(values, FINE, target)))) > 10


def test_what_lies_outside() -> None:
    far = Grid(FINE.affine + np.eye(4, k=3) * 500, FINE.shape)
    assert (regrid(np.ones(FINE.shape, np.float32), FINE, far, outside=-7) == -7).all()


def test_a_move() -> None:
    mask = blob(FINE, (0, 0, 0), 10)
    move = np.eye(4)
    move[:3, 3] = 6, -8, 2
    moved = regrid_masks(mask[None], FINE, FINE, move=move)[0]
    assert centroid(moved, FINE) == pytest.approx(centroid(mask, FINE) + np.array([6, -8, 2]), abs=0.05)


def test_nothing_is_aliased() -> None:
    stripes = np.zeros((40, 40, 30), np.float32)
    stripes[::2] = 100
    coarse = Grid(FINE.affine @ np.diag([4, 4, 3, 1]), (10, 10, 10))
    inner = regrid(stripes, FINE, coarse)[2:8, 2:8, 2:8]
    assert inner.min() > 45
    assert inner.max() < 55
