"""How a case was made of raw scans, kept with its images, so that results can go back to the scans."""

import json
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.io import Grid
from tunetseg.io.files import read_json, whole_file

if TYPE_CHECKING:
    from tunetseg.datasets import Case
    from tunetseg.io.dicom import Series

__all__ = ["RECORD", "RawScan", "Record", "is_record", "read_record"]

RECORD = "preparation.json"


@dataclass(frozen=True, eq=False)
class RawScan:
    """One scan before it was prepared.

    Args:
        source: The file or series, as sentences call it.
        grid: Where its voxels lie, in its own order of axes.
        move: Its world coordinates to those of the prepared images in mm, shape (4, 4).
        place: Folder or archive that holds all slices of a DICOM series; empty for other files.
        uid: Of the DICOM series.
        key: Its number, which depends on what else was found with it.
    """

    source: str
    grid: Grid
    move: NDArray[np.float64]
    place: str = ""
    uid: str = ""
    key: str = ""

    def series(self) -> "Series":
        """Return the DICOM series.

        Raises:
            InputError: The scan was no DICOM, or its files have been moved away or changed.
        """
        if not self.place:
            raise InputError(f"{self.source}: was not read from DICOM, so no DICOM SEG object can refer to its series")
        from tunetseg.io.dicom import find_series

        own = [one for one in find_series(self.place).series if one.uid == self.uid]
        # Echoes of one series may share a grid; their numbers tell them apart, without the letter of a shared number.
        number = self.key.rstrip(ascii_lowercase)
        own.sort(key=lambda one: one.key.rstrip(ascii_lowercase) != number)
        for one in own:
            if one.usable and one.grid.same_lattice(self.grid):
                return one
        fault = "holds other slices than those that were prepared of" if own else "no longer holds"
        raise InputError(f"{self.place}: {fault} {self.source}; put the DICOM files back where they were")


@dataclass(frozen=True, eq=False)
class Record:
    """How a case was prepared.

    Args:
        reference: Channel whose world and grid the prepared images have.
        scans: Channel -> the scan.
        brain: How the brain was found.
    """

    reference: str
    scans: dict[str, RawScan]
    brain: str

    def save(self, folder: Path) -> None:
        """Write the record to the folder of the images."""
        from tunetseg import __version__

        scans = {
            channel: {
                "source": scan.source,
                "affine": scan.grid.affine.tolist(),
                "shape": list(scan.grid.shape),
                "to_reference": scan.move.tolist(),
                "dicom": {"place": scan.place, "uid": scan.uid, "series": scan.key} if scan.place else None,
            }
            for channel, scan in self.scans.items()
        }
        said = {"reference": self.reference, "brain": self.brain, "scans": scans, "version": __version__}
        with whole_file(folder / RECORD) as partial:
            partial.write_text(json.dumps(said, indent=1), encoding="utf-8")


def is_record(path: Path) -> bool:
    """Return whether a file is a record."""
    return path.is_file() and {"reference", "brain", "scans", "version"} <= read_json(path).keys()


def read_record(case: "Case") -> Record | None:
    """Return how a case was prepared, or None where nothing in the folder of its images says so.

    Raises:
        InputError: The record is damaged.
    """
    folders = {path.parent for path in case.images.values()}
    if len(folders) != 1 or case.series:
        return None
    path = folders.pop() / RECORD
    if not path.is_file():
        return None
    said = read_json(path)
    try:
        scans = {channel: _scan(one) for channel, one in said["scans"].items()}
        return Record(str(said["reference"]), scans, str(said["brain"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: damaged; prepare the case again") from None


def _scan(said: dict[str, Any]) -> RawScan:
    x, y, z = said["shape"]
    move = np.array(said["to_reference"], np.float64)
    if move.shape != (4, 4) or not np.isfinite(move).all() or abs(np.linalg.det(move[:3, :3])) < 0.5:  # 1 if rigid
        raise ValueError
    dicom = said["dicom"] or {"place": "", "uid": "", "series": ""}
    return RawScan(
        str(said["source"]),
        Grid(np.array(said["affine"]), (x, y, z)),
        move,
        str(dicom["place"]),
        str(dicom["uid"]),
        str(dicom["series"]),
    )
