"""Prepared cases on disk as memory-mapped arrays, so that training never decompresses a file twice."""

import errno
import hashlib
import json
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import LabelScheme, recognise_labels, scheme_named
from tunetseg.datasets.case import MODALITIES, Case
from tunetseg.errors import InputError
from tunetseg.io.volume import check_same_grid, read_label_map, read_volume
from tunetseg.preparation.preprocess import Preprocessing, prepare

__all__ = ["FORMAT", "Cache", "CachedCase"]

FORMAT = 3
"""Raised whenever what is stored, or how it is computed, changes: old entries are then never found."""


@dataclass(frozen=True)
class CachedCase:
    """One prepared case; its arrays are mapped anew at each use.

    A map that is held costs a file descriptor, of which many systems grant 1024, and is copied whole into a process
    that is not forked.

    Args:
        id: Name of the case.
        folder: Its entry in the cache.
    """

    id: str
    folder: Path

    @property
    def image(self) -> NDArray[np.float16]:
        """Normalised, shape (channel, x, y, z), memory-mapped."""
        return _mapped(self.folder, "image")

    @property
    def depth(self) -> NDArray[np.uint8]:
        """Count of nested regions that hold a voxel, shape (x, y, z), memory-mapped."""
        return _mapped(self.folder, "depth")


def _save(folder: Path, name: str, array: NDArray) -> None:
    try:
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    except OSError as error:  # numpy's own says how many bytes were not written, and nothing else
        reason = error.strerror or "not all of it could be written; is the disk full?"
        raise OSError(error.errno or errno.ENOSPC, reason, str(folder)) from None


def _mapped(folder: Path, name: str) -> NDArray:
    return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def _checksum(array: NDArray) -> int:
    return zlib.crc32(memoryview(np.ascontiguousarray(array)).cast("B"))  # type: ignore[arg-type]


def _rename(folder: Path, target: Path) -> None:
    """Rename a folder, unless another process was there first or took it away."""
    with suppress(OSError):
        folder.rename(target)


class Cache:
    """Folder of prepared cases, keyed by what the files hold and how they were prepared.

    An entry appears only when complete; one that is damaged is rebuilt from the case's files.

    Args:
        folder: Where the entries lie; made if need be.
        settings: How volumes are prepared.
        labels: Label scheme of all cases; None: the dataset's year tells, else the values present.
    """

    def __init__(self, folder: str | Path, settings: Preprocessing, labels: str | None = None) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self.labels = labels

    def get(self, case: Case) -> CachedCase:
        """Open a case's entry, built first where it is missing or damaged.

        Raises:
            InputError: The case has no segmentation, or a file of it is at fault.
        """
        case.check()
        if case.segmentation is None:
            raise InputError(f"{case.id}: has no segmentation, so nothing can be learned from it")
        entry = self.folder / self._key(case)
        for _ in range(3):  # between two, another process may be about to replace a damaged entry
            found = self._open(case, entry)
            if found is not None:
                return found
            self._build(case, entry)
        found = self._open(case, entry)
        if found is None:
            raise OSError(f"{entry}: cannot be read back after writing; is the disk full?")
        return found

    def get_all(
        self,
        cases: list[Case],
        *,
        on_fault: Callable[[InputError], None] | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> list[CachedCase]:
        """Entries of many cases.

        Args:
            cases: In the order wanted.
            on_fault: Told of each broken case, which is then left out; None: the first fault is raised.
            progress: Called after each case.

        Returns:
            Those of the cases that are not broken, in the same order.

        Raises:
            InputError: A case is broken and ``on_fault`` is None.
        """
        entries = []
        for case in cases:
            try:
                entries.append(self.get(case))
            except InputError as fault:
                if on_fault is None:
                    raise
                on_fault(fault)
            progress()
        return entries

    def _key(self, case: Case) -> str:
        digest = hashlib.sha256(json.dumps([FORMAT, asdict(self.settings), self._scheme_hint(case)]).encode())
        for path in (*(case.images[modality] for modality in MODALITIES), case.segmentation):
            assert path is not None
            try:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise InputError(f"{path}: cannot be read ({error.strerror}); see to the file or its link") from None
        return f"{case.id}-{digest.hexdigest()[:16]}"

    def _scheme_hint(self, case: Case) -> str | None:
        return self.labels or case.labels

    def _scheme(self, case: Case, present: list[int]) -> LabelScheme:
        hint = self._scheme_hint(case)
        scheme = scheme_named(hint) if hint else recognise_labels(present, str(case.segmentation))
        scheme.check(present, str(case.segmentation))
        return scheme

    def _build(self, case: Case, entry: Path) -> None:
        volume = read_volume(case)
        assert case.segmentation is not None
        truth = read_label_map(case.segmentation)
        check_same_grid(case.segmentation, truth.grid, case.images[MODALITIES[0]], volume.grid)
        scheme = self._scheme(case, np.unique(truth.array).tolist())
        prepared = prepare(volume, self.settings)
        masks = prepared.masks_at_working_spacing(scheme.masks(volume.grid.into_lps(truth.array)))
        arrays = {"image": prepared.array.astype(np.float16), "depth": masks.sum(axis=0, dtype=np.uint8)}
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{entry.name}.", dir=self.folder) as aside:
            fresh, damaged = Path(aside) / "fresh", Path(aside) / "damaged"
            fresh.mkdir()
            for name, array in arrays.items():
                _save(fresh, name, array)
            sums = {name: _checksum(array) for name, array in arrays.items()}
            (fresh / "entry.json").write_text(json.dumps({"case": case.id, "crc32": sums}))
            _rename(fresh, entry)
            # Another process that finished the same entry first uses it: only a damaged one is moved away.
            if fresh.exists() and self._open(case, entry) is None:
                _rename(entry, damaged)
                _rename(fresh, entry)

    def _open(self, case: Case, entry: Path) -> CachedCase | None:
        """The entry if it is there and every byte is as written."""
        try:
            sums = json.loads((entry / "entry.json").read_text())["crc32"]
            if all(_checksum(_mapped(entry, name)) == sums[name] for name in ("image", "depth")):
                return CachedCase(case.id, entry)
        except Exception:  # numpy alone raises half a dozen kinds over a header with one bit changed
            pass
        return None
