"""Checksums inside safetensors files."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tunetseg.errors import InputError
from tunetseg.io.seal import SEAL, check_seal, seal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    save_file({"w": np.arange(20.0)}, path, metadata={"spec": json.dumps({SEAL: "0" * 64, "name": "é\u2028"})})
    return path


def test_a_sealed_file_is_known_to_be_whole(path: Path) -> None:
    seal(path)
    check_seal(path)
    content = path.read_bytes()
    mark = content.index(SEAL.encode())
    # A key of another name is for those who know the keys.
    for place in (*range(8, mark), *range(mark + len(SEAL) + 6, len(content))):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(InputError, match="damaged"):
            check_seal(path)
    for cut in (1, 50, 100):
        path.write_bytes(content[:-cut])
        with pytest.raises(InputError, match="damaged"):
            check_seal(path)


def test_a_file_without_a_place_for_it(path: Path) -> None:
    save_file({"w": np.arange(20.0)}, path)
    check_seal(path)
    with pytest.raises(ValueError, match="no place for a checksum"):
        seal(path)


def test_a_file_is_sealed_once(path: Path) -> None:
    seal(path)
    with pytest.raises(ValueError, match="no place for a checksum"):
        seal(path)
