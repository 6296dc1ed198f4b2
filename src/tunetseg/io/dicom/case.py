"""The channels of a patient, chosen among the series of an examination."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tunetseg.errors import InputError
from tunetseg.findings import Finding, Level, refusals
from tunetseg.io.dicom.series import Contents, Series, find_series
from tunetseg.io.nifti import Image
from tunetseg.progress import Progress, silent

__all__ = ["DicomCase", "choose_series", "find_dicom_cases", "read_dicom_image"]

_LOG = logging.getLogger(__name__)
_CHANNELS = ("t1", "t1ce", "t2", "flair")


@dataclass(frozen=True, eq=False)
class DicomCase:
    """One examination of one patient; no voxels are read before `read`.

    Args:
        id: Name of the folder or archive, with a number where it holds several examinations.
        channels: Channel -> the series that was chosen.
        series: All series of the examination.
        findings: What was noticed about the choice and the chosen series.
    """

    id: str
    channels: dict[str, Series]
    series: tuple[Series, ...]
    findings: tuple[Finding, ...]

    def check(self) -> None:
        """Raise InputError where a finding says that the images cannot be used."""
        for finding in refusals(self.findings):
            raise InputError(finding.message)

    def read(self, *, dtype: DTypeLike = np.float32, progress: Progress = silent) -> dict[str, Image]:
        """Read all channels.

        Args:
            dtype: Of the arrays.
            progress: Called after every channel.

        Returns:
            Channel -> image; their grids may differ.

        Raises:
            InputError: A finding refuses the case, or a file is damaged.
        """
        self.check()
        images = {}
        for number, (channel, series) in enumerate(self.channels.items()):
            images[channel] = series.read(dtype=dtype)
            progress("reading series", number + 1, len(self.channels))
        return images

    def to_dict(self) -> dict[str, Any]:
        """Return the case ready for JSON; nothing in it names the patient."""
        return {
            "id": self.id,
            "channels": {channel: {"series": one.key, **one.to_dict()} for channel, one in self.channels.items()},
            "others": [one.to_dict() for one in self.series if one not in self.channels.values()],
            "findings": [finding.to_dict() for finding in self.findings],
        }


def find_dicom_cases(
    place: str | Path,
    channels: Sequence[str] = _CHANNELS,
    *,
    choose: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> list[DicomCase]:
    """Find the examinations in a folder or zip archive of DICOM files, and choose a series for every channel.

    Args:
        place: Folder, with whatever folders and series in it, or archive.
        channels: Names of the channels that are needed.
        choose: Channel -> key or UID of its series, which counts before any guess in the examinations that have it.
        progress: Called after every file.

    Returns:
        One case per patient and examination; a channel for which no series was found is left out of
        `DicomCase.channels` and refused by a finding.

    Raises:
        InputError: There is no DICOM image, pydicom is not installed, or no examination has a chosen series.
    """
    contents = find_series(place, progress=progress)
    examinations = sorted({one.examination for one in contents.series})
    name = _case_name(Path(place))
    for channel, key in (choose or {}).items():
        if not any(key in {one.key, one.uid} for one in contents.series):
            known = ", ".join(one.name for one in contents.series)
            raise InputError(f"{name}: there is no series {key} for {channel}; choose from {known}")
    cases = []
    for number in examinations:
        series = tuple(one for one in contents.series if one.examination == number)
        case_id = name if len(examinations) == 1 else f"{name}-{number}"
        cases.append(_case(case_id, series, channels, choose or {}, _shared_findings(contents, number)))
    return cases


def _case_name(place: Path) -> str:
    resolved = Path(os.path.realpath(place))  # unlike Path.resolve, it endures links that lead to themselves
    return resolved.stem if resolved.suffix.lower() in {".zip", ".dcm", ".ima"} else resolved.name


def _shared_findings(contents: Contents, number: int) -> list[Finding]:
    """What concerns the whole folder."""
    findings = list(contents.findings)
    patients = {one.patient for one in contents.series}
    examinations = {one.examination for one in contents.series}
    if len(patients) > 1:
        message = (
            f"the folder holds {len(patients)} patients and {len(examinations)} examinations; this is number {number}"
        )
        findings.append(Finding("several-patients", "note", message))
    elif len(examinations) > 1:
        message = f"the folder holds {len(examinations)} examinations of one patient; this is number {number}"
        findings.append(Finding("several-examinations", "note", message))
    return findings


def _case(
    name: str, series: tuple[Series, ...], channels: Sequence[str], choose: Mapping[str, str], shared: list[Finding]
) -> DicomCase:
    chosen: dict[str, Series] = {}
    findings = list(shared)
    taken: dict[str, Series] = {}
    for channel, key in choose.items():
        named = _named(name, series, channel, key)
        if named is not None:
            taken[channel] = named
        else:  # another examination has it
            message = f"{channel}: series {key} is not in this examination, so its tags decide here"
            findings.append(Finding("choice-elsewhere", "note", message))
    first = _first_enhanced(series, taken)
    for channel in channels:
        if channel in taken:
            chosen[channel] = taken[channel]
            findings += _against_choice(channel, taken[channel])
            continue
        free = [one for one in series if one not in taken.values()]
        best, said = _best(free, channel, first if channel == "t1" else None)
        findings += said
        if best is not None:
            chosen[channel] = best
    for channel, one in chosen.items():
        twice = next((other for other in chosen if other != channel and chosen[other] is one), None)
        if twice is not None:
            raise InputError(f"{name}: {one.name} is given as {channel} and as {twice}; each needs its own series")
        findings += one.findings
    findings += _together(chosen, first)
    return DicomCase(name, chosen, series, tuple(dict.fromkeys(findings)))


def _named(name: str, series: Sequence[Series], channel: str, key: str) -> Series | None:
    found = [one for one in series if key in {one.key, one.uid}]
    if len(found) > 1:
        known = ", ".join(one.name for one in series)
        raise InputError(f"{name}: {len(found)} volumes are called {key} for {channel}; choose from {known}")
    return found[0] if found else None


def _first_enhanced(series: Sequence[Series], taken: Mapping[str, Series]) -> Series | None:
    """The first series that shows contrast agent, as far as tags and the user's choice say."""
    enhanced = [one for one in series if one.guess.channel == "t1ce" or one is taken.get("t1ce")]
    return min((one for one in enhanced if one.rank is not None), key=lambda one: one.rank or 0, default=None)


def _is_after(series: Series, enhanced: Series | None) -> bool:
    if enhanced is None or enhanced.rank is None or series.rank is None:
        return False
    return series.rank > enhanced.rank


def _against_choice(channel: str, series: Series) -> list[Finding]:
    """Say where the tags speak against what the user chose."""
    guess = series.guess
    if channel in guess.candidates or not guess.candidates:
        return []
    message = (
        f"{series.name} was chosen as {channel}, but seems to be {' or '.join(guess.candidates)} "
        f"({'; '.join(guess.reasons)})"
    )
    return [Finding("choice-contradicted", "warning", message)]


def _best(series: Sequence[Series], channel: str, enhanced: Series | None) -> tuple[Series | None, list[Finding]]:
    """The series of a channel, best from before ``enhanced``, and why it or that none was taken."""
    fitting = [one for one in series if one.guess.channel == channel]
    usable = sorted((one for one in fitting if one.usable), key=lambda one: _quality(one, enhanced), reverse=True)
    if not usable:
        return None, [_missing(series, fitting, channel)]
    best = usable[0]
    findings = []
    if len(usable) > 1:
        others = ", ".join(one.name for one in usable[1:])
        why = _why(best, usable[1], enhanced)
        level: Level = "warning" if why is None else "note"
        message = (
            f"{channel}: {len(usable)} series fit; {best.name} was taken, "
            f"{why or 'although nothing tells them apart'}, not {others}"
        )
        findings.append(Finding("several-series", level, message))
    if not best.guess.certain:
        message = f"{best.name} was taken as {channel} without certainty ({'; '.join(best.guess.reasons)}); check it"
        findings.append(Finding("sequence-uncertain", "warning", message))
    else:
        message = f"{best.name} was taken as {channel} ({'; '.join(best.guess.reasons)})"
        findings.append(Finding("sequence", "note", message))
    return best, findings


def _quality(series: Series, enhanced: Series | None) -> tuple[bool, bool, bool, float, int]:
    """Before contrast agent rather than after, certain, original, thin, and repeated rather than first."""
    original = "DERIVED" not in {word.upper() for word in series.frames[0].tags.image_type}
    largest = round(max(series.grid.spacing), 1)
    rank = -1 if series.rank is None else series.rank
    return not _is_after(series, enhanced), series.guess.certain, original, -largest, rank


def _why(best: Series, second: Series, enhanced: Series | None) -> str | None:
    """What made a series better than the next; None where only its number did."""
    reasons = (
        "the one acquired before contrast agent was given",
        "the clearer one",
        "the original one",
        "the one with thinner slices",
        "the one acquired later",
    )
    pairs = zip(_quality(best, enhanced), _quality(second, enhanced), reasons, strict=True)
    return next((reason for first, other, reason in pairs if first != other), None)


def _missing(series: Sequence[Series], fitting: Sequence[Series], channel: str) -> Finding:
    message = f"no {channel} series among {len(series)}"
    if fitting:
        reason = refusals(fitting[0].findings)
        return Finding("missing-channel", "refuse", reason[0].message if reason else message)
    doubtful = [one for one in series if channel in one.guess.candidates and one.usable]
    if doubtful:
        said = ", ".join(f"{one.name} may be {' or '.join(one.guess.candidates)}" for one in doubtful)
        return Finding("ambiguous-sequence", "refuse", f"{message}; {said}; choose a series by its number")
    return Finding("missing-channel", "refuse", f"{message}; choose one by its number if its tags mislead")


def _together(chosen: Mapping[str, Series], enhanced: Series | None) -> list[Finding]:
    """What is odd about the chosen series as a set, of which ``enhanced`` is the first with contrast agent."""
    findings = []
    spaces = {one.space for one in chosen.values()}
    if len(spaces) > 1 or "" in spaces:
        message = "the series do not share a frame of reference, so they may need registration first"
        findings.append(Finding("frame-of-reference", "warning", message))
    native = chosen.get("t1")
    if native is not None and enhanced is not None and _is_after(native, enhanced):
        message = (
            f"{native.name} was acquired after {enhanced.name}, so it may show contrast agent too; "
            "choose a T1 from before the injection"
        )
        findings.append(Finding("t1-after-contrast", "warning", message))
    return findings


def choose_series(place: Path, channel: str) -> tuple[Series, list[Finding]]:
    """Return the only usable series of a folder, an archive, or a file, and what its tags say against its use.

    Args:
        place: Folder, archive or file.
        channel: What it is to be used as.

    Raises:
        InputError: There is no usable series, or there are several.
    """
    contents = find_series(place)
    only = _one_usable(place, contents.series)
    return only, [*contents.findings, *_against_choice(channel, only), *only.findings]


def _one_usable(place: Path, series: Sequence[Series], volume: int | None = None) -> Series:
    usable = [one for one in series if one.usable]
    if not usable:
        raise InputError(f"{place}: {refusals(series[0].findings)[0].message}")
    if volume is not None and not 0 <= volume < len(usable):
        raise InputError(f"{place}: has {len(usable)} volume(s), so there is no volume {volume}, counted from 0")
    if volume is None and len(usable) > 1:
        names = ", ".join(one.name for one in usable)
        raise InputError(f"{place}: holds {len(usable)} series ({names}); give the folder of one")
    return usable[volume or 0]


def read_dicom_image(path: Path, *, dtype: DTypeLike | None = np.float32, volume: int | None = None) -> Image:
    """Read the only usable series of a folder, an archive, or a multi-frame file.

    Args:
        path: Folder, archive or file.
        dtype: Of the array; None is float32, for values are rescaled.
        volume: Index among the usable volumes, where there are several.

    Raises:
        InputError: There is no usable series, or there are several and none is chosen.
    """
    contents = find_series(path)
    series = _one_usable(path, contents.series, volume)
    for finding in (*contents.findings, *series.findings):
        if finding.level == "warning":
            _LOG.warning("%s: %s", path, finding.message)
    return series.read(dtype=np.float32 if dtype is None else dtype)
