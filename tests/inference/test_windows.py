"""Windows cover everything, weights cancel out, and one pass is the network itself."""

import itertools

import numpy as np
import pytest
import torch

from tunetseg.inference.windows import gaussian_weights, predict_windows, window_starts
from tunetseg.models.engines.torch import RunningNetwork
from tunetseg.networks import SegmentationNetwork, create_network

PATCH = (8, 8, 8)


@pytest.fixture
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return create_network("tunet-seb", base_filters=2, levels=2).eval()


def full(network: SegmentationNetwork) -> RunningNetwork:
    return RunningNetwork(network, low=False)


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)


@pytest.mark.parametrize("size", range(5, 40))
@pytest.mark.parametrize(("overlap", "step"), [(0.5, 5), (0.0, 10), (0.75, 2.5)])
def test_windows_cover_an_axis_and_overlap(size: int, overlap: float, step: float) -> None:
    starts = window_starts(size, 10, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, size - 10)
    assert all(0 < later - earlier <= np.ceil(step) for earlier, later in itertools.pairwise(starts))
    assert len(starts) == max(1, np.ceil((size - 10) / step - 1e-9) + 1)


def test_weights_peak_in_the_middle() -> None:
    weights = gaussian_weights((8, 10, 6))
    assert weights.shape == (8, 10, 6)
    assert weights[4, 5, 3] == weights.max()
    assert weights[0, 0, 0] == weights.min() == pytest.approx(1e-3)


@pytest.mark.parametrize("shape", [(8, 8, 8), (5, 9, 21), (16, 11, 3)])
def test_a_constant_network_gives_constant_probabilities(
    shape: tuple[int, int, int], network: SegmentationNetwork
) -> None:
    for head in network.output_layers:
        torch.nn.init.zeros_(head.weight)
    found = predict_windows(full(network), image(*shape), patch_size=PATCH, whole_volume=False, mirror=True)
    assert found.shape == (3, *shape)
    assert found == pytest.approx(np.full(found.shape, 0.5), abs=1e-6)


def test_one_pass_is_the_network_itself(network: SegmentationNetwork) -> None:
    array = image(12, 10, 8)
    found = predict_windows(full(network), array, patch_size=PATCH, whole_volume=True)
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(array)[None]))[0].numpy()
    assert found == pytest.approx(expected, abs=1e-5)


def test_one_pass_is_never_smaller_than_a_training_patch(network: SegmentationNetwork) -> None:
    """Instance normalisation depends on the size of the window; sides become multiples of the stride."""
    array = image(5, 11, 8)
    found = predict_windows(full(network), array, patch_size=PATCH, whole_volume=True)
    padded = np.pad(array, ((0, 0), (1, 2), (0, 1), (0, 0)))
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(padded)[None]))[0, :, 1:6, :11].numpy()
    assert found == pytest.approx(expected, abs=1e-5)


def test_mirror_makes_left_and_right_alike(network: SegmentationNetwork) -> None:
    array = image(8, 8, 8)
    both = [
        predict_windows(full(network), given, patch_size=PATCH, whole_volume=True, mirror=True)
        for given in (array, array[:, ::-1])
    ]
    assert both[0] == pytest.approx(both[1][:, ::-1], abs=1e-5)
    once = predict_windows(full(network), array, patch_size=PATCH, whole_volume=True)
    assert not np.allclose(both[0], once, atol=1e-4)


def test_bfloat16_is_near_float32_and_comes_back_as_float32(network: SegmentationNetwork) -> None:
    array = image(8, 8, 8)
    low, high = (
        predict_windows(RunningNetwork(network, low), array, patch_size=PATCH, whole_volume=True)
        for low in (True, False)
    )
    assert low.dtype == high.dtype == np.float32
    assert low == pytest.approx(high, abs=0.05)
    assert not np.array_equal(low, high)


def test_progress_counts_windows(network: SegmentationNetwork) -> None:
    calls: list[tuple[str, float, float]] = []
    predict_windows(
        full(network),
        image(12, 8, 8),
        patch_size=PATCH,
        whole_volume=False,
        progress=lambda *call: calls.append(call),
    )
    assert calls == [("windows", 1, 2), ("windows", 2, 2)]


def test_windows_without_brain_are_skipped(network: SegmentationNetwork) -> None:
    """Where windows with brain reach, the result is theirs alone; elsewhere it is 0."""
    seen: list[int] = []

    class Counting(RunningNetwork):
        def __call__(self, image: np.ndarray, /) -> np.ndarray:
            seen.append(int(image.any()))
            return super().__call__(image)

    array = image(8, 8, 32)
    array[..., 8:] = 0
    found = predict_windows(Counting(network, low=False), array, patch_size=PATCH, whole_volume=False)
    assert seen == [1, 1]
    assert found[..., :12].min() > 0
    assert not found[..., 12:].any()
    seen.clear()
    predict_windows(Counting(network, low=False), np.zeros_like(array), patch_size=PATCH, whole_volume=False)
    assert len(seen) == 1
