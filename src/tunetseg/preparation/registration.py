"""Rigid registration of two images of one head, of any sequences, with SimpleITK (extra ``prepare``)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.io import Image
from tunetseg.io.extras import need
from tunetseg.io.grid import LPS_TO_RAS

__all__ = ["register"]

_BINS = 32
# From coarse to fine: shrink factors of 1 mm voxels, smoothing in mm, share of the voxels that are compared.
_LEVELS = ((6, 4.0, 1.0), (3, 2.0, 0.5), (2, 1.0, 0.1))


def register(fixed: Image, moving: Image) -> NDArray[np.float64]:
    """Return the rigid motion that lays one image upon another, by mutual information of their values.

    Args:
        fixed: The image that stays.
        moving: The image that moves; it may lie anywhere, but its head must not be turned by more than about 45
            degrees.

    Returns:
        World coordinates of ``moving`` to those of ``fixed`` in mm, shape (4, 4).

    Raises:
        InputError: SimpleITK is not installed, or the images have nothing in common.
    """
    itk: Any = need("SimpleITK", "prepare", "registration")
    one, two = _itk_image(itk, fixed), _itk_image(itk, moving)
    start = itk.CenteredTransformInitializer(
        one, two, itk.Euler3DTransform(), itk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = itk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel([share for _, _, share in _LEVELS], 1)
    method.SetInterpolator(itk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 100, relaxationFactor=0.7)
    method.SetOptimizerScalesFromPhysicalShift()
    size = min(fixed.grid.spacing)
    method.SetShrinkFactorsPerLevel([max(1, round(shrink / size)) for shrink, _, _ in _LEVELS])
    method.SetSmoothingSigmasPerLevel([sigma for _, sigma, _ in _LEVELS])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, True)
    try:
        found = method.Execute(one, two)
    except RuntimeError:
        raise InputError("the images have nothing in common; check that both show the same head") from None
    # ITK's transform goes from fixed to moving, in coordinates to the left and the back.
    points = np.array([found.TransformPoint(point) for point in np.eye(4)[:, 1:].tolist()])
    matrix = np.eye(4)
    matrix[:3, 3] = points[0]
    matrix[:3, :3] = (points[1:] - points[0]).T
    return np.asarray(np.linalg.inv(LPS_TO_RAS @ matrix @ LPS_TO_RAS), np.float64)


def _itk_image(itk: Any, image: Image) -> Any:
    grid = image.grid
    result = itk.GetImageFromArray(np.ascontiguousarray(image.array.astype(np.float32, copy=False).transpose(2, 1, 0)))
    affine = LPS_TO_RAS @ grid.affine
    sizes = np.array(grid.spacing)
    left, _, right = np.linalg.svd(affine[:3, :3] / sizes)
    result.SetSpacing(sizes.tolist())
    result.SetDirection((left @ right).ravel().tolist())
    result.SetOrigin(affine[:3, 3].tolist())
    return result
