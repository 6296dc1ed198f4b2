"""Uncertainty scores: against the definition, one pass per threshold, and by their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tunetseg.errors import InputError
from tunetseg.metrics import QU_BRATS_THRESHOLDS, score_uncertainty

SHAPE = (4, 5, 3)
MASKS = arrays(bool, SHAPE)
MAPS = st.one_of(
    arrays(np.uint8, SHAPE, elements=st.integers(0, 100)),
    arrays(np.float32, SHAPE, elements=st.floats(0, 100, width=32)),
)


def naive(prediction, reference, unsure, brain, thresholds):
    """Curves by filtering the whole volume once per threshold."""
    dice, tp, tn = [], [], []
    for threshold in thresholds:
        kept = unsure <= threshold
        p, r = prediction & kept, reference & kept
        dice.append(2 * (p & r).sum() / (p.sum() + r.sum()) if p.any() or r.any() else 1.0)
        tp.append((p & r & brain).sum())
        tn.append((~prediction & ~reference & kept & brain).sum())
    all_tp, all_tn = (prediction & reference & brain).sum(), (~prediction & ~reference & brain).sum()
    return (
        np.array(dice),
        (all_tp - np.array(tp, float)) / (all_tp + 1.19e-7),
        (all_tn - np.array(tn, float)) / (all_tn + 1.19e-7),
    )


@given(
    MASKS,
    MASKS,
    MAPS,
    MASKS,
    st.sampled_from([QU_BRATS_THRESHOLDS, (0.0, 10.0, 25.0, 50.0, 75.0, 100.0), (10.0, 25.0, 75.0)]),
)
def test_one_pass_agrees_with_one_per_threshold(prediction, reference, unsure, brain, thresholds):
    scores = score_uncertainty(prediction, reference, unsure, brain, thresholds)
    dice, tp, tn = naive(prediction, reference, unsure, brain, thresholds)
    assert scores.dice == pytest.approx(dice, abs=1e-12)
    assert scores.filtered_tp == pytest.approx(tp, abs=1e-6)
    assert scores.filtered_tn == pytest.approx(tn, abs=1e-6)
    assert 0 <= scores.dauc <= 1
    assert 0 <= scores.rftp <= 1
    assert 0 <= scores.score <= 1


def test_certain_everywhere_filters_nothing():
    prediction, reference = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    prediction[:2], reference[1:3] = True, True
    scores = score_uncertainty(prediction, reference, np.zeros(SHAPE, np.uint8), np.ones(SHAPE, bool))
    assert (scores.dauc, scores.rftp, scores.rftn) == (pytest.approx(0.5), 0, 0)
    assert scores.score == pytest.approx((0.5 + 2) / 3)


def test_uncertain_where_wrong_is_better_than_where_right():
    prediction, reference = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    prediction[:2], reference[1:3] = True, True
    brain, wrong = np.ones(SHAPE, bool), prediction != reference
    good, bad = (score_uncertainty(prediction, reference, where * np.uint8(90), brain) for where in (wrong, ~wrong))
    assert good.dauc > 0.9
    assert good.score > bad.score
    assert bad.rftp > 0.8


@pytest.mark.parametrize("thresholds", [(0.0,), (0.0, 101.0), (-1.0, 100.0), (0.0, 60.0, 40.0, 100.0), (0.0, np.nan)])
def test_thresholds_must_rise_within_0_to_100(thresholds):
    nothing = np.zeros(SHAPE, bool)
    with pytest.raises(InputError, match="rise within"):
        score_uncertainty(nothing, nothing, np.zeros(SHAPE), nothing, thresholds)


def test_shapes_and_nan_are_said():
    nothing = np.zeros(SHAPE, bool)
    with pytest.raises(ValueError, match="differ in shape"):
        score_uncertainty(nothing, nothing, np.zeros((1, 2, 3)), nothing)
    with pytest.raises(ValueError, match="NaN"):
        score_uncertainty(nothing, nothing, np.full(SHAPE, np.nan), nothing)


def test_values_above_100_are_never_kept():
    everything = np.ones(SHAPE, bool)
    scores = score_uncertainty(everything, everything, np.full(SHAPE, 250, np.uint8), everything)
    assert (scores.dice == 1).all(), "nothing is left on either side"
