"""Prepared cases on disk as memory-mapped arrays, so that training never decompresses a file twice."""

import errno
import hashlib
import json
import logging
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from tunetseg.datasets import (
    Case,
    DatasetDescription,
    LabelScheme,
    candidate_schemes,
    find_scheme,
    present_labels,
    recognise_labels,
)
from tunetseg.errors import InputError
from tunetseg.io import check_same_lattice, read_label_map
from tunetseg.io.bounded import check_file
from tunetseg.io.files import whole_file
from tunetseg.io.readers import image_files
from tunetseg.io.tensors import METADATA, read_tensor_header
from tunetseg.limits import processors
from tunetseg.preparation.prepare import Preprocessing, prepare
from tunetseg.preparation.volume import read_volume
from tunetseg.progress import Progress, silent

__all__ = ["FORMAT", "Cache", "CachedCase", "is_whole", "map_arrays", "source_digests", "write_arrays"]

FORMAT = 4
"""Raised whenever what is stored, or how it is computed, changes: old entries are then never found."""

_LOG = logging.getLogger(__name__)
_TYPES = {"F16": np.float16, "F32": np.float32, "U8": np.uint8}


@dataclass(frozen=True)
class CachedCase:
    """One prepared case; its arrays are mapped at each use.

    A map that is held costs a file descriptor, of which many systems grant 1024, and is copied whole into a process
    that is not forked.

    Args:
        id: Name of the case.
        path: File of its arrays.
    """

    id: str
    path: Path

    @property
    def image(self) -> NDArray[np.float16]:
        """Normalised, shape (channel, x, y, z), memory-mapped."""
        return map_arrays(self.path)["image"]

    @property
    def nesting(self) -> NDArray[np.uint8]:
        """Count of nested regions that hold a voxel, shape (x, y, z), memory-mapped."""
        return map_arrays(self.path)["nesting"]


def map_arrays(path: Path) -> dict[str, NDArray]:
    """Return the arrays of a safetensors file, memory-mapped."""
    header, start = read_tensor_header(path)
    return {
        name: np.memmap(path, _TYPES[entry["dtype"]], "r", start + entry["data_offsets"][0], tuple(entry["shape"]))
        for name, entry in header.items()
        if name != METADATA
    }


def _checksum(array: NDArray) -> int:
    return zlib.crc32(memoryview(np.ascontiguousarray(array)).cast("B"))  # type: ignore[arg-type]


def write_arrays(path: Path, arrays: dict[str, NDArray], facts: dict[str, str]) -> None:
    """Write arrays with their checksums as one safetensors file, which appears only when complete.

    Raises:
        OSError: The disk is full or cannot be written to.
    """
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    sums = {name: _checksum(array) for name, array in whole.items()}
    with whole_file(path) as partial:
        try:
            save_file(whole, partial, metadata={**facts, "crc32": json.dumps(sums)})
        except SafetensorError as error:
            raise OSError(errno.ENOSPC, f"cannot be written ({error}); is the disk full?", str(path)) from None


@lru_cache(maxsize=2**16)
def _file_digest(path: Path, size: int, changed: int) -> bytes:
    """Return the SHA-256 of a file, which several spacings ask for; its size and time say that it is the same."""
    check_file(path)  # a header may name a device, which has no end
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def source_digests(case: Case, description: DatasetDescription) -> list[bytes]:
    """Return the SHA-256 of each file of a case: of its images in the order of the channels, then of the reference.

    Args:
        case: Has all channels, and a reference segmentation.
        description: Names the channels.

    Raises:
        InputError: A file cannot be read.
    """
    assert case.reference is not None
    images = dict.fromkeys(path for name in description.channel_names for path in _files(case, name))
    digests = []
    for path in (*images, *image_files(case.reference)):
        try:
            known = path.stat()
            digests.append(_file_digest(path, known.st_size, known.st_mtime_ns))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check the file or its link") from None
    return digests


def _files(case: Case, name: str) -> list[Path]:
    """All files of one channel."""
    series = case.series.get(name)
    return image_files(case.images[name]) if series is None else [frame.file.path for frame in series.frames]


def is_whole(path: Path) -> bool:
    """Return whether a file of arrays is there and every byte of it is as it was written."""
    try:
        header, _ = read_tensor_header(path)
        sums = json.loads(header[METADATA]["crc32"])
        return {name: _checksum(array) for name, array in map_arrays(path).items()} == sums
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError):
        return False


def _part(case: Case, name: str) -> int | tuple[str, str] | None:
    """Which volume of a file, or which series of a folder or archive, a channel is."""
    series = case.series.get(name)
    return case.volumes.get(name) if series is None else (series.uid, series.key)


class Cache:
    """Folder of prepared cases, keyed by what the files hold and how they were prepared.

    An entry appears only when complete; a damaged one is built again from the files of the case. Processes that need
    the same entry wait for the one that builds it.

    Args:
        folder: Where the entries lie; made if need be.
        settings: How volumes are prepared.
        description: Channels, foreground and regions of every case.
        labels: Convention of the label values of all references; None: each case's own dataset or values tell.
    """

    def __init__(
        self, folder: str | Path, settings: Preprocessing, description: DatasetDescription, labels: str | None = None
    ) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self.description = description
        self.labels = labels

    def get(self, case: Case) -> CachedCase:
        """Return the entry of a case, built first where it is missing or damaged.

        Raises:
            InputError: The case has no reference segmentation, or a file of it is damaged or does not fit.
        """
        case.check(self.description.channel_names)
        if case.reference is None:
            raise InputError(f"{case.id}: has no reference segmentation, so nothing can be learned from it")
        entry = self.folder / f"{case.id}-{self._key(case)}.safetensors"
        if not is_whole(entry):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = self.folder / f".{entry.name}.lock"
            with FileLock(lock):
                if not is_whole(entry):
                    write_arrays(entry, self._build(case), {"case": case.id})
                # Who waits for this lock, or makes the file again, finds the entry whole.
                with suppress(OSError):
                    lock.unlink()
        return CachedCase(case.id, entry)

    def get_all(
        self,
        cases: list[Case],
        *,
        on_fault: Callable[[InputError], None] | None = None,
        workers: int | None = None,
        progress: Progress = silent,
    ) -> list[CachedCase]:
        """Return the entries of many cases, built in parallel.

        Args:
            cases: In the order wanted.
            on_fault: Receives the error of each broken case, which is then left out; None: the first is raised.
            workers: Cases built at the same time; one per processor by default, eight at most.
            progress: Told after each case.

        Returns:
            The cases that are not broken, in the same order.

        Raises:
            InputError: A case is broken and ``on_fault`` is None.
        """
        entries = []
        task = f"preparing cases at {self.settings.spacing:g} mm"
        # Decompression and numpy release the interpreter's lock.
        pool = ThreadPoolExecutor(workers or min(8, processors()))
        try:
            jobs = [pool.submit(self.get, case) for case in cases]
            for number, job in enumerate(jobs, start=1):
                try:
                    entries.append(job.result())
                except InputError as fault:
                    if on_fault is None:
                        raise
                    on_fault(fault)
                progress(task, number, len(cases))
        finally:
            pool.shutdown(cancel_futures=True)
        return entries

    def _key(self, case: Case) -> str:
        facts = [FORMAT, asdict(self.settings), self._prepared_by(case), self._conventions(case)]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for one in source_digests(case, self.description):
            digest.update(one)
        return digest.hexdigest()[:16]

    def _prepared_by(self, case: Case) -> dict:
        """What decides the arrays, besides the content of the files and the settings."""
        whole = self.description.to_dict()
        channels = [
            (channel["name"], channel["normalisation"], _part(case, channel["name"])) for channel in whole["channels"]
        ]
        return {"channels": channels, "foreground": whole["foreground"], "regions": self.description.region_names}

    def _candidates(self, case: Case) -> list[LabelScheme]:
        """Conventions of label values that come into question."""
        if self.labels is not None:
            return [find_scheme(self.labels)]
        return candidate_schemes(case.dataset or self.description)

    def _conventions(self, case: Case) -> list:
        return [(scheme.regions, sorted(scheme.values)) for scheme in self._candidates(case)]

    def _scheme(self, case: Case, present: list[int]) -> LabelScheme:
        candidates = self._candidates(case)
        scheme = candidates[0]
        if len(candidates) > 1:
            scheme = recognise_labels(present, candidates, str(case.reference))
        scheme.check(present, str(case.reference))
        if scheme.region_names != self.description.region_names:
            raise InputError(
                f"{case.reference}: has the regions {', '.join(scheme.region_names)} ({scheme.name}), but "
                f"{', '.join(self.description.region_names)} are wanted"
            )
        return scheme

    def _build(self, case: Case) -> dict[str, NDArray]:
        _LOG.debug("preparing %s at %g mm", case.id, self.settings.spacing)
        volume = read_volume(case, self.description)
        assert case.reference is not None
        reference = read_label_map(case.reference)
        first = case.images[self.description.channel_names[0]]
        check_same_lattice(case.reference, reference.stored, first, volume.stored)
        scheme = self._scheme(case, present_labels(reference.array))
        try:
            prepared = prepare(volume, self.settings, self.description)
        except InputError as error:
            raise InputError(f"{case.id}: {error}") from None
        masks = prepared.masks_at_working_spacing(scheme.masks(reference.array))
        return {"image": prepared.array.astype(np.float16), "nesting": masks.sum(axis=0, dtype=np.uint8)}
