"""Packs: a prepared cohort in a few compressed, checksummed files.

For moving a cohort, and for disks that are slow with many small files. A pack is a folder of part files, whose format
`tunetseg.preparation.pack_format` describes.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from tunetseg import __version__
from tunetseg.datasets import Case, DatasetDescription
from tunetseg.errors import InputError
from tunetseg.io.files import make_folder
from tunetseg.io.scratch import scratch_folder
from tunetseg.limits import processors
from tunetseg.preparation.cache import FORMAT as CACHE_FORMAT
from tunetseg.preparation.cache import Cache, CachedCase, is_whole, source_digests, write_arrays
from tunetseg.preparation.pack_format import (
    ENDING,
    FORMAT,
    Entry,
    Header,
    begins_like_a_part,
    encode,
    part_name,
    part_overhead,
    quantise,
    read_header,
    read_payload,
    restore,
    write_part,
)
from tunetseg.preparation.prepare import Preprocessing
from tunetseg.preparation.resample import covered, resample, resampled_shape
from tunetseg.progress import Progress, silent

__all__ = ["Pack", "PackedCase", "is_pack", "write_pack"]

_Result = TypeVar("_Result")


def write_pack(
    cases: Sequence[Case],
    out: str | Path,
    cache: Cache,
    *,
    part_size: float = 60.0,
    keep_cache: bool = True,
    workers: int | None = None,
    on_fault: Callable[[InputError], None] | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Pack cases.

    The parts appear together when all are complete. The same cases give the same parts, byte for byte.

    Args:
        cases: Cases with reference segmentations, of any order.
        out: Folder of the pack; made if need be. Other files in it stay.
        cache: Says how cases are prepared, and has those that are prepared already.
        part_size: Largest size of a part file in MB (1,000,000 bytes).
        keep_cache: False removes each case from the cache as soon as it is packed.
        workers: Cases prepared at the same time; one per processor by default, eight at most.
        on_fault: Receives the error of each broken case, which is then left out; None: the first is raised.
        progress: Told after each case.

    Returns:
        The part files.

    Raises:
        InputError: The folder holds a pack, no case is usable, a case is larger than ``part_size``, or a case is
            broken and ``on_fault`` is None.
    """
    folder = make_folder(out)
    if any(folder.glob(f"*{ENDING}")):
        raise InputError(f"{folder}: holds a pack already; remove it or choose another folder")
    with scratch_folder(folder) as aside:

        def pack(case: Case) -> Entry:
            return _pack_case(case, cache, aside / f"{case.id}.payload", keep_cache)

        ordered = sorted(cases, key=lambda case: case.id)
        entries = _in_threads("packing cases", pack, ordered, workers, on_fault, progress)
        if not entries:
            raise InputError(f"{folder}: no usable case is left to pack; repair the broken ones")
        header = _header(entries, cache, {case.id: case for case in cases})
        divided = _divide(entries, header, part_size)
        header = msgspec.structs.replace(header, pack=_digest(header, divided))
        names = [part_name(number, len(divided)) for number in range(1, len(divided) + 1)]
        for number, (name, own) in enumerate(zip(names, divided, strict=True), start=1):
            whole = msgspec.structs.replace(header, part=number, parts=len(divided), cases=own)
            write_part(aside / name, whole, [aside / f"{entry.id}.payload" for entry in own])
        for name in names:
            os.replace(aside / name, folder / name)
    return [folder / name for name in names]


def _in_threads(
    task: str,
    work: Callable[[Case], _Result],
    cases: Sequence[Case],
    workers: int | None,
    on_fault: Callable[[InputError], None] | None,
    progress: Progress,
) -> list[_Result]:
    """Return the result of each case, in order; decompression, compression and numpy release the interpreter's lock."""
    results = []
    with _pool(workers) as pool:
        jobs = [pool.submit(work, case) for case in cases]
        for number, job in enumerate(jobs, start=1):
            try:
                results.append(job.result())
            except InputError as fault:
                if on_fault is None:
                    raise
                on_fault(fault)
            progress(task, number, len(cases))
    return results


@contextmanager
def _pool(workers: int | None) -> Iterator[ThreadPoolExecutor]:
    """Threads that leave undone what has not begun when one fails."""
    pool = ThreadPoolExecutor(workers or min(8, processors()))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _pack_case(case: Case, cache: Cache, target: Path, keep: bool) -> Entry:
    prepared = cache.get(case)
    image, nesting = np.array(prepared.image), np.array(prepared.nesting)
    if not keep:
        with suppress(OSError):
            prepared.path.unlink()
    codes, scale, offset = quantise(image)
    payload = encode(codes, nesting)
    target.write_bytes(payload)
    x, y, z = nesting.shape
    return Entry(
        id=case.id,
        patient=case.patient_id,
        site=case.site,
        grade=case.grade,
        dataset=case.dataset.name if case.dataset else None,
        source=hashlib.sha256(b"".join(source_digests(case, cache.description))).hexdigest(),
        shape=(x, y, z),
        scale=scale,
        offset=offset,
        begin=0,
        size=len(payload),
        sha256=hashlib.sha256(payload).hexdigest(),
    )


def _header(entries: Sequence[Entry], cache: Cache, cases: dict[str, Case]) -> Header:
    """The header that all parts share; its digest and its cases are still to be filled in."""
    description = cache.description
    datasets = {found.name: found.to_dict() for entry in entries if (found := cases[entry.id].dataset)}
    return Header(
        format=FORMAT,
        software=__version__,
        pack="0" * 64,
        part=1,
        parts=1,
        description=description.to_dict(),
        datasets=dict(sorted(datasets.items())),
        spacing=cache.settings.spacing,
        denoise=cache.settings.denoise,
        channels=description.channel_names,
        regions=description.region_names,
        cases=(),
    )


def _divide(entries: Sequence[Entry], header: Header, part_size: float) -> list[tuple[Entry, ...]]:
    """Deal cases to parts in order, each filled up to its size, and set where payloads begin."""
    room = part_size * 1e6
    fixed = part_overhead(header)
    parts: list[list[Entry]] = []
    used = begin = 0
    for entry in entries:
        own = len(msgspec.json.encode(entry)) + 20 + entry.size
        if fixed + own > room:
            raise InputError(
                f"{entry.id}: takes {(fixed + own) / 1e6:.3g} MB, more than a part of {part_size:g} MB; "
                "choose a larger part size or a larger spacing"
            )
        if not parts or used + own > room:
            parts.append([])
            used, begin = fixed, 0
        parts[-1].append(msgspec.structs.replace(entry, begin=begin))
        used, begin = used + own, begin + entry.size
    return [tuple(part) for part in parts]


def _digest(header: Header, divided: Sequence[tuple[Entry, ...]]) -> str:
    """Digest of the contents of all parts; the same cases, divided in another way, have another."""
    return hashlib.sha256(msgspec.json.encode((header, divided))).hexdigest()


@dataclass(frozen=True, eq=False)
class PackedCase:
    """One prepared case in memory, to be used like a `CachedCase`.

    Args:
        id: Name of the case.
        image: Normalised, shape (channel, x, y, z).
        nesting: Count of nested regions that hold a voxel, uint8, shape (x, y, z).
    """

    id: str
    image: NDArray[np.floating]
    nesting: NDArray[np.uint8]


@dataclass(frozen=True)
class _Place:
    """Where a case lies."""

    path: Path
    begin: int
    entry: Entry


def is_pack(path: str | Path) -> bool:
    """Return whether a path is a pack: a folder that holds part files, or one such file."""
    place = Path(path)
    if place.is_dir():
        return any(begins_like_a_part(part) for part in place.glob(f"*{ENDING}"))
    return begins_like_a_part(place)


class Pack:
    """A prepared cohort in part files, read in place of a `Cache`.

    Opening reads headers only; a case's checksum is compared when it is read.

    Attributes:
        cases: The cases, sorted by name. They have no files, but patient, site, grade and dataset, so that they are
            split into the same folds as the cohort that was packed.
        description: The dataset by which they were prepared.
        settings: How they were prepared, at the spacing that is wanted.
        packed_spacing: Spacing in mm of what is stored.

    Args:
        path: Folder of the part files, or one of them, whose folder holds the others.
        spacing: Working spacing in mm that is wanted: the pack's, which is the default, or a larger one, to which cases
            are resampled.
        folder: Where cases are unpacked, to be memory-mapped; None: they are held in memory.
        dtype: Of the images, float16 or float32.

    Raises:
        InputError: A part is missing, damaged or of another pack, or the spacing is smaller than the pack's.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        spacing: float | None = None,
        folder: str | Path | None = None,
        dtype: DTypeLike = np.float16,
    ) -> None:
        self.path = Path(path)
        self.folder = None if folder is None else Path(folder)
        self.dtype = np.dtype(dtype)
        parts = _open_parts(self.path)
        header = parts[0][1]
        self.description = DatasetDescription.from_dict(header.description, str(parts[0][0]))
        self.packed_spacing = header.spacing
        self.settings = Preprocessing(header.spacing if spacing is None else spacing, header.denoise)
        if self.settings.spacing < header.spacing - 1e-6:
            raise InputError(
                f"{self.path}: was packed at {header.spacing:g} mm, too coarse for {self.settings.spacing:g} mm; "
                "pack the cohort at the smaller spacing"
            )
        self._channels = len(header.channels)
        self._places = {entry.id: _Place(part, begin, entry) for part, own, begin in parts for entry in own.cases}
        datasets = {name: DatasetDescription.from_dict(raw, str(parts[0][0])) for name, raw in header.datasets.items()}
        self.cases = [_case(self._places[name].entry, datasets) for name in sorted(self._places)]

    def get(self, case: Case) -> CachedCase | PackedCase:
        """Return the arrays of a case, unpacked first where they are not in the folder yet.

        Raises:
            InputError: The pack has no such case, or the case is damaged.
        """
        place = self._places.get(case.id)
        if place is None:
            raise InputError(f"{self.path}: has no case {case.id}")
        if self.folder is None:
            return PackedCase(case.id, *self._unpack(place))
        entry = self.folder / f"{case.id}-{self._key(place.entry)}.safetensors"
        if not is_whole(entry):
            self.folder.mkdir(parents=True, exist_ok=True)
            image, nesting = self._unpack(place)
            write_arrays(entry, {"image": image, "nesting": nesting}, {"case": case.id})
        return CachedCase(case.id, entry)

    def get_all(
        self,
        cases: Sequence[Case],
        *,
        on_fault: Callable[[InputError], None] | None = None,
        workers: int | None = None,
        progress: Progress = silent,
    ) -> list[CachedCase | PackedCase]:
        """Return the arrays of many cases, read in parallel.

        Args:
            cases: In the order wanted.
            on_fault: Receives the error of each damaged case, which is then left out; None: the first is raised.
            workers: Cases read at the same time; one per processor by default, eight at most.
            progress: Told after each case.

        Raises:
            InputError: A case is missing or damaged and ``on_fault`` is None.
        """
        return _in_threads("reading the pack", self.get, cases, workers, on_fault, progress)

    def _key(self, entry: Entry) -> str:
        spacings = self.packed_spacing, self.settings.spacing
        facts = FORMAT, CACHE_FORMAT, entry.sha256, entry.scale, entry.offset, spacings, str(self.dtype)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def _unpack(self, place: _Place) -> tuple[NDArray[np.floating], NDArray[np.uint8]]:
        codes, nesting = read_payload(place.path, place.begin, place.entry, self._channels)
        entry = place.entry
        if self.settings.spacing <= self.packed_spacing + 1e-6:
            return restore(codes, entry.scale, entry.offset, self.dtype), nesting
        image = restore(codes, entry.scale, entry.offset, np.float32)
        ratio = self.settings.spacing / self.packed_spacing
        x, y, z = resampled_shape(nesting.shape, (1.0, 1.0, 1.0), ratio)
        masks = np.stack([nesting > level for level in range(len(self.description.regions))])
        # As in `Prepared.masks_at_working_spacing`.
        inside = covered(masks, (ratio,) * 3, (x, y, z)) >= 0.5 - 1e-4
        coarse = resample(image, (ratio,) * 3, (x, y, z)).astype(self.dtype)
        return coarse, inside.sum(axis=0, dtype=np.uint8)


_NAMED = 9
"""Parts that are named at most where they are missing."""


def _open_parts(path: Path) -> list[tuple[Path, Header, int]]:
    """Path, header and first byte of the payloads of every part of a pack."""
    if not path.exists():
        raise InputError(f"{path}: there is no such pack")
    folder = path if path.is_dir() else path.parent
    names = sorted({*folder.glob(f"*{ENDING}"), *([] if path.is_dir() else [path])})
    if not names:
        raise InputError(f"{path}: is not a pack; its folder holds no {ENDING} file")
    found = [(name, *read_header(name)) for name in names]
    # The digest of earlier versions did not say how the cases are divided.
    packs = {(header.pack, header.parts): name for name, header, _ in found}
    if not path.is_dir():
        own = read_header(path)[0]
        found = [part for part in found if (part[1].pack, part[1].parts) == (own.pack, own.parts)]
    elif len(packs) > 1:
        raise InputError(f"{path}: {' and '.join(map(str, packs.values()))} are of different packs; keep one pack")
    parts = {header.part: (name, header, begin) for name, header, begin in found}
    total = found[0][1].parts
    # A damaged header may claim any number of parts, so that not all that are missing can be listed.
    missing = list(islice((number for number in range(1, total + 1) if number not in parts), _NAMED + 1))
    if missing:
        names_missing = [part_name(number, total) for number in missing[:_NAMED]]
        names_missing += ["others"] * (len(missing) > _NAMED)
        what = "is missing; copy it" if len(missing) == 1 else "are missing; copy them"
        raise InputError(f"{folder}: the pack is incomplete, {' and '.join(names_missing)} {what} into the folder")
    return [parts[number] for number in sorted(parts)]


def _case(entry: Entry, datasets: dict[str, DatasetDescription]) -> Case:
    return Case(
        entry.id,
        {},
        patient_id=entry.patient,
        site=entry.site,
        grade=entry.grade,
        dataset=None if entry.dataset is None else datasets.get(entry.dataset),
    )
