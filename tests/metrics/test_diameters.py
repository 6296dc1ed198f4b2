"""Bidirectional diameters and lesions."""

import numpy as np
import pytest

from tunetseg.metrics import axial_diameters, lesion_sizes


def ellipse(
    shape: tuple[int, int], radii: tuple[float, float], angle: float, spacing: tuple[float, float]
) -> np.ndarray:
    """A rotated ellipse with radii in mm around the middle."""
    x, y = ((np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, spacing, strict=True))
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along = cos * x[:, None] + sin * y[None]
    across = -sin * x[:, None] + cos * y[None]
    return (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1


@pytest.mark.parametrize("angle", [0, 20, 45, 77, 130])
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.8)])
def test_an_ellipse(angle: float, spacing: tuple[float, float]) -> None:
    mask = ellipse((160, 140), (30, 12), angle, spacing)[..., None]
    found = axial_diameters(mask, (*spacing, 3.0))
    assert found is not None
    assert found.longest_mm == pytest.approx(60, abs=1.5)
    assert found.perpendicular_mm == pytest.approx(24, abs=1.5)
    ends = np.array([found.longest, found.perpendicular]) * spacing
    lines = ends[:, 1] - ends[:, 0]
    assert np.linalg.norm(lines, axis=1) == pytest.approx([found.longest_mm, found.perpendicular_mm])
    assert lines[0] @ lines[1] == pytest.approx(0, abs=1e-6)
    assert found.measurable


def test_a_rectangle_of_known_size() -> None:
    mask = np.zeros((40, 40, 4), bool)
    mask[5:11, 5:13, 2] = True
    found = axial_diameters(mask, (1.0, 1.0, 1.0))
    assert found is not None
    assert (found.slice, found.longest_mm) == (2, 10.0)
    assert not found.measurable, "the chord is shorter than 10 mm"


def test_holes_are_passed_over() -> None:
    ring = ellipse((60, 60), (20, 20), 0, (1, 1)) & ~ellipse((60, 60), (17, 17), 0, (1, 1))
    found = axial_diameters(ring[..., None], (1.0, 1.0, 1.0))
    assert found is not None
    assert found.longest_mm == pytest.approx(40, abs=1.5)
    assert found.perpendicular_mm == pytest.approx(40, abs=1.5)


def test_the_slice_with_the_greatest_product() -> None:
    mask = np.zeros((60, 60, 3), bool)
    mask[5:55, 30, 0] = True
    mask[..., 1] = ellipse((60, 60), (15, 14), 0, (1, 1))
    mask[..., 2] = ellipse((60, 60), (10, 10), 0, (1, 1))
    found = axial_diameters(mask, (1.0, 1.0, 1.0))
    assert found is not None
    assert found.slice == 1


def test_nothing() -> None:
    mask = np.zeros((8, 8, 8), bool)
    assert axial_diameters(mask, (1.0, 1.0, 1.0)) is None
    assert lesion_sizes(mask, (1.0, 1.0, 1.0)) == []


def test_lesions_in_order_of_size_where_they_lie() -> None:
    mask = np.zeros((30, 20, 10), bool)
    mask[2:4, 3:5, 1] = True
    mask[10:20, 10:14, 4:6] = True
    mask[25, 1, 9] = True
    first, second = lesion_sizes(mask, (1.0, 2.0, 5.0), least_ml=0.02)
    assert [first.volume_ml, second.volume_ml] == pytest.approx([0.8, 0.04])
    assert first.centre == (14.5, 11.5, 4.5)
    assert first.diameters.slice in {4, 5}
    ends = np.array(first.diameters.longest)
    assert ends.min(axis=0).tolist() == [9.5, 9.5]
    assert ends.max(axis=0).tolist() == [19.5, 13.5]
