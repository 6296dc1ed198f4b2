"""Checkpoints hold what Lightning gives them, without pickle."""

from pathlib import Path

import pytest
import torch

from tunetseg.errors import InputError
from tunetseg.training.checkpoint import LAST, PREVIOUS, SafeCheckpoints, find_checkpoint, remove_damaged


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
        with pytest.raises(InputError, match="not a readable checkpoint"):
            SafeCheckpoints().load_checkpoint(path)


def test_the_checkpoint_before_is_kept_and_used_where_the_last_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / LAST
    for value in range(3):
        SafeCheckpoints().save_checkpoint({"a": torch.full((100,), float(value))}, path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [LAST, PREVIOUS]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # one bit, which no length and no header shows
    path.write_bytes(content)
    (tmp_path / f".0123.{LAST}").write_bytes(b"half")
    remove_damaged(tmp_path)
    assert "its checksum is not that of its content" in caplog.text
    assert "continuing from the one before" in caplog.text
    found = find_checkpoint(tmp_path)
    assert found == tmp_path / PREVIOUS
    assert SafeCheckpoints().load_checkpoint(found)["a"][0] == 1.0
    found.write_bytes(b"")
    remove_damaged(tmp_path)
    assert "continuing from the start of the stage" in caplog.text
    assert not any(tmp_path.iterdir())
