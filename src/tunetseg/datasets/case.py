"""The files of one case."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from tunetseg.datasets.description import DatasetDescription
from tunetseg.errors import InputError
from tunetseg.io.bounded import check_file, read_text

__all__ = ["Case", "Missing", "read_case_list"]

Missing = Literal["raise", "allow"]
"""What is done where a case lacks a channel: an error is raised, or what is there is enough."""


@dataclass(frozen=True)
class Case:
    """The files of one patient at one time point; nothing is read.

    Args:
        id: Name of the case, as its dataset writes it.
        images: Channel -> file.
        reference: Reference segmentation, where there is one.
        volumes: Channel -> index of its volume, for channels that lie in a 4-D file.
        patient_id: The patient, the same over years and time points as far as names tell.
        site: Hospital, where names tell.
        grade: ``HGG`` or ``LGG``, where folders or tables tell.
        dataset: The dataset that the names fit.
        faults: What is wrong with the files, found by looking at their names.
    """

    id: str
    images: dict[str, Path]
    reference: Path | None = None
    volumes: dict[str, int] = field(default_factory=dict)
    patient_id: str | None = None
    site: str = ""
    grade: str | None = None
    dataset: DatasetDescription | None = None
    faults: tuple[str, ...] = ()

    @property
    def patient(self) -> str:
        """The patient, by whom folds split; a case without a known patient is its own."""
        return self.patient_id or self.id

    def without(self, *channels: str) -> "Case":
        """Return the case as if it had no images of some channels."""
        return replace(self, images={name: path for name, path in self.images.items() if name not in channels})

    def check(self, channels: Sequence[str], *, missing: Missing = "raise") -> None:
        """Raise InputError if a channel is missing, its file is not there, or one file is given twice.

        Args:
            channels: Names of the channels that are needed.
            missing: ``allow`` is content with one of them.
        """
        if self.faults:
            raise InputError(self.faults[0])
        present = [channel for channel in channels if channel in self.images]
        if not present or (missing == "raise" and len(present) < len(channels)):
            absent = [channel for channel in channels if channel not in self.images]
            folder = f" in {next(iter(self.images.values())).parent}" if self.images else ""
            needed = f"all of {', '.join(channels)} are" if missing == "raise" else "one of them is"
            raise InputError(f"{self.id}: no {' and no '.join(absent)} image{folder}; {needed} needed")
        seen: dict[tuple[str, int | None], str] = {}
        for channel in present:
            path = self.images[channel]
            if not os.path.isfile(path):
                _refuse(path, channel)
            first = seen.setdefault((os.path.realpath(path), self.volumes.get(channel)), channel)
            if first != channel:
                raise InputError(f"{path}: given as {first} and as {channel}; each needs its own file")


def _refuse(path: Path, channel: str) -> None:
    """Raise InputError for an image that is not a file; a folder may be one of DICOM files."""
    try:
        check_file(path)
    except InputError as fault:
        raise InputError(str(fault).replace("no such file", f"no such {channel} file")) from None


def read_case_list(path: str | Path) -> list[str]:
    """Return the case names of a text file, such as a run folder's ``validation.txt``: one name per line.

    Raises:
        InputError: The file cannot be read, or names no case.
    """
    try:
        lines = read_text(path).split("\n")  # names may hold characters that Python takes for the end of a line
    except InputError as fault:
        raise InputError(f"{fault}; a text file of case names is needed") from None
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not names:
        raise InputError(f"{path}: names no case; a text file of case names is needed")
    return names
