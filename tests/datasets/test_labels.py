"""The table of label values: what a year's values mean, and that nothing is mistaken for another year's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tunetseg.datasets import SCHEMES, LabelScheme, recognise_labels, scheme_named
from tunetseg.errors import InputError


@pytest.mark.parametrize(
    ("year", "whole", "core", "enhancing"),
    [
        ("2015", {1, 2, 3, 4}, {1, 3, 4}, {4}),
        ("2019", {1, 2, 4}, {1, 4}, {4}),
        ("2022", {1, 2, 4}, {1, 4}, {4}),
        ("2023", {1, 2, 3}, {1, 3}, {3}),
        ("2024", {1, 2, 3}, {1, 3}, {3}),
        ("brats2024-cavity", {1, 2, 3, 4}, {1, 3, 4}, {3}),
        ("msd", {1, 2, 3}, {2, 3}, {3}),
    ],
)
def test_a_years_regions(year: str, whole: set[int], core: set[int], enhancing: set[int]) -> None:
    regions = scheme_named(year).regions
    assert {name: set(values) for name, values in regions.items()} == {
        "whole": whole,
        "core": core,
        "enhancing": enhancing,
    }


def test_names_of_years() -> None:
    assert scheme_named("2019") is scheme_named("BraTS2019") is scheme_named("brats2017")
    with pytest.raises(InputError, match="'2011'"):
        scheme_named("2011")


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@given(depth=arrays.arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 3)))
def test_merging_masks_and_taking_them_apart_again(scheme: LabelScheme, depth: np.ndarray) -> None:
    regions = len(scheme.regions)
    masks = np.stack([np.minimum(depth, regions) > level for level in range(regions)])
    assert np.array_equal(scheme.masks(scheme.merge(masks)), masks)


@given(masks=arrays.arrays(np.bool_, (3, 4, 3, 2)))
def test_merging_enforces_nesting(masks: np.ndarray) -> None:
    scheme = SCHEMES["brats2017"]
    whole, core, enhancing = scheme.masks(scheme.merge(masks))
    assert np.array_equal(enhancing, masks[2])
    assert np.array_equal(core, masks[1] | masks[2])
    assert np.array_equal(whole, masks.any(axis=0))


@pytest.mark.parametrize(
    ("present", "found"),
    [([0, 1, 2, 4], "brats2017"), ([0, 1, 2, 3], "brats2023"), ([0, 1, 2], "brats2017"), ([0], "brats2017")],
)
def test_recognised_by_values(present: list[int], found: str) -> None:
    assert recognise_labels(present, "seg").name == found


@pytest.mark.parametrize(("present", "said"), [([1, 3, 4], "opposite meanings"), ([1, 9], r"\[9\]")])
def test_values_that_tell_nothing_are_said(present: list[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        recognise_labels(present, "seg.nii.gz")


@pytest.mark.parametrize(
    ("regions", "shells"),
    [
        ({"whole": (1,), "core": (2,)}, (1, 2)),
        ({"whole": (1, 2), "core": (2,)}, (1,)),
        ({"whole": (1, 2), "core": (2,)}, (2, 2)),
    ],
)
def test_a_scheme_that_is_not_nested_cannot_be_made(regions: dict[str, tuple[int, ...]], shells: tuple) -> None:
    with pytest.raises(ValueError, match="label scheme odd"):
        LabelScheme("odd", regions, shells, {1: "a", 2: "b"})
