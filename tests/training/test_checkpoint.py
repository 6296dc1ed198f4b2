"""Checkpoints hold what Lightning gives them, without pickle."""

from pathlib import Path

import pytest
import torch

from tunetseg.errors import InputError
from tunetseg.training.checkpoint import SafeCheckpoints


def test_nested_data_and_tensors_survive(tmp_path: Path) -> None:
    shared = torch.arange(3)
    checkpoint = {"a": {1: torch.ones(2, 2), "list": [shared, None, 1.5, {"b": True}]}, "again": shared}
    SafeCheckpoints().save_checkpoint(checkpoint, tmp_path / "new" / "last.safetensors")
    found = SafeCheckpoints().load_checkpoint(tmp_path / "new" / "last.safetensors")
    assert torch.equal(found["a"][1], torch.ones(2, 2))
    assert torch.equal(found["a"]["list"][0], found["again"])
    assert found["a"]["list"][1:] == [None, 1.5, {"b": True}]
    SafeCheckpoints().remove_checkpoint(tmp_path / "new" / "last.safetensors")
    assert not any((tmp_path / "new").iterdir())


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    SafeCheckpoints().save_checkpoint({"a": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        SafeCheckpoints().load_checkpoint(path)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """Eight of eight flipped bits in the tensors were resumed from, to other weights; some in the header crashed."""
    path = tmp_path / "last.safetensors"
    SafeCheckpoints().save_checkpoint({"a": torch.ones(100), "b": [1, 2.5]}, path)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"not a readable checkpoint .*; delete it to start its stage again"):
            SafeCheckpoints().load_checkpoint(path)
