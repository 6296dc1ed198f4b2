"""Label values: laws of nested masks, and that the values of one convention are not taken for those of another."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tunetseg.datasets import (
    LabelScheme,
    candidate_schemes,
    find_description,
    find_scheme,
    nested,
    packaged_descriptions,
    present_labels,
    recognise_labels,
)
from tunetseg.errors import InputError

SCHEMES = {found.scheme.name: found.scheme for found in packaged_descriptions().values()}


@st.composite
def schemes(draw: st.DrawFn) -> LabelScheme:
    """One to five nested regions of one to three values each, in any order, and values of no region."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    values = draw(st.lists(st.integers(1, 255), min_size=sum(sizes) + 1, max_size=sum(sizes) + 1, unique=True))
    ends = np.cumsum([0, *sizes])
    own = [values[start:end] for start, end in itertools.pairwise(ends)]
    regions = {
        f"r{level}": tuple(draw(st.permutations([value for deeper in own[level:] for value in deeper])))
        for level in range(len(own))
    }
    return LabelScheme("any", regions, tuple(group[0] for group in own), dict.fromkeys(values, "x"))


@given(scheme=schemes(), data=st.data())
def test_masks_merge_and_nesting_agree(scheme: LabelScheme, data: st.DataObject) -> None:
    values = st.sampled_from([0, *scheme.values])
    labels = data.draw(arrays.arrays(np.uint8, (3, 4, 2), elements=values))
    masks = scheme.masks(labels)
    for region, mask in zip(scheme.regions, masks, strict=True):
        assert np.array_equal(mask, np.isin(labels, scheme.regions[region]))
    assert np.array_equal(masks.sum(axis=0), scheme.nesting(labels))
    assert np.array_equal(nested(masks), masks)
    merged = scheme.merge(masks)
    assert np.array_equal(scheme.masks(merged), masks)
    assert np.array_equal(scheme.label_map(scheme.nesting(labels)), merged)
    assert np.array_equal(scheme.merge(scheme.masks(merged)), merged)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@given(nesting=arrays.arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 3)))
def test_merging_masks_and_separating_them_again(scheme: LabelScheme, nesting: np.ndarray) -> None:
    regions = len(scheme.regions)
    masks = np.stack([np.minimum(nesting, regions) > level for level in range(regions)])
    assert np.array_equal(scheme.masks(scheme.merge(masks)), masks)


@given(masks=arrays.arrays(np.bool_, (3, 4, 3, 2)))
def test_merging_enforces_nesting(masks: np.ndarray) -> None:
    scheme = SCHEMES["brats2017"]
    whole, core, enhancing = scheme.masks(scheme.merge(masks))
    assert np.array_equal(enhancing, masks[2])
    assert np.array_equal(core, masks[1] | masks[2])
    assert np.array_equal(whole, masks.any(axis=0))


@given(labels=arrays.arrays(st.sampled_from([np.uint8, np.int16, np.int64]), (2, 3), elements=st.integers(0, 127)))
def test_present_labels(labels: np.ndarray) -> None:
    assert present_labels(labels) == sorted(set(labels.ravel().tolist()))
    assert present_labels(labels[:, ::-1]) == present_labels(labels)


@pytest.mark.parametrize("value", [5, 200, -1])
def test_a_value_that_is_no_label_is_refused(value: int) -> None:
    with pytest.raises(
        InputError, match=rf"label map: label values \[{value}\] do not exist in brats2017, .*\[1, 2, 4\]"
    ):
        SCHEMES["brats2017"].nesting(np.array([[[0, 1, value]]]))


@pytest.mark.parametrize(
    ("present", "found"),
    [([0, 1, 2, 4], "brats2017"), ([0, 1, 2, 3], "brats2023"), ([0, 1, 2], "brats2017"), ([0], "brats2017")],
)
def test_recognised_by_values(present: list[int], found: str) -> None:
    assert recognise_labels(present, candidate_schemes(find_description("glioma")), "seg").name == found


@pytest.mark.parametrize("present", [[1, 3, 4], [1, 9], [7]])
def test_values_that_fit_no_convention_are_refused(present: list[int]) -> None:
    with pytest.raises(
        InputError, match=r"seg\.nii\.gz: label values .* fit none .*brats2017 has \[1, 2, 4\], brats2023"
    ):
        recognise_labels([0, *present], candidate_schemes(find_description("glioma")), "seg.nii.gz")


def test_labels_of_another_year_are_refused() -> None:
    """A 4 in files with the names of 2023, whose 4 would be no label, and a 3 in files with those of 2021."""
    for dataset, value in (("brats2023", 4), ("brats2021", 3)):
        with pytest.raises(InputError, match=rf"label values \[{value}\] do not exist in .*; name the dataset"):
            find_scheme(dataset).check([0, 1, value], "seg")


@pytest.mark.parametrize(
    ("regions", "exclusive", "message"),
    [
        ({"whole": (1,), "core": (2,)}, (1, 2), "region 'core' must lie inside region 'whole'"),
        ({"whole": (1, 2), "core": (1, 2)}, (1, 2), "must lie inside"),
        ({"whole": (1, 2), "core": (2,)}, (1,), "2 regions but exclusive labels"),
        ({"whole": (1, 2), "core": (2,)}, (2, 2), "label 2 is not exclusive to region 'whole'"),
        ({"whole": (1, 3), "core": (3,)}, (1, 3), r"labels \[3\] of regions are not among the values \[1, 2\]"),
    ],
)  # fmt: skip
def test_a_scheme_that_is_not_nested_cannot_be_made(
    regions: dict[str, tuple[int, ...]], exclusive: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LabelScheme("odd", regions, exclusive, {1: "a", 2: "b"})
