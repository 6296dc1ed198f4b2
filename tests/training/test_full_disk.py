"""A disk that fills ends a run with what is wrong; with room again, it goes on to the same weights."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tunetseg.models.store import load_network
from tunetseg.training import Recipe


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if not hasattr(os, "getuid") or os.getuid() != 0 or subprocess.run(words, check=False).returncode:
        pytest.skip("only root can make a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(
    small_disk: Path,
    tiny: Callable[..., Recipe],
    run: Callable[..., Path],
    finished: Path,
    kill_after: Callable[..., None],
) -> None:
    def fill() -> None:
        with (small_disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    kill_after(4, fill)
    with pytest.raises(OSError, match="No space left on device"):
        run("disk/run", recipe=tiny(stages=2))
    (small_disk / "filler").unlink()
    kill_after(1000)
    model = run("disk/run", recipe=tiny(stages=2), resume=True)
    ours, theirs = (load_network(path)[0].state_dict() for path in (model, finished / "model.safetensors"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not [path for path in model.parent.rglob(".*") if path.is_file() and not path.name.startswith(".lock-")]
