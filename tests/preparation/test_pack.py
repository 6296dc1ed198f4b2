"""Packs: what comes back is what was packed to half a step, whole or not at all, and damage is named."""

import hashlib
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tunetseg.datasets import Case, DatasetDescription, find_cases, find_description, split_folds
from tunetseg.datasets.phantom import write_cohort
from tunetseg.errors import InputError
from tunetseg.preparation import Preprocessing, pack
from tunetseg.preparation.cache import Cache, CachedCase
from tunetseg.preparation.pack import Pack, PackedCase, is_pack, write_pack
from tunetseg.preparation.pack_format import read_header


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six gliomas of two years."""
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder / "a", cases=4, dataset="brats2019", shape=(24, 24, 16), spacing=10.0)
    write_cohort(folder / "b", cases=2, seed=9, dataset="brats2023", shape=(24, 24, 16), spacing=10.0)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"), Preprocessing(10.0), find_description("brats2019"))


SMALL_PART = 0.018
"""MB, for two or three cases of the cohort."""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, cohort: Path, cache: Cache) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    write_pack(find_cases(cohort), folder, cache, part_size=SMALL_PART)
    return folder


@pytest.fixture
def copied(tmp_path: Path, packed: Path) -> Path:
    """A pack to be damaged."""
    return Path(shutil.copytree(packed, tmp_path / "copy"))


def test_cases_come_back_to_half_a_step(cohort: Path, cache: Cache, packed: Path) -> None:
    pack = Pack(packed, dtype=np.float32)
    assert [case.id for case in pack.cases] == [case.id for case in find_cases(cohort)]
    assert pack.description == cache.description
    assert pack.settings == cache.settings
    for case in find_cases(cohort):
        before, after = cache.get(case), pack.get(case)
        assert isinstance(after, PackedCase)
        assert np.array_equal(before.nesting, after.nesting)
        image = np.asarray(before.image, np.float32)
        assert np.array_equal(image == 0, after.image == 0)
        spans = [channel[channel != 0].max() - channel[channel != 0].min() for channel in image]
        errors = np.abs(image - after.image).reshape(len(image), -1).max(axis=1)
        assert np.all(errors <= np.array(spans) / 508 + 1e-6)
        assert errors.max() < 0.05


def test_folds_are_those_of_the_cohort(cohort: Path, packed: Path) -> None:
    ours, theirs = (
        [[(case.id, case.patient, case.grade, case.site) for case in fold] for fold in split_folds(cases, 3, seed=4)]
        for cases in (find_cases(cohort), Pack(packed).cases)
    )
    assert ours == theirs
    assert {case.grade for case in Pack(packed).cases} == {"HGG", "LGG", None}
    assert {case.dataset.name for case in Pack(packed).cases if case.dataset} == {"brats2019", "brats2023"}


def test_a_folder_of_mapped_arrays_holds_the_same(tmp_path: Path, packed: Path) -> None:
    pack, unpacked = Pack(packed), Pack(packed, folder=tmp_path / "unpacked")
    for held, mapped in zip(pack.get_all(pack.cases), unpacked.get_all(pack.cases, workers=2), strict=True):
        assert isinstance(mapped, CachedCase)
        assert isinstance(mapped.image, np.memmap)
        assert held.image.dtype == mapped.image.dtype == np.float16
        assert np.array_equal(held.image, mapped.image)
        assert np.array_equal(held.nesting, mapped.nesting)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "unpacked").iterdir()}
    assert len(times) == len(pack.cases)
    # A second reader finds them; a damaged one is unpacked again.
    first = sorted(times)[0]
    content = first.read_bytes()
    first.write_bytes(content[:-9] + b"damaged!!")
    again = Pack(packed, folder=tmp_path / "unpacked").get_all(pack.cases)
    assert first.read_bytes()[-9:] == content[-9:]
    assert np.array_equal(again[0].nesting, pack.get(pack.cases[0]).nesting)
    assert {path for path in times if path.stat().st_mtime_ns != times[path]} == {first}


def test_parts_are_small_enough_and_the_same_each_time(
    tmp_path: Path, cohort: Path, cache: Cache, packed: Path
) -> None:
    parts = sorted(packed.iterdir())
    assert len(parts) > 2
    assert all(path.stat().st_size <= SMALL_PART * 1e6 for path in parts)
    assert [path.name for path in parts] == [f"part-{n}-of-{len(parts)}.tunetpack" for n in range(1, len(parts) + 1)]
    again = write_pack(find_cases(cohort)[::-1], tmp_path / "again", cache, part_size=SMALL_PART, workers=3)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in parts]
    assert len(write_pack(find_cases(cohort), tmp_path / "whole", cache)) == 1


def test_a_part_says_what_it_is(packed: Path, cohort: Path) -> None:
    headers = [read_header(path)[0] for path in sorted(packed.iterdir())]
    assert [header.part for header in headers] == list(range(1, len(headers) + 1))
    for header in headers:
        assert DatasetDescription.from_dict(header.description).name == "brats2019"
        assert (header.format, header.spacing, header.denoise) == (1, 10.0, False)
        assert header.channels == ("t1", "t1ce", "flair", "t2")
        assert header.regions == ("whole", "core", "enhancing")
    first = headers[0].cases[0]
    case = find_cases(cohort)[0]
    digest = hashlib.sha256()
    for path in [*(case.images[name] for name in headers[0].channels), case.reference]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    assert (first.id, first.patient, first.source) == (case.id, case.patient, digest.hexdigest())


def test_parts_are_found_in_any_order_and_under_any_name(copied: Path) -> None:
    before = [case.id for case in Pack(copied).cases]
    for number, path in enumerate(sorted(copied.iterdir(), reverse=True)):
        path.rename(copied / f"{number}.tunetpack")
    (copied / "README.txt").write_text("mine")
    assert [case.id for case in Pack(copied).cases] == before
    assert [case.id for case in Pack(copied / "0.tunetpack").cases] == before


def test_a_missing_part_is_named(copied: Path) -> None:
    parts = len(list(copied.iterdir()))
    (copied / f"part-2-of-{parts}.tunetpack").unlink()
    with pytest.raises(InputError, match=f"the pack is incomplete, part-2-of-{parts}.tunetpack is missing"):
        Pack(copied)
    with pytest.raises(InputError, match="is missing"):
        Pack(copied / f"part-1-of-{parts}.tunetpack")


def test_parts_of_two_packs_are_told_apart(copied: Path, cohort: Path, cache: Cache, tmp_path: Path) -> None:
    (other,) = write_pack(find_cases(cohort)[:1], tmp_path / "other", cache)
    other.rename(copied / "other.tunetpack")
    with pytest.raises(InputError, match="are of different packs"):
        Pack(copied)
    assert [case.id for case in Pack(copied / "other.tunetpack").cases] == [find_cases(cohort)[0].id]


def test_a_damaged_case_is_named_and_the_others_are_read(copied: Path) -> None:
    part = copied / sorted(copied.iterdir())[1].name
    header, begin = read_header(part)
    entry = header.cases[0]
    content = bytearray(part.read_bytes())
    content[begin + entry.begin + entry.size // 2] ^= 1
    part.write_bytes(content)
    pack, faults = Pack(copied), []
    read = pack.get_all(pack.cases, on_fault=faults.append)
    assert [str(fault) for fault in faults] == [f"{part}: case {entry.id} is damaged; copy the file again"]
    assert [case.id for case in read] == [case.id for case in pack.cases if case.id != entry.id]
    with pytest.raises(InputError, match=f"{entry.id} is damaged"):
        pack.get_all(pack.cases)


def test_a_coarser_spacing_is_resampled(cohort: Path, packed: Path, tmp_path: Path) -> None:
    coarse = Cache(tmp_path, Preprocessing(20.0), find_description("brats2019"))
    pack = Pack(packed, spacing=20.0)
    assert pack.settings == Preprocessing(20.0)
    assert pack.packed_spacing == 10.0
    for case in find_cases(cohort):
        want, have = coarse.get(case), pack.get(case)
        assert have.nesting.shape == want.nesting.shape
        assert np.mean(have.nesting != want.nesting) < 0.02
        assert np.abs(np.asarray(have.image, np.float32) - want.image).mean() < 0.03


def test_packs_of_one_payload_and_other_intensities_do_not_share_their_cases(packed: Path, tmp_path: Path) -> None:
    """The whole numbers of a pack say nothing of what they stand for."""
    pack = Pack(packed, folder=tmp_path)
    entry = next(iter(read_header(next(iter(packed.iterdir())))[0].cases))
    others = [
        msgspec.structs.replace(entry, scale=tuple(2 * value for value in entry.scale)),
        msgspec.structs.replace(entry, offset=tuple(value + 1 for value in entry.offset)),
    ]
    assert len({pack._key(one) for one in (entry, *others)}) == 3


def test_a_finer_spacing_is_refused(packed: Path) -> None:
    with pytest.raises(InputError, match="was packed at 10 mm, too coarse for 5 mm"):
        Pack(packed, spacing=5.0)


def test_packs_are_recognised(packed: Path, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tunetpack").write_text("not one")
    assert is_pack(packed)
    assert is_pack(sorted(packed.iterdir())[0])
    for other in (cohort, tmp_path, tmp_path / "a.tunetpack", tmp_path / "nothing"):
        assert not is_pack(other)
    with pytest.raises(InputError, match="there is no such pack"):
        Pack(tmp_path / "nothing")
    with pytest.raises(InputError, match="is not a pack"):
        Pack(cohort)
    with pytest.raises(InputError, match="has no case other"):
        Pack(packed).get(Case("other", {}))


def test_nothing_is_overwritten_and_nothing_is_left_behind(
    cohort: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = find_cases(cohort)
    with pytest.raises(InputError, match=r"takes .* MB, more than a part of 0.001 MB"):
        write_pack(cases, tmp_path / "pack", cache, part_size=0.001)
    assert not list((tmp_path / "pack").iterdir())
    monkeypatch.setattr("tunetseg.preparation.pack.write_part", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        write_pack(cases, tmp_path / "pack", cache)
    assert not list((tmp_path / "pack").iterdir())
    monkeypatch.undo()
    write_pack(cases, tmp_path / "pack", cache)
    with pytest.raises(InputError, match="holds a pack already"):
        write_pack(cases, tmp_path / "pack", cache)


def test_broken_cases_are_left_out_or_stop_it(cohort: Path, cache: Cache, tmp_path: Path) -> None:
    good, *_, bad = find_cases(cohort)
    bad = Case(bad.id, bad.images, None, dataset=bad.dataset)
    with pytest.raises(InputError, match="has no reference segmentation"):
        write_pack([good, bad], tmp_path / "a", cache)
    faults: list[InputError] = []
    told: list[tuple[str, float, float]] = []
    write_pack([good, bad], tmp_path / "b", cache, on_fault=faults.append, progress=lambda *state: told.append(state))
    assert len(faults) == 1
    assert [case.id for case in Pack(tmp_path / "b").cases] == [good.id]
    assert told == [("packing cases", 1, 2), ("packing cases", 2, 2)]
    with pytest.raises(InputError, match="no usable case"):
        write_pack([bad], tmp_path / "c", cache, on_fault=faults.append)


def test_the_cache_can_be_emptied_on_the_way(cohort: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", Preprocessing(20.0), find_description("brats2019"))
    write_pack(find_cases(cohort), tmp_path / "pack", cache, keep_cache=False)
    assert not list((tmp_path / "cache").iterdir())
    assert len(Pack(tmp_path / "pack").cases) == 6


@pytest.mark.parametrize("earlier", [False, True])
def test_one_cohort_that_was_cut_in_two_ways(
    cohort: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    """The first of two parts and the last two of three hold other cases than either pack."""
    if earlier:  # then a pack's digest said nothing of how it is cut
        monkeypatch.setattr(pack, "_digest", lambda *_: "0" * 64)
    cuts: dict[int, list[Path]] = {}
    for size in (SMALL_PART, 0.03):
        parts = write_pack(find_cases(cohort), tmp_path / str(size), cache, part_size=size)
        cuts[len(parts)] = parts
    few, many = cuts[min(cuts)], cuts[max(cuts)]
    assert len(few) < len(many)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in (few[0], *many[1:]):
        shutil.copy(path, mixed)
    with pytest.raises(InputError, match="are of different packs; keep one pack"):
        Pack(mixed)
    with pytest.raises(InputError, match=f"the pack is incomplete, {few[1].name}.* missing"):
        Pack(mixed / few[0].name)


def test_another_cut_into_as_many_parts_is_another_pack(cohort: Path, cache: Cache, tmp_path: Path) -> None:
    (whole,) = write_pack(find_cases(cohort), tmp_path, cache)
    header = read_header(whole)[0]
    entries = header.cases
    assert pack._digest(header, [entries[:2], entries[2:]]) != pack._digest(header, [entries[:3], entries[3:]])
