"""The box of two masks."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from tunetseg.metrics import joint_box

MASKS = arrays(bool, (3, 4, 2))


@given(MASKS, MASKS)
def test_nothing_lies_outside_the_joint_box(first, second):
    box = joint_box(first, second)
    assert first[box].sum() == first.sum()
    assert second[box].sum() == second.sum()
    inside = (first | second)[box]
    for axis in range(3):
        if inside.size:
            assert inside.take(0, axis).any()
            assert inside.take(-1, axis).any()


@given(MASKS, MASKS)
def test_memory_order_changes_nothing(first, second):
    box = joint_box(first, second)
    for order in itertools.permutations(range(3)):
        # A transposed copy seen in the first order: the same values, other strides.
        turned = np.ascontiguousarray(first.transpose(order)).transpose(np.argsort(order))
        flipped = np.ascontiguousarray(second[::-1])[::-1]
        assert joint_box(turned, flipped) == box


def test_shapes_must_be_equal():
    with pytest.raises(ValueError, match="differ in shape"):
        joint_box(np.zeros(2, bool), np.zeros(3, bool))
