"""Lower thresholds, the rule of 500 mm3, and nesting, against values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from tunetseg.datasets import Postprocessing, find_description
from tunetseg.errors import InputError
from tunetseg.inference.postprocess import find_postprocessing, postprocess, remove_islands

REGIONS = ("whole", "core", "enhancing")
PAPER = find_description("brats2020").postprocessing


def probabilities(*values: float, side: int = 10) -> np.ndarray:
    """Return one probability per region, the same everywhere."""
    return np.stack([np.full((side, side, side), value, np.float32) for value in values])


@pytest.mark.parametrize(
    ("core", "threshold"),
    [(0.6, None), (0.5, None), (0.4, 0.3), (0.2, 0.1), (0.07, 0.05), (0.02, 0.01), (0.005, "none")],
)
def test_lower_thresholds(core: float, threshold: float | str | None) -> None:
    given = probabilities(0.9, 0.0, 0.0)
    given[1, 0, 0, :3] = core
    masks, notes = postprocess(given, REGIONS, 1.0, PAPER)
    assert masks[1].sum() == (0 if threshold == "none" else 3)
    assert masks[0].all()
    expected = [] if threshold in {None, "none"} else [f"core found only at threshold {threshold:g}"]
    assert notes == expected


def test_lower_thresholds_count_inside_the_whole_tumour_only() -> None:
    given = probabilities(0.0, 0.4, 0.0)
    given[0, :5] = 0.9
    masks, _ = postprocess(given, REGIONS, 1.0, PAPER)
    assert masks[1][:5].all()
    assert not masks[1][5:].any()


@pytest.mark.parametrize(("voxels", "kept"), [(499, 0), (500, 500), (1000, 1000)])
def test_small_enhancing_region_becomes_necrosis(voxels: int, kept: int) -> None:
    given = probabilities(0.9, 0.9, 0.1)
    given[2].flat[:voxels] = 0.9
    masks, notes = postprocess(given, REGIONS, 1.0, PAPER)
    assert masks[2].sum() == kept
    assert masks[1].all()
    assert len(notes) == (kept == 0)


def test_small_means_volume() -> None:
    given = probabilities(0.9, 0.9, 0.1)
    given[2].flat[:100] = 0.9
    assert postprocess(given, REGIONS, 8.0, PAPER)[0][2].sum() == 100, "100 voxels of 8 mm3 are 800 mm3"
    given[2].flat[:500] = 0.9
    assert postprocess(given, REGIONS, 0.99999998, PAPER)[0][2].sum() == 500, "an oblique affine in float32"


def test_no_enhancing_region_needs_no_note() -> None:
    assert postprocess(probabilities(0.9, 0.9, 0.1), REGIONS, 1.0, PAPER)[1] == []


def test_nesting() -> None:
    given = np.random.default_rng(0).random((3, 12, 12, 12), np.float32)
    masks, _ = postprocess(given, REGIONS, 1.0, PAPER)
    assert not (masks[1] & ~masks[0]).any()
    assert not (masks[2] & ~masks[1]).any()
    assert np.array_equal(masks[2], given[2] >= 0.5)
    assert np.array_equal(masks[0], (given >= 0.5).any(axis=0))


def test_an_enhancing_region_does_not_stop_the_search_for_a_core() -> None:
    given = probabilities(0.9, 0.4, 0.1)
    given[2].flat[:600] = 0.9
    given[1].flat[:100] = 0.0
    masks, notes = postprocess(given, REGIONS, 1.0, PAPER)
    assert masks[1].all(), "900 voxels at a lower threshold, 100 because they enhance"
    assert notes == ["core found only at threshold 0.3"]


def test_one_enhancing_voxel_does_not_remove_the_core() -> None:
    given = probabilities(0.9, 0.45, 0.1)
    given[2, 0, 0, 0] = 0.6
    masks, notes = postprocess(given, REGIONS, 1.0, PAPER)
    assert masks[1].all()
    assert not masks[2].any()
    assert len(notes) == 2


def test_no_rules() -> None:
    given = probabilities(0.9, 0.4, 0.1)
    given[2].flat[:3] = 0.9
    masks, notes = postprocess(given, REGIONS, 1.0, Postprocessing())
    assert [int(mask.sum()) for mask in masks] == [1000, 3, 3]
    assert notes == []


def test_rules_of_other_regions() -> None:
    """The outermost region may have lower thresholds, and a region in the middle a smallest volume."""
    settings = Postprocessing(
        threshold=0.6,
        fallback_region="kidney",
        threshold_fallbacks=(0.4, 0.2),
        min_volume_region="tumour",
        min_volume_mm3=80,
    )
    given = probabilities(0.3, 0.0, 0.0)
    given[1].flat[:9] = 0.7
    given[2].flat[:5] = 0.7
    masks, notes = postprocess(given, ("kidney", "tumour", "necrosis"), 8.0, settings)
    assert [int(mask.sum()) for mask in masks] == [1000, 0, 0]
    assert notes == [
        "kidney found only at threshold 0.2",
        "tumour of 72 mm3 was removed, as it is smaller than 80 mm3",
    ]


def test_a_threshold_per_region() -> None:
    given = probabilities(0.45, 0.45, 0.3)
    rules = Postprocessing(thresholds={"whole": 0.4, "enhancing": 0.25})
    masks, _ = postprocess(given, REGIONS, 1.0, rules)
    assert masks.all(), "what is enhancing is core too"
    masks, _ = postprocess(given, REGIONS, 1.0, Postprocessing(thresholds={"whole": 0.4}))
    assert [bool(mask.any()) for mask in masks] == [True, False, False]


def test_small_components_go_with_all_that_is_in_them() -> None:
    given = probabilities(0.1, 0.1, 0.1, side=20)
    given[:, 1:9, 1:9, 1:9] = 0.9
    given[:, 15:18, 15:18, 15:18] = 0.9  # 27 voxels of all three regions
    given[0, 18, 18, 18] = 0.9  # touches it by a corner
    masks, notes = postprocess(given, REGIONS, 1.0, Postprocessing(min_component_mm3={"whole": 29}))
    assert [int(mask.sum()) for mask in masks] == [512, 512, 512]
    assert notes == ["1 component of whole smaller than 29 mm3 removed"]
    masks, notes = postprocess(given, REGIONS, 1.0, Postprocessing(min_component_mm3={"whole": 28, "core": 28}))
    assert [int(mask.sum()) for mask in masks] == [540, 512, 512], "28 voxels are not fewer than 28"
    assert postprocess(given, REGIONS, 2.0, Postprocessing(min_component_mm3={"whole": 29}))[1] == []


def test_the_largest_component_is_kept_whatever_its_size() -> None:
    given = probabilities(0.1, 0.1, 0.1, side=12)
    given[:, 1:4, 1:4, 1:4] = 0.9
    given[:, 7:9, 7:9, 7:9] = 0.9
    masks, notes = postprocess(given, REGIONS, 1.0, Postprocessing(min_component_mm3={"whole": 1e6, "core": 1e6}))
    assert [int(mask.sum()) for mask in masks] == [27, 27, 27], "a small tumour is found, its island is not"
    assert notes == ["1 component of whole smaller than 1e+06 mm3 removed"]


def test_an_empty_region_has_no_components() -> None:
    rules = Postprocessing(min_component_mm3=dict.fromkeys(REGIONS, 9.0))
    masks, notes = postprocess(probabilities(0.9, 0.1, 0.1), REGIONS, 1.0, rules)
    assert [bool(mask.any()) for mask in masks] == [True, False, False]
    assert notes == []
    assert remove_islands(np.zeros((3, 3, 3), bool), 5)[1] == 0


def test_rules_by_name(tmp_path: Path) -> None:
    brats, kits = find_description("brats2023"), find_description("kits19")
    assert find_postprocessing("model", kits) == kits.postprocessing
    assert find_postprocessing("paper", brats) == PAPER
    assert find_postprocessing("none", brats) == Postprocessing()
    path = tmp_path / "rules.toml"
    path.write_text("[postprocessing]\nthreshold = 0.4\nmin_component_mm3 = { core = 20 }\n")
    assert find_postprocessing(path, brats) == Postprocessing(threshold=0.4, min_component_mm3={"core": 20})
    with pytest.raises(InputError, match=r"is for a region 'core', but the model has kidney, tumour"):
        find_postprocessing(path, kits)
    with pytest.raises(InputError, match="unknown post-processing 'mine'; choose from model, paper, none"):
        find_postprocessing("mine", brats)
    path.write_text("[postprocessing]\nthreshold = 2\n")
    with pytest.raises(InputError, match=r"rules\.toml: postprocessing: threshold: expected"):
        find_postprocessing(path, brats)
    path.write_text("name = 1\n")
    with pytest.raises(InputError, match=r"has no table \[postprocessing\]"):
        find_postprocessing(path, brats)
    with pytest.raises(InputError, match="there is no such file"):
        find_postprocessing(tmp_path / "none.toml", brats)
