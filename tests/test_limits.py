"""Limits are documented as they are, and a lack of memory is one sentence."""

import re
import resource
from dataclasses import fields
from pathlib import Path

import pytest

from tunetseg import limits
from tunetseg.errors import InputError
from tunetseg.limits import LIMITS, check_memory, check_patch, memory_limit, shortage

PAGE = Path(__file__).parents[1] / "docs/reference/limits.md"


def test_the_documented_limits_are_those_of_the_program() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows == {one.name: _shown(getattr(LIMITS, one.name)) for one in fields(LIMITS)}


def _shown(value: object) -> str:
    return " to ".join(f"{edge:g}" for edge in value) if isinstance(value, tuple) else f"{value:,.0f}"


def test_memory_is_what_the_least_of_all_limits_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNETSEG_MEMORY_GB", "0.5")
    assert memory_limit() == 500_000_000
    for text in ("", "much", "-1", "0", "nan"):
        monkeypatch.setenv("TUNETSEG_MEMORY_GB", text)
        assert memory_limit() > 500_000_000, "a value that is not a number limits nothing"
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (300_000_000, resource.RLIM_INFINITY))
    assert memory_limit() == 300_000_000


def test_what_needs_more_memory_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory_limit", lambda: int(8e9))
    check_memory("it", 8e9)
    with pytest.raises(InputError, match=r"a\.nii: needs about 24 GB of memory; this machine has 8\.0"):
        check_memory("a.nii", 24e9)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory: this machine has"),
        (MemoryError("Unable to allocate 5.96 GiB for an array with shape (2000, 2000)"), r"needs 6\.4 GB more"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3000000000 bytes."),
            r"3\.0 GB",
        ),
        (RuntimeError("could not create a primitive"), "not enough memory"),
        (RuntimeError("could not create a memory object"), "not enough memory"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "the device has not enough memory"),
    ],
)
def test_errors_of_allocators(error: Exception, said: str) -> None:
    assert re.search(said, shortage(error) or "")


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), ValueError("out of memory"), OSError("x")])
def test_other_errors(error: Exception) -> None:
    assert shortage(error) is None


def test_patches() -> None:
    check_patch((512, 512, 512))
    for sides in ((1025, 8, 8), (1024, 1024, 1024), (2**40, 1, 1)):
        with pytest.raises(InputError, match="at most 1024 voxels along an axis"):
            check_patch(sides)
