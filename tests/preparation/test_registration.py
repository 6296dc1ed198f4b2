"""Rigid registration of images of other sequences."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tunetseg.datasets.phantom import make_for
from tunetseg.errors import InputError
from tunetseg.io import image_from_array

pytest.importorskip("SimpleITK", reason="the extra prepare is not installed")
from tunetseg.preparation.registration import register


def test_a_moved_image_is_found_again() -> None:
    patient = make_for("glioma", 1, shape=(60, 60, 40), spacing=4.0)
    fixed = image_from_array(patient.images["t1ce"], affine=patient.affine)
    truth = np.eye(4)
    truth[:3, :3] = Rotation.from_euler("xyz", [9, -6, 12], degrees=True).as_matrix()
    truth[:3, 3] = 14, -9, 6
    moving = image_from_array(patient.images["t2"], affine=truth @ patient.affine)
    found = register(fixed, moving)
    inside = np.argwhere(fixed.array != 0)[::200]
    places = inside @ fixed.grid.affine[:3, :3].T + fixed.grid.affine[:3, 3]
    moved = places @ truth[:3, :3].T + truth[:3, 3]
    back = moved @ found[:3, :3].T + found[:3, 3]
    assert np.linalg.norm(back - places, axis=1).max() < 1.5
    assert np.allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-6)


def test_nothing_in_common() -> None:
    noise = np.random.default_rng(0).random((12, 12, 12))
    thin = np.zeros((12, 12, 12))
    thin[0, 0, 0] = 1
    with pytest.raises(InputError, match="the images have nothing in common"):
        register(image_from_array(noise, spacing=1), image_from_array(thin, affine=np.diag([1e-3, 1e-3, 1e-3, 1])))
