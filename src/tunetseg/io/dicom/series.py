"""Series of DICOM images: found, checked, and read as volumes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from tunetseg.errors import InputError
from tunetseg.findings import Finding, Level, refusals
from tunetseg.io.dicom.files import StoredFile, list_files, looks_like_dicom, opened, quiet, read_dataset
from tunetseg.io.dicom.geometry import Stack, stack_planes, straighten
from tunetseg.io.dicom.headers import TAGS, Frame, Header, read_header, says_image
from tunetseg.io.dicom.kinds import make_one_stack, split_volumes
from tunetseg.io.dicom.pixels import read_voxels, without_copies
from tunetseg.io.dicom.sequence import SequenceGuess, guess_sequence
from tunetseg.io.extras import need
from tunetseg.io.grid import Grid
from tunetseg.io.nifti import Image
from tunetseg.progress import Progress, silent

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Contents", "Series", "find_series"]


@dataclass(frozen=True, eq=False)
class Series:
    """One volume of a DICOM series; its voxels are read by `read`.

    Args:
        key: Its number, such as ``4``; ``4.2`` for the second of several volumes in one series.
        uid: Series instance UID.
        description: Series description, without what names the patient.
        modality: ``MR``, ``CT`` or ``PT``.
        patient: Number of the patient among those of the folder, from 1.
        examination: Number of the examination among those of the folder, from 1.
        rank: Place in the order of acquisition within the examination; None where no times are given.
        space: Frame of reference UID; series that share one need no registration, but for movement.
        facts: Further tags, ready for JSON.
        guess: Which sequence it seems to be.
        findings: What was noticed.
        frames: Its slices, from the lowest to the highest along their normal.
        stack: Where they lie; None where a finding refuses the series.
    """

    key: str
    uid: str
    description: str
    modality: str
    patient: int
    examination: int
    rank: int | None
    space: str
    facts: dict[str, str | float]
    guess: SequenceGuess
    findings: tuple[Finding, ...]
    frames: tuple[Frame, ...] = field(repr=False)  # their texts are not cleaned
    stack: Stack | None

    @property
    def name(self) -> str:
        """Number and description, as sentences call the series."""
        return _series_name(self.key, self.description)

    @property
    def usable(self) -> bool:
        """Whether no finding refuses it."""
        return self.stack is not None and not refusals(self.findings)

    @property
    def grid(self) -> Grid:
        """Lattice in the order (column, row, slice).

        Raises:
            InputError: The slices make no volume.
        """
        return self._usable_stack().grid

    def read(self, *, dtype: DTypeLike = np.float32) -> Image:
        """Read the voxels, with the rescale slope and intercept of every slice applied.

        Args:
            dtype: Of the array.

        Raises:
            InputError: A finding refuses the series, or a file is damaged or compressed in a way that no installed
                package can read.
        """
        stack = self._usable_stack()
        array = read_voxels(self.frames, self.name)
        if any(stack.shear):
            array = straighten(array, stack.shear)
        if not np.isfinite(array).all():
            raise InputError(f"{self.name}: holds voxels that are NaN or infinite; export it again")
        return Image(stack.grid.to_lps(array.astype(dtype, copy=False)), stack.grid.in_lps(), stack.grid)

    def datasets(self) -> list["Dataset"]:
        """Return the whole headers of its files without pixels, in the order of slices; they name the patient.

        Raises:
            InputError: A file has disappeared or is damaged.
        """
        files = list(dict.fromkeys(frame.file for frame in self.frames))
        found = []
        for _, stream in opened(files):
            dataset = None if stream is None else read_dataset(stream)
            if dataset is None:
                raise InputError(f"{self.name}: a file can no longer be read; export the series again")
            found.append(dataset)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return what is known, ready for JSON; nothing in it names the patient."""
        return {
            "key": self.key,
            "uid": self.uid,
            "description": self.description,
            "modality": self.modality,
            "patient": self.patient,
            "examination": self.examination,
            "slices": len(self.frames),
            "shape": None if self.stack is None else list(self.stack.grid.shape),
            "spacing": None if self.stack is None else [round(size, 4) for size in self.stack.grid.spacing],
            "sequence": self.guess.channel,
            "candidates": list(self.guess.candidates),
            "certain": self.guess.certain,
            "reasons": list(self.guess.reasons),
            "tags": dict(self.facts),
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def _usable_stack(self) -> Stack:
        for finding in refusals(self.findings):
            raise InputError(finding.message)
        if self.stack is None:
            raise InputError(f"{self.name}: its slices make no volume")
        return self.stack


@dataclass(frozen=True, eq=False)
class Contents:
    """What a folder or archive of DICOM files holds.

    Args:
        series: All series of images, by patient, examination and number.
        findings: What was noticed about other files.
        unreadable: Names of files that could not be read, for screens only: they may name the patient.
    """

    series: tuple[Series, ...]
    findings: tuple[Finding, ...]
    unreadable: tuple[str, ...]


def find_series(place: str | Path, *, progress: Progress = silent) -> Contents:
    """Find all series of MR, CT and PET images in a folder, a zip archive or a file; only headers are read.

    Args:
        place: Files may be nested and mixed, and have any names.
        progress: Called after every file.

    Raises:
        InputError: There is no such place, it holds no DICOM image, or pydicom is not installed.
    """
    place = Path(place)
    need("pydicom", "dicom", f"{place}: reading DICOM files")
    files = list_files(place)
    headers: list[Header] = []
    unreadable: list[str] = []
    others = 0
    for number, (file, stream) in enumerate(opened(files)):
        progress("reading headers", number + 1, len(files))
        if stream is None:
            unreadable.append(file.name)
            continue
        if not looks_like_dicom(file, stream):
            continue
        dataset = read_dataset(stream, tags=TAGS)
        # A file without any of these is not DICOM, whatever its first bytes.
        if dataset is None or not any(keyword in dataset for keyword in ("SOPClassUID", "Modality", "Rows")):
            unreadable.append(file.name)
            continue
        with quiet():  # values are decoded when they are asked for
            header = read_header(file, dataset)
            cut_off = header is None and says_image(dataset)
        if header is not None:
            headers.append(header)
        elif cut_off:
            unreadable.append(file.name)
        else:
            others += 1
    if not headers:
        what = "only DICOM files without images of a scanner" if others else "no DICOM image"
        raise InputError(f"{place}: holds {what}; give the folder of an examination")
    return Contents(tuple(_series(headers)), tuple(_about_files(others, unreadable)), tuple(unreadable))


def _about_files(others: int, unreadable: Sequence[str]) -> list[Finding]:
    findings = []
    if others:
        count = "1 file holds" if others == 1 else f"{others} files hold"
        findings.append(
            Finding("other-objects", "note", f"{count} no image of a scanner (reports, screens, masks); left out")
        )
    if unreadable:
        count = "1 file is" if len(unreadable) == 1 else f"{len(unreadable)} files are"
        findings.append(Finding("unreadable", "warning", f"{count} damaged and left out; copy the examination again"))
    return findings


def _series(headers: Iterable[Header]) -> list[Series]:
    """Series of all files, numbered by patient and examination."""
    groups: dict[tuple[str, str, str], list[Header]] = defaultdict(list)
    for header in headers:
        groups[header.patient, header.study, header.series].append(header)
    patients = {patient: number + 1 for number, patient in enumerate(sorted({key[0] for key in groups}))}
    times: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, group in groups.items():
        times[key[:2]].append(min(header.when for header in group))
    # By patient and time, so that the first examination of a patient has the lower number.
    studies = sorted(times, key=lambda study: (patients[study[0]], min(times[study]), study))
    found = []
    for key, group in groups.items():
        when = min(header.when for header in group)
        rank = sorted(set(times[key[:2]])).index(when) if when else None
        found += _volumes(group, patients[key[0]], studies.index(key[:2]) + 1, rank)
    return _distinct(sorted(found, key=lambda one: (one.patient, one.examination, _sort_key(one.key), one.uid)))


def _sort_key(key: str) -> tuple[int, ...]:
    return tuple(int(part) for part in key.split("."))


def _distinct(series: list[Series]) -> list[Series]:
    """Give series of one number in one examination a letter."""
    counts = Counter((one.examination, one.key) for one in series)
    seen: Counter[tuple[int, str]] = Counter()
    result = []
    for one in series:
        place = (one.examination, one.key)
        if counts[place] > 1:
            result.append(replace(one, key=f"{one.key}{_letters(seen[place])}"))
            seen[place] += 1
        else:
            result.append(one)
    return result


def _letters(number: int) -> str:
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _volumes(group: list[Header], patient: int, examination: int, rank: int | None) -> list[Series]:
    """The volumes of one series."""
    header = group[0]
    found = []
    parts = split_volumes([frame for one in group for frame in one.frames])
    level: Level = "warning" if len(parts) > 1 and make_one_stack(parts) else "note"
    for part, frames in enumerate(parts, start=1):
        key = str(header.number) if len(parts) == 1 else f"{header.number}.{part}"
        name = _series_name(key, header.description)
        stack, kept, findings = _volume(group, frames, name, len(parts))
        if len(parts) > 1:
            message = f"{name}: volume {part} of {len(parts)} in one series"
            if level == "warning":
                message += (
                    ", told apart by echo time or image type, although their slices make one stack; if they are one "
                    "volume, export it with the same tags in every slice"
                )
            findings.insert(0, Finding("several-volumes", level, message))
        found.append(
            Series(
                key=key,
                uid=header.series,
                description=header.description,
                modality=header.modality,
                patient=patient,
                examination=examination,
                rank=rank,
                space=header.space,
                facts=_facts(group, {frame.file for frame in frames}),
                guess=guess_sequence(kept[0].tags),
                findings=tuple(findings),
                frames=kept,
                stack=stack,
            )
        )
    return found


def _volume(
    group: list[Header], frames: list[Frame], name: str, count: int
) -> tuple[Stack | None, tuple[Frame, ...], list[Finding]]:
    """The slices of one volume in order, and what is odd about them."""
    files = {frame.file for frame in frames}
    faults = {one.fault for one in group if one.fault and one.frames and one.frames[0].file in files}
    if faults:
        refused = [Finding(code, "refuse", f"{name}: {reason}") for code, reason in sorted(faults)]
        return None, tuple(frames), refused
    stack, kept, findings = _ordered(frames, name)
    expected = max(one.expected for one in group)
    if stack is not None and count == 1 and expected > len(kept):
        message = f"{name}: holds {len(kept)} of the {expected} images that the scanner counted"
        findings.append(Finding("fewer-images", "note", message))
    return stack, kept, findings


def _facts(group: Iterable[Header], files: set[StoredFile]) -> dict[str, str | float]:
    return next((one.facts for one in group if one.frames and one.frames[0].file in files), {})


def _series_name(key: str, description: str) -> str:
    return f"series {key} ({description})" if description else f"series {key}"


def _ordered(frames: Sequence[Frame], name: str) -> tuple[Stack | None, tuple[Frame, ...], list[Finding]]:
    """Slices in order, without copies."""
    findings: list[Finding] = []
    if any(frame.plane is None for frame in frames):
        message = f"{name}: does not say where its slices lie; export the series again"
        return None, tuple(frames), [Finding("no-geometry", "refuse", message)]
    marks = [(frame.uid or frame.file, frame.number) for frame in frames]
    places = [frame.plane.place for frame in frames if frame.plane is not None]
    kept = without_copies([*dict(zip(zip(marks, places, strict=True), frames, strict=True)).values()])
    if len(kept) < len(frames):
        count = len(frames) - len(kept)
        message = f"{name}: {count} {'slice is' if count == 1 else 'slices are'} there twice; the copies are left out"
        findings.append(Finding("copies", "note", message))
    shared = len(kept) - len({(frame.uid or frame.file, frame.number) for frame in kept})
    if shared:
        message = (
            f"{name}: {shared} {'slice has' if shared == 1 else 'slices have'} the SOP instance UID of another slice "
            "in another place; all were kept, but export the series again before other files refer to it"
        )
        findings.append(Finding("repeated-uid", "warning", message))
    if len({frame.tags.image_type for frame in kept}) > 1:
        message = (
            f"{name}: its slices were not all corrected alike (image type), so brightness may change from slice to "
            "slice; look at the images, or export the series again"
        )
        findings.append(Finding("mixed-corrections", "warning", message))
    stack, more = stack_planes([frame.plane for frame in kept if frame.plane is not None], name)
    if stack is not None:
        kept = [kept[number] for number in stack.order]
    return stack, tuple(kept), findings + more
