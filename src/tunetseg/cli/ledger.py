"""The tables of a cohort's results: volumes of the cases that are done, faults of those that were left out."""

import csv
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock

from tunetseg.datasets import Case, DatasetDescription
from tunetseg.errors import InputError
from tunetseg.inference.manifest import read_manifest
from tunetseg.inference.save import manifest_file
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io.bounded import read_csv
from tunetseg.io.files import whole_file

__all__ = ["Ledger", "has_ledger"]

_Row = dict[str, str]

_VOLUMES = "volumes.csv"


def has_ledger(folder: Path) -> bool:
    """Return whether a folder holds the table of volumes of a cohort."""
    path = folder / _VOLUMES
    return path.is_file() and path.read_bytes().startswith(b"case,")


class Ledger:
    """Two tables that are whole at any time, and up to date after every case.

    Args:
        folder: Holds ``volumes.csv``, in which cases of other runs stay, and ``failed.csv``, which is begun again.
        part: Names of the cases of this process, where other processes may write to the same tables at the same time;
            ``failed.csv`` is begun again for these only. None: no other process does.

    Raises:
        InputError: A file of one of these names is another program's, or damaged.
    """

    def __init__(self, folder: Path, part: Collection[str] | None = None) -> None:
        self.volumes = folder / _VOLUMES
        self.failed = folder / "failed.csv"
        self.part = None if part is None else frozenset(part)
        # The file of the lock stays, as one that is removed while others wait for it no longer keeps anyone out.
        self.lock: AbstractContextManager[Any] = (
            nullcontext() if part is None else FileLock(folder / ".tunetseg-tables.lock")
        )
        self.rows: dict[str, _Row] = {}
        self.faults: list[_Row] = []
        with self.lock:
            for path in (self.volumes, self.failed):
                if path.exists() and _table(path)[0][:1] != ["case"]:
                    raise InputError(f"{path}: exists and was not written by tunetseg; choose another folder")
            others = self._faults_of_others()
            if others:
                _write(self.failed, others)
            else:
                self.failed.unlink(missing_ok=True)

    def add(self, result: Segmentation) -> None:
        """Write a result."""
        self._add(result.case, result.volumes_ml, (finding.code for finding in result.warnings))
        self._write_volumes()

    def add_saved(self, cases: Sequence[Case], dataset: DatasetDescription) -> None:
        """Write complete results of earlier runs, of which one may have been killed before it wrote its table."""
        for case in cases:
            said = read_manifest(manifest_file(self.volumes.parent, case, dataset))
            warnings = (finding["code"] for finding in said["findings"] if finding["level"] == "warning")
            self._add(case.id, said["volume_ml"], warnings)
        self._write_volumes()

    def add_fault(self, case: str, fault: str) -> None:
        """Write what is wrong with a case; volumes of an earlier run of it are removed."""
        self.faults.append({"case": case, "fault": fault})
        self.rows.pop(case, None)
        with self.lock:
            _write(self.failed, [*self._faults_of_others(), *self.faults])
            volumes = _read(self.volumes)
            if any(row["case"] == case for row in volumes):
                _write(self.volumes, [row for row in volumes if row["case"] != case])

    def _faults_of_others(self) -> list[_Row]:
        """Return what other processes have written to the table of broken cases."""
        return [] if self.part is None else [row for row in _read(self.failed) if row["case"] not in self.part]

    def _add(self, case: str, volumes: dict[str, float], warnings: Iterable[str]) -> None:
        columns = {f"{name}_ml": str(ml) for name, ml in volumes.items()}
        self.rows[case] = {"case": case} | columns | {"warnings": " ".join(warnings)}

    def _write_volumes(self) -> None:
        with self.lock:
            rows = {row["case"]: row for row in _read(self.volumes)} | self.rows
            _write(self.volumes, [rows[case] for case in sorted(rows)])


def _table(path: Path) -> tuple[list[str], list[_Row]]:
    try:
        return read_csv(path)
    except InputError as fault:
        raise InputError(f"{fault}; remove it, and the same command writes it again") from None


def _read(path: Path) -> list[_Row]:
    return [row for row in _table(path)[1] if row.get("case")] if path.is_file() else []


def _write(path: Path, rows: Sequence[_Row]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
