"""The files of one case."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunetseg.datasets.description import DatasetDescription
from tunetseg.datasets.templates import REFERENCE
from tunetseg.errors import InputError
from tunetseg.findings import Finding, listed, refusals
from tunetseg.io.bounded import check_file, read_text
from tunetseg.io.readers import is_dicom

if TYPE_CHECKING:
    from tunetseg.io.dicom import Series

__all__ = ["Case", "Missing", "read_case_list"]

Missing = Literal["raise", "allow"]
"""What is done where a case lacks a channel: an error is raised, or what is there is enough."""


@dataclass(frozen=True)
class Case:
    """The files of one patient at one time point; nothing is read.

    Args:
        id: Name of the case, as its dataset writes it.
        images: Channel -> file; of a DICOM series its first file, or the archive.
        reference: Reference segmentation, where there is one.
        volumes: Channel -> index of its volume, for channels that lie in a 4-D file.
        patient_id: The patient, the same over years and time points as far as names tell.
        site: Hospital, where names tell.
        grade: ``HGG`` or ``LGG``, where folders or tables tell.
        dataset: The dataset that the names fit.
        faults: What is wrong with the files, found by looking at their names -> the channel or ``reference`` that it
            concerns; empty where it concerns the whole case.
        series: Channel -> DICOM series.
        unused: DICOM series of the examination that are no channel, as sentences call them.
        findings: What was noticed when files or DICOM series were chosen.
    """

    id: str
    images: dict[str, Path]
    reference: Path | None = None
    volumes: dict[str, int] = field(default_factory=dict)
    patient_id: str | None = None
    site: str = ""
    grade: str | None = None
    dataset: DatasetDescription | None = None
    faults: dict[str, str] = field(default_factory=dict)
    series: dict[str, "Series"] = field(default_factory=dict, repr=False)
    unused: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=(), repr=False)

    @property
    def patient(self) -> str:
        """The patient, by whom folds split; a case without a known patient is its own."""
        return self.patient_id or self.id

    def without(self, *channels: str) -> "Case":
        """Return the case as if it had no images of some channels; ``reference`` leaves out the reference."""
        return replace(
            self,
            images={name: path for name, path in self.images.items() if name not in channels},
            reference=None if REFERENCE in channels else self.reference,
            faults={fault: role for fault, role in self.faults.items() if role not in channels},
        )

    def source(self, channel: str) -> str:
        """Return the file or series of a channel, as errors name it."""
        return self.series[channel].name if channel in self.series else str(self.images[channel])

    def check(self, channels: Sequence[str], *, missing: Missing = "raise") -> None:
        """Raise InputError if a channel is missing, its file is not there, refused, or a file is given twice.

        Faults of channels that are not needed do not count, nor those of a reference that is left out.

        Args:
            channels: Names of the channels that are needed.
            missing: ``allow`` accepts a case that has at least one of them.
        """
        for fault, role in self.faults.items():
            if role in {"", REFERENCE, *channels}:
                raise InputError(fault)
        for finding in refusals(self.findings):
            if missing == "raise" or finding.code != "missing-channel":
                raise InputError(f"{self.id}: {finding.message}")
        present = [channel for channel in channels if channel in self.images]
        if not present or (missing == "raise" and len(present) < len(channels)):
            absent = [channel for channel in channels if channel not in self.images]
            folder = f" in {next(iter(self.images.values())).parent}" if self.images else ""
            needed = f"all of {', '.join(channels)} are" if missing == "raise" else "one of them is"
            unused = "".join(f"; {found.message}" for found in self.findings if found.code == "unused-image")
            raise InputError(f"{self.id}: no {listed(absent, 'or')} image{folder}; {needed} needed{unused}")
        seen: dict[tuple[str, int | None], str] = {}
        for channel in present:
            path, series = self.images[channel], self.series.get(channel)
            if series is None and not (os.path.isfile(path) or is_dicom(path)):
                _refuse(path, channel)
            place = os.path.realpath(path) if series is None else f"{series.uid} {series.key}"
            first = seen.setdefault((place, self.volumes.get(channel)), channel)
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

    Names are in Unicode's form NFC, as those of cases are.

    Raises:
        InputError: The file cannot be read, or names no case.
    """
    try:
        lines = read_text(path).split("\n")  # names may hold characters that Python takes for the end of a line
    except InputError as fault:
        raise InputError(f"{fault}; a text file of case names is needed") from None
    names = list(dict.fromkeys(unicodedata.normalize("NFC", line.strip()) for line in lines if line.strip()))
    if not names:
        raise InputError(f"{path}: names no case; a text file of case names is needed")
    return names
