"""The search of post-processing, against the evaluator and against cases whose best rules are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tunetseg.datasets import Postprocessing, find_description
from tunetseg.inference.postprocess import postprocess, remove_islands
from tunetseg.metrics import LesionRules, count_voxels, match_lesions
from tunetseg.tuning.search import Candidates, Prediction, choose_rules, count_lesions, score_candidates

REGIONS = ("whole", "core", "enhancing")
PAPER = find_description("brats2020").postprocessing
FEW = Candidates(thresholds=(0.3, 0.5), components_mm3=(0, 20, 60), volumes_mm3=(0, 40))


def blobs(seed: int, cut: float, side: int = 24) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(side, side, side))
    smooth = ndimage.gaussian_filter(noise, 1.6)
    return smooth > cut * smooth.std()


@given(st.integers(0, 10**6), st.floats(0.8, 2.5), st.sampled_from([0, 1, 3]), st.sampled_from([0, 10, 80]))
def test_the_same_scores_as_the_evaluator(seed: int, cut: float, dilation: int, least: float) -> None:
    prediction, reference = blobs(seed, cut), blobs(seed, cut - 0.3) & blobs(seed + 1, -1)
    rules = LesionRules(dilation=dilation, min_volume_mm3=50, hausdorff="symmetric-max")
    kept, _ = remove_islands(prediction, least / 2)
    expected = match_lesions(kept, reference, (1, 2, 1), rules)
    match = count_lesions(prediction, reference, 2.0, dilation=dilation, least_mm3=50)
    lesion, plain = match.scores(component_mm3=least)
    assert lesion == pytest.approx(expected.dice)
    either = kept.any() or reference.any()
    assert plain == pytest.approx(count_voxels(kept, reference).dice if either else 1)


def test_empty_masks() -> None:
    empty, full = np.zeros((6, 6, 6), bool), np.ones((6, 6, 6), bool)
    assert count_lesions(empty, empty, 1.0).scores() == (1, 1)
    assert count_lesions(full, empty, 1.0).scores() == (0, 0)
    assert count_lesions(empty, full, 1.0).scores() == (0, 0)
    assert count_lesions(full, full, 1.0).scores() == (1, 1)
    assert count_lesions(full, empty, 1.0).scores(volume_mm3=217) == (1, 1), "removed as a whole"
    assert count_lesions(full, empty, 1.0).scores(volume_mm3=216) == (0, 0)


def made(seed: int) -> Prediction:
    """Nested boxes, found at 0.4 only, islands of 30 voxels that are not there, and a few enhancing voxels."""
    generator = np.random.default_rng(seed)
    reference = np.zeros((3, 30, 30, 30), bool)
    reference[0, 2:14, 2:14, 2:14] = True
    reference[1, 4:11, 4:11, 4:11] = True
    probabilities = np.where(reference, 0.4, 0.05).astype(np.float32)
    for _ in range(2):
        x, y = generator.integers(18, 27, 2)
        probabilities[0, x : x + 3, y : y + 2, 20:25] = 0.9
    probabilities[2, 5:7, 5:8, 5:9] = 0.9
    return Prediction(str(seed), probabilities, reference, 1.0)


def test_the_best_rules_are_found() -> None:
    cases = [made(seed) for seed in range(3)]
    tables = [score_candidates(case, REGIONS, PAPER, FEW) for case in cases]
    assert tables[0].shape == (3, 2, 2, 3, 2, 2)
    chosen = choose_rules(tables, REGIONS, PAPER, FEW)
    assert chosen.threshold_of("whole") == 0.3
    assert chosen.min_component_mm3["whole"] == 60
    assert chosen.threshold_of("enhancing") == 0.5, "nothing to gain there, so as it was"
    assert chosen.min_volume_region == "enhancing"
    assert chosen.min_volume_mm3 == 40
    for case in cases:
        masks, _ = postprocess(case.probabilities, REGIONS, 1.0, chosen)
        assert np.array_equal(masks[:2], case.reference[:2])
        assert not masks[2].any()


def test_rules_that_change_nothing_stay() -> None:
    perfect = np.zeros((3, 20, 20, 20), bool)
    perfect[:, 3:15, 3:15, 3:15] = True
    table = score_candidates(Prediction("a", perfect.astype(np.float32), perfect, 1.0), REGIONS, PAPER, Candidates())
    chosen = choose_rules([table], REGIONS, PAPER, Candidates())
    assert chosen == PAPER


@pytest.mark.parametrize("there", [True, False])
def test_lower_thresholds_are_kept_where_they_help(there: bool) -> None:
    case = made(0)
    case.probabilities[0] = np.where(case.reference[0], 0.9, 0.0)
    case.probabilities[1] = np.where(case.reference[1], 0.2, 0.0)
    case.probabilities[2] = 0
    if not there:
        case.reference[1] = False
    table = score_candidates(case, REGIONS, PAPER, Candidates(thresholds=(0.3, 0.5)))
    chosen = choose_rules([table], REGIONS, PAPER, Candidates(thresholds=(0.3, 0.5)))
    assert chosen.threshold_fallbacks == (PAPER.threshold_fallbacks if there else ())


def test_what_is_made_best() -> None:
    """Plain Dice hardly sees an island; lesion-wise Dice counts it."""
    table = np.zeros((1, 2, 1, 2, 1, 2))
    table[0, :, 0, 0, 0] = 0.5, 0.9
    table[0, :, 0, 1, 0] = 0.8, 0.85
    candidates = Candidates(thresholds=(0.5,), components_mm3=(0, 100), volumes_mm3=(0,))
    sizes = {
        objective: choose_rules([table], ("whole",), Postprocessing(), candidates, objective).min_component_mm3
        for objective in ("both", "lesion", "dice")
    }
    assert sizes == {"both": {"whole": 100}, "lesion": {"whole": 100}, "dice": {}}
