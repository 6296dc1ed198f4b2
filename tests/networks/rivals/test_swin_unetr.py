"""Swin UNETR on the meta device."""

import pytest
import torch

pytest.importorskip("monai.networks.nets", reason="network 'swin-unetr' needs monai")

from tunetseg.networks.rivals.swin_unetr import SwinUNETR


def test_window_indices_stay_whole_numbers() -> None:
    with torch.device("meta"):
        network = SwinUNETR(1, ("a",), base_filters=12)
    buffers = dict(network.named_buffers())
    assert buffers
    assert all(buffer.is_meta and not buffer.is_floating_point() for buffer in buffers.values())
