"""Finding the cases of a folder by the names of its files."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tunetseg.datasets.bids import entity_order, is_bids, without_derivatives
from tunetseg.datasets.case import Case, Missing
from tunetseg.datasets.catalogue import packaged_descriptions
from tunetseg.datasets.description import DatasetDescription
from tunetseg.datasets.folders import describe_folder
from tunetseg.datasets.patients import PatientRow, read_patient_tables
from tunetseg.datasets.recognition import REFERENCE, Match, match_file, patient_of
from tunetseg.datasets.visits import visited_patient
from tunetseg.errors import InputError
from tunetseg.findings import Finding, listed
from tunetseg.io.nifti import was_written_here
from tunetseg.io.readers import ENDINGS, image_stem
from tunetseg.limits import LIMITS

__all__ = ["NoCaseError", "case_from_files", "check_case_name", "check_name", "find_cases", "folders_below"]


class NoCaseError(InputError):
    """A folder holds no file that is named like a case's."""


def check_name(path: Path) -> None:
    """Raise InputError where no list, table or screen can hold the name of a file or folder."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{ascii(path.name)[1:-1]}: this name is not UTF-8; rename the file or folder") from None
    if not path.name.isprintable():
        raise InputError(f"{path.name!r}: this name holds control characters; rename the file or folder")


def check_case_name(name: str) -> None:
    """Raise InputError where files cannot be named after a case."""
    if not name or "\0" in name or Path(name).name != name:
        raise InputError(f"name {name!r}: a case's name begins the names of its files, so it cannot hold a folder")
    check_name(Path(name))
    if len(name.encode()) > LIMITS.name_bytes:
        raise InputError(
            f"name {name[:40]}...: longer than {LIMITS.name_bytes} bytes, so its results could not be named; "
            "choose a shorter one"
        )


def folders_below(root: Path) -> list[Path]:
    """Return a folder and all below it but hidden ones, through links too, each once.

    Raises:
        InputError: A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        if Path(error.filename).name != "lost+found":
            raise InputError(f"{error.filename}: permission denied; change its permissions or move it away")

    found: dict[str, Path] = {}
    waiting = [root]
    while waiting:
        # What lies there under its own name goes before what is linked to.
        links: list[Path] = []
        for top in waiting:
            for place, below, _ in os.walk(top, onerror=refuse):
                below[:] = [name for name in below if not name.startswith(".")]
                if found.setdefault(os.path.realpath(place), Path(place)) != Path(place):
                    below.clear()
                    continue
                links += [Path(place) / name for name in below if (Path(place) / name).is_symlink()]
        waiting = sorted(links)
    return sorted(found.values())


def find_cases(
    folder: str | Path, dataset: DatasetDescription | None = None, *, also: DatasetDescription | None = None
) -> list[Case]:
    """Return every case below a folder, of one or several datasets, sorted by name.

    The folder may be one case's own. Only names are read, and the table of patients that a release may have; a case
    with missing or doubled files is listed too and says so when it is checked. So is a case that is there twice, unless
    it has the name of a release.

    Args:
        folder: A case, a cohort, or several cohorts' folders.
        dataset: How the files are named. By default a ``dataset.json`` of the folder tells, else the names themselves,
            by which the packaged datasets are recognised.
        also: A dataset that is recognised before the packaged ones, such as that of a model.

    Raises:
        NoCaseError: There is no case in the folder.
        InputError: There is no such folder, it cannot be read, or a case of a release is there twice.
    """
    if not str(folder):
        raise InputError("the name of the folder is empty; name the folder of a case or a cohort")
    root = Path(folder)
    if root.is_file():
        raise InputError(f"{root}: is a file; name its folder, or the file of each channel")
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder")
    folders = folders_below(root)
    descriptions = [dataset] if dataset is not None else _descriptions(root, also)
    cases = _cases(_absolute(root), folders, descriptions)
    if not cases:
        raise NoCaseError(f"{root}: no case found ({_held(folders)}); expected {_expected(descriptions)}")
    tables = read_patient_tables((_absolute(root).parent, *folders), [c.dataset for c in cases if c.dataset])
    return sorted((_with_row(case, tables.get(case.id)) for case in cases), key=lambda case: case.id)


def _absolute(path: Path) -> Path:
    """With the names of the folders above it, which ``.`` hides; links are not followed."""
    return Path(os.path.abspath(path))


def _descriptions(root: Path, also: DatasetDescription | None) -> list[DatasetDescription]:
    """Datasets by which the files below a folder may be named, in order of preference."""
    own = _absolute(root)
    for place in (own, own.parent) if own.name in {"imagesTr", "imagesTs", "labelsTr", "labelsTs"} else (own,):
        if (place / "dataset.json").is_file():
            return [describe_folder(place, packaged_descriptions())]
    known = [description for description in packaged_descriptions().values() if description.recognise]
    return known if also is None or also.generic else [also, *known]


def _held(folders: Sequence[Path]) -> str:
    """Say which files there are, for an error."""
    names: list[str] = []
    for folder in folders:
        _, _, files = next(os.walk(folder), ("", [], []))  # nothing where it cannot be read
        names += sorted(name for name in files if not name.startswith("."))
    if not names:
        return "there is no file in it"
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"it holds {names[0]}{others}"


def _expected(descriptions: Sequence[DatasetDescription]) -> str:
    """Examples of names, for an error."""
    alone = len(descriptions) == 1 and not descriptions[0].generic
    layout = descriptions[0].files if alone else packaged_descriptions()["brats2021"].files
    names = [given if isinstance(given, str) else given[0] for given in layout.channels.values()]
    files = ", ".join(name.partition("#")[0].replace("{case}", "<case>") + ".nii.gz" for name in names)
    others = "" if len(descriptions) == 1 else ", the names of a known dataset, or BIDS names"
    return f"files named {files}{others}; or name the file of each channel"


_Files = list[tuple[Path, Match]]
"""Files, and what their names say."""

_Given = list[tuple[Path, int | None, int]]
"""Files that fit one channel or the reference, each with its volume and the rank of its template."""


_Groups = dict[tuple[Path, str], _Files]
"""Folder from which the templates count, and name of the case -> files that share both."""


def _cases(root: Path, folders: Sequence[Path], descriptions: Sequence[DatasetDescription]) -> list[Case]:
    """Cases of the files in some folders; files of one case share the folder from which its templates count."""
    found: _Files = []
    unknown: dict[Path, list[Path]] = {}
    for folder in folders:
        place = _absolute(folder)
        for name in _image_names(folder):
            check_name(Path(name))
            match = match_file(place / name, descriptions)
            if match is not None:
                check_name(Path(match.case))
                found.append((folder / name, match))
            else:
                unknown.setdefault(folder, []).append(folder / name)
    grouped: _Groups = {}
    for path, match in without_derivatives(found, root):
        grouped.setdefault((match.root, match.case), []).append((path, match))
    cases: dict[str, Case] = {}
    for (folder, name), files in _told_apart(_joined(grouped), root).items():
        if name in cases:
            fault = f"{folder}: case {name} is there twice, also in {_folder(cases[name])}; name one folder"
            if not any(match.description.generic or is_bids(match) for _, match in files):
                raise InputError(fault)  # a release is there twice, or two that share patients
            cases[name] = replace(cases[name], faults={fault: "", **cases[name].faults})
            continue
        case = _case(name, files)
        visited = visited_patient(folder, root) if _is_generic(files) else None
        if visited is not None and name.startswith(visited) and case.dataset is not None:
            case = replace(case, patient_id=patient_of(visited, case.dataset)[0] or None)
        cases[name] = replace(case, findings=(*case.findings, *_unused(case, unknown)))
    return list(cases.values())


def _unused(case: Case, unknown: Mapping[Path, Sequence[Path]]) -> tuple[Finding, ...]:
    """Return a warning where a case lacks a sequence, and an image lies in its folder whose name says none."""
    needed = set() if case.dataset is None else {*case.dataset.channel_names}
    if not case.images or needed <= case.images.keys():
        return ()
    count = sum(not was_written_here(path) for path in unknown.get(_folder(case), ()))
    if not count:
        return ()
    images, names = ("1 image lies", "name says") if count == 1 else (f"{count} images lie", "names say")
    message = (
        f"{images} in its folder whose {names} no known sequence; rename it like the others, or give the file of each "
        "sequence, such as --t1"
    )
    return (Finding("unused-image", "warning", message),)


def _image_names(folder: Path) -> list[str]:
    """Names of the images of a folder but hidden ones, sorted; of a pair of ``.hdr`` and ``.img`` the first."""
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries if entry.name.lower().endswith(ENDINGS) and not os.path.isdir(entry)}
    second = {name for name in names if name.endswith(".img") and f"{name.removesuffix('.img')}.hdr" in names}
    return sorted(name for name in names - second if not name.startswith("."))


def _folder(case: Case) -> Path:
    return next(path for path in (*case.images.values(), case.reference) if path is not None).parent


def _joined(grouped: _Groups) -> _Groups:
    """References may lie in folders of their own, as the derivatives of BIDS do: they join the images of their case."""
    joined = dict(grouped)
    for keys in _by_name(grouped):
        alone = [key for key in keys if all(_is_reference(match) for _, match in grouped[key])]
        others = [key for key in keys if key not in alone]
        if len(others) == 1:
            joined[others[0]] = [file for key in (others[0], *alone) for file in joined.pop(key)]
    return joined


def _told_apart(grouped: _Groups, root: Path) -> _Groups:
    """Files of no known dataset that have the same names in several folders are called by their folders.

    Folders of the same name, and those that are visits by their names, are called by the folder above them too.
    """
    shared = Counter(folder for folder, _ in grouped)
    names = {key: key[1] for key in grouped}
    for keys in _by_name(grouped):
        generic = all(_is_generic(grouped[key]) for key in keys)
        if len(keys) > 1 and generic and all(shared[folder] == 1 for folder, _ in keys):
            names |= {key: key[0].name for key in keys}
    counts = Counter(names.values())
    for (folder, name), called in list(names.items()):
        if called == folder.name and shared[folder] == 1 and _is_generic(grouped[folder, name]):
            twice = counts[called] > 1 and root in folder.parent.parents
            if twice or visited_patient(folder, root) is not None:
                names[folder, name] = f"{folder.parent.name}_{called}"
    return {(folder, names[folder, name]): found for (folder, name), found in grouped.items()}


def _is_generic(files: _Files) -> bool:
    return all(match.description.generic for _, match in files)


def _by_name(grouped: Iterable[tuple[Path, str]]) -> Iterable[list[tuple[Path, str]]]:
    """Folders and names, together where the name is the same."""
    found: dict[str, list[tuple[Path, str]]] = {}
    for key in grouped:
        found.setdefault(key[1], []).append(key)
    return found.values()


def _is_reference(match: Match) -> bool:
    return match.roles[0][0] == REFERENCE


def _case(name: str, found: _Files) -> Case:
    """One case, of the first dataset that is not for anyone's files; what does not fit that dataset is left out."""
    matches = [match for _, match in found]
    images = [match for match in matches if not _is_reference(match)] or matches
    first = next((match for match in images if not match.description.generic), images[0])
    files: dict[str, _Given] = {}
    for path, match in found:
        same = match if match.description is first.description else match_file(_absolute(path), [first.description])
        for role, volume in same.roles if same is not None and same.case == match.case else ():
            files.setdefault(role, []).append((path, volume, same.rank if same is not None else 0))
    faults, findings = {}, []
    for role, given in files.items():
        best = files[role] = _preferred(role, given)
        # Findings name no patient.
        taken, *others = (
            unicodedata.normalize("NFC", path.name).replace(matches[0].case, "<case>")
            for path, _, _ in (*best, *(one for one in given if one not in best))
        )
        if len(best) > 1:
            faults[_doubled(role, [path for path, _, _ in best])] = role
        elif len(given) > 1:
            findings.append(Finding("several-files", "note", f"{role}: {taken} was taken, not {listed(others, 'or')}"))
        elif role == REFERENCE and first.description.name == "bids":
            findings.append(Finding("reference", "note", f"{taken} was taken as the reference"))
    reference = files.pop(REFERENCE, [(None, None, 0)])[0][0]
    patient, site = patient_of(name, first.description)
    grades = first.description.files.grades
    return Case(
        name,
        {channel: given[0][0] for channel, given in files.items()},
        reference,
        {channel: volume for channel, ((_, volume, _), *_) in files.items() if volume is not None},
        patient or None,
        site,
        next((part for part in (first.root.parent.name, first.root.name) if part in grades), None),
        first.description,
        faults,
        findings=tuple(findings),
    )


def _preferred(role: str, given: _Given) -> _Given:
    """Of several images of a channel in one folder, that of the first template, or with BIDS of the last run."""
    if role == REFERENCE or len({path.parent for path, _, _ in given}) > 1:
        return given
    first = min(rank for _, _, rank in given)
    best = [one for one in given if one[2] == first]
    orders = [entity_order(path) for path, _, _ in best]
    known = [order for order in orders if order is not None]
    if len(known) < len(best):
        return best
    return [one for one, order in zip(best, known, strict=True) if order == min(known)]


def _doubled(role: str, paths: Sequence[Path]) -> str:
    folder = paths[0].parent
    names = [path.name if path.parent == folder else str(path) for path in paths]
    return f"{folder}: {role} is given twice, as {' and '.join(names)}; keep one"


def _with_row(case: Case, row: PatientRow | None) -> Case:
    if row is None:
        return case
    return replace(case, grade=case.grade or row.grade, patient_id=row.patient or case.patient_id)


def case_from_files(
    images: Mapping[str, Path],
    description: DatasetDescription,
    *,
    name: str | None = None,
    missing: Missing = "raise",
) -> Case:
    """Return the case of files that are given one by one.

    Args:
        images: Channel -> file, for every channel of ``description``.
        description: The channels that are needed.
        name: What to call the case; by default as the name of the first file says.
        missing: ``allow`` accepts one channel.

    Raises:
        InputError: A channel is unknown or missing, a file is not there or given twice, or the names say that the
            files are of two cases or of other channels.
    """
    channels = description.channel_names
    unknown = sorted(set(images) - set(channels))
    if unknown:
        raise InputError(f"unknown channel {unknown[0]!r}; choose from {', '.join(channels)}")
    if name is not None:
        check_case_name(name)
    known = [found for found in packaged_descriptions().values() if found.recognise]
    matches = {
        channel: match
        for channel, path in images.items()
        if (match := match_file(_absolute(path), [description, *known])) is not None
    }
    first = next((channel for channel in channels if channel in images), None)
    match = matches.get(first) if first else None
    stem = image_stem(images[first]) if first else None
    volumes = {
        channel: volume
        for channel, found in matches.items()
        for role, volume in found.roles
        if role == channel and volume is not None
    }
    called = unicodedata.normalize("NFC", name or (match.case if match else stem) or "patient")
    case = Case(called, dict(images), volumes=volumes, dataset=_told(match))
    case.check(channels, missing=missing)
    _check_names(images, matches)
    return case


def _told(match: Match | None) -> DatasetDescription | None:
    return match.description if match and not match.description.generic else None


def _check_names(images: Mapping[str, Path], matches: Mapping[str, Match]) -> None:
    """Raise InputError where the names of files contradict what they are given as."""
    said = {channel: match.roles[0][0] for channel, match in matches.items()}
    # A name of no dataset may end in t1 for a contrast-enhanced T1; that all are exchanged is clear all the same.
    exchanged = sorted(said.values()) == sorted(images)
    for channel, role in said.items():
        generic = matches[channel].description.generic
        if role != channel and len(matches[channel].roles) == 1 and (not generic or role == REFERENCE or exchanged):
            raise InputError(f"{images[channel]}: is given as {channel}, but its name says {role}")
    own = {match.case: images[channel] for channel, match in matches.items() if not match.description.generic}
    if len(own) > 1:
        raise InputError(f"{' and '.join(map(str, own.values()))}: are of two cases; give files of one case")
