"""Cases among files of any kind: images named like those of a dataset, or examinations in DICOM."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunetseg.datasets.case import Case
from tunetseg.datasets.cohort import NoCaseError, find_cases
from tunetseg.datasets.description import DatasetDescription
from tunetseg.datasets.templates import REFERENCE
from tunetseg.errors import InputError
from tunetseg.findings import Finding
from tunetseg.io.readers import is_dicom
from tunetseg.progress import Progress, silent

if TYPE_CHECKING:
    from tunetseg.io.dicom import DicomCase

__all__ = ["find_patients", "with_series"]


def find_patients(
    place: str | Path,
    needed: DatasetDescription,
    *,
    dataset: DatasetDescription | None = None,
    without: Sequence[str] = (),
    series: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> list[Case]:
    """Return every case of a place; DICOM is looked for where no file is named like an image of a case.

    Args:
        place: Folder of a case, of a cohort, or of DICOM files; or a zip archive of DICOM files.
        needed: Says which channels are needed.
        dataset: How files are named; by default their names tell.
        without: Channels that are left out, as if there were no images of them.
        series: Channel -> number or UID of its DICOM series; the others are chosen by their tags.
        progress: Called after every DICOM file.

    Returns:
        The cases, those of DICOM with their series. A channel for which no series was found is a finding of level
        ``refuse``. A reference that is given twice is left out.

    Raises:
        NoCaseError: There is neither a case nor a DICOM image.
        InputError: There is no such place, a series that is named is not there, or two cases have one name.
    """
    path = Path(place)
    fault: NoCaseError | None = None
    if not is_dicom(path) or path.is_dir():
        try:
            cases = find_cases(place, dataset, also=needed)
            if series:
                raise InputError(f"{path}: holds no DICOM, but the series of {', '.join(series)} are named")
            return [_without_doubled_reference(case.without(*without)) for case in cases]
        except NoCaseError as error:
            fault = error
    channels = [name for name in needed.channel_names if name not in without]
    from tunetseg.io.dicom import find_dicom_cases

    try:
        return _cases(path, find_dicom_cases(path, channels, choose=series, progress=progress))
    except InputError as other:
        if fault is None or "holds no DICOM image" not in str(other):
            raise InputError(
                f"{fault}; for DICOM: {other}" if fault and "install" in str(other) else str(other)
            ) from None
        raise fault from None


def _without_doubled_reference(case: Case) -> Case:
    """Leave out a reference that is given twice: images can be segmented without one."""
    if REFERENCE not in case.faults.values():
        return case
    message = "the reference is given twice, so none is used; keep one file to compare with"
    return replace(case.without(REFERENCE), findings=(*case.findings, Finding("several-references", "note", message)))


def _cases(place: Path, examinations: Sequence["DicomCase"]) -> list[Case]:
    """Cases of examinations, called by the folders in a folder that hold one of them each."""
    folders = [_top_folders(place, found) if place.is_dir() else set() for found in examinations]
    tops = [top for found in folders for top in found]
    apart = len(examinations) > 1 and len(tops) == len(set(tops)) and all(len(found) == 1 for found in folders)
    names = tops if apart and "" not in tops else [found.id for found in examinations]
    return [_case(name, found) for name, found in zip(names, examinations, strict=True)]


def _top_folders(place: Path, found: "DicomCase") -> set[str]:
    """Names of the folders right in a folder in which the files of an examination lie; empty for the folder itself."""
    parts = (frame.file.path.relative_to(place).parts for one in found.series for frame in one.frames)
    return {own[0] if len(own) > 1 else "" for own in parts}


def _case(name: str, found: "DicomCase") -> Case:
    used = found.channels.values()
    return Case(
        name,
        {channel: one.frames[0].file.path for channel, one in found.channels.items()},
        series=dict(found.channels),
        unused=tuple(one.name for one in found.series if one not in used),
        findings=tuple(map(_with_way_out, found.findings)),
    )


def _with_way_out(finding: Finding) -> Finding:
    if finding.code != "missing-channel" or finding.level != "refuse":
        return finding
    return replace(finding, message=f"{finding.message}; or go on without the channel, with --without")


def with_series(case: Case) -> Case:
    """Return a case whose images that are folders, archives or files of DICOM are read as series.

    Raises:
        InputError: There is not one usable series in one of them.
    """
    places = {channel: path for channel, path in case.images.items() if is_dicom(path)}
    if not places:
        return case
    from tunetseg.io.dicom import choose_series

    images, series, findings = dict(case.images), {}, list(case.findings)
    for channel, path in places.items():
        series[channel], said = choose_series(path, channel)
        images[channel] = series[channel].frames[0].file.path
        findings += said
    return replace(case, images=images, series=series, findings=tuple(findings))
