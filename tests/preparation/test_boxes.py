"""Boxes around masks: those of SciPy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

from tunetseg.preparation.boxes import bounding_box


@given(arrays(bool, array_shapes(min_dims=1, max_dims=4, max_side=6), elements=st.booleans()))
def test_boxes_are_those_of_scipy(mask: NDArray[np.bool_]) -> None:
    found = ndimage.find_objects(mask.view(np.uint8))
    assert bounding_box(mask) == (found[0] if found else None)
