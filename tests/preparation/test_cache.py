"""The cache: read once, keyed by content, rebuilt when damaged, the same depth from every year's labels."""

import errno
from pathlib import Path

import numpy as np
import pytest

from tunetseg.datasets import Case, find_cases
from tunetseg.datasets.phantom import make_patient, write_patient
from tunetseg.errors import InputError
from tunetseg.preparation import cache
from tunetseg.preparation.cache import Cache
from tunetseg.preparation.preprocess import Preprocessing

TINY = {"shape": (24, 24, 16), "spacing": 10.0}


def case_in(folder: Path, *, year: int = 2020, seed: int = 0) -> Case:
    write_patient(make_patient(seed, **TINY), folder, year=year)
    (case,) = find_cases(folder)
    return case


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cases whose images were decompressed."""
    seen: list[str] = []
    read = cache.read_volume

    def noted(case: Case):
        seen.append(case.id)
        return read(case)

    monkeypatch.setattr(cache, "read_volume", noted)
    return seen


def test_files_are_decompressed_once(tmp_path: Path, reads: list[str]) -> None:
    case, store = case_in(tmp_path / "cohort"), Cache(tmp_path / "cache", Preprocessing(20.0))
    first = store.get(case)
    again = Cache(tmp_path / "cache", Preprocessing(20.0)).get(case)
    assert len(reads) == 1
    assert isinstance(again.image, np.memmap)
    assert np.array_equal(first.image, again.image)
    assert first.image.shape == (4, *first.depth.shape)


def test_settings_and_content_make_the_key(tmp_path: Path, reads: list[str]) -> None:
    case, folder = case_in(tmp_path / "cohort"), tmp_path / "cache"
    coarse = Cache(folder, Preprocessing(20.0)).get(case)
    fine = Cache(folder, Preprocessing(10.0)).get(case)
    assert fine.depth.size > coarse.depth.size
    Cache(folder, Preprocessing(20.0, denoise=True)).get(case)
    assert len(reads) == 3
    # The same names, another patient's voxels.
    changed = Cache(folder, Preprocessing(20.0)).get(case_in(tmp_path / "cohort", seed=1))
    assert len(reads) == 4
    assert changed.image.shape != coarse.image.shape or not np.array_equal(changed.image, coarse.image)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "json"])
def test_a_damaged_entry_is_rebuilt(tmp_path: Path, reads: list[str], damage: str) -> None:
    case, store = case_in(tmp_path / "cohort"), Cache(tmp_path / "cache", Preprocessing(20.0))
    before = np.array(store.get(case).image)
    (entry,) = (tmp_path / "cache").iterdir()
    victim = entry / ("entry.json" if damage == "json" else "image.npy")
    content = bytearray(victim.read_bytes())
    content[-5] ^= 0xFF
    match damage:
        case "flip":
            victim.write_bytes(content)
        case "cut" | "json":
            victim.write_bytes(content[: len(content) // 2])
        case "remove":
            victim.unlink()
    (found,) = find_cases(tmp_path / "cohort")
    assert np.array_equal(store.get(found).image, before)
    assert len(reads) == 2


def test_every_years_labels_give_the_same_depth(tmp_path: Path) -> None:
    depths = [
        np.array(Cache(tmp_path / "cache", Preprocessing(10.0)).get(case_in(tmp_path / str(year), year=year)).depth)
        for year in (2017, 2023)
    ]
    assert depths[0].max() == 3
    assert np.array_equal(*depths)


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    case = case_in(tmp_path / "cohort")
    assert case.segmentation is not None
    case.segmentation.unlink()
    (bare,) = find_cases(tmp_path / "cohort")
    with pytest.raises(InputError, match="no segmentation"):
        Cache(tmp_path / "cache", Preprocessing(20.0)).get(bare)


def test_another_process_that_is_first_keeps_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, folder = case_in(tmp_path / "cohort"), tmp_path / "cache"
    read = cache.read_volume
    entries = []

    def slow(case: Case):
        monkeypatch.setattr(cache, "read_volume", read)
        Cache(folder, Preprocessing(20.0)).get(case)
        entries.extend(path.stat().st_ino for path in folder.iterdir())
        return read(case)

    monkeypatch.setattr(cache, "read_volume", slow)
    Cache(folder, Preprocessing(20.0)).get(case)
    assert [path.stat().st_ino for path in folder.iterdir()] == entries


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(path: Path, array: np.ndarray, allow_pickle: bool) -> None:
        raise OSError("1000000 requested and 99936 written")  # as numpy says it

    monkeypatch.setattr(np, "save", short)
    with pytest.raises(OSError, match="is the disk full") as told:
        Cache(tmp_path / "cache", Preprocessing(20.0)).get(case_in(tmp_path / "cohort"))
    assert told.value.errno == errno.ENOSPC
    assert not list((tmp_path / "cache").iterdir())
