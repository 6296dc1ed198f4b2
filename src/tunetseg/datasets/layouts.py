"""Finding cases in the folders of BraTS 2017 to 2023 as they were released."""

import csv
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tunetseg.datasets.case import MODALITIES, Case
from tunetseg.errors import InputError

__all__ = [
    "LAYOUTS",
    "Layout",
    "NoCaseError",
    "case_from_files",
    "check_name",
    "find_cases",
    "folders_below",
    "nifti_stem",
]


class NoCaseError(InputError):
    """A folder holds no file that is named like a case's."""


@dataclass(frozen=True)
class Layout:
    """How one dataset names its cases and files.

    Args:
        dataset: Name for people.
        case: Pattern of a case's name; its group ``patient`` is the same for all of a patient's cases.
        labels: Label scheme of its segmentations; None where the values must tell.
        separator: Between the case's name and the suffix.
        suffixes: File suffix -> modality, or ``seg``.
        numbering: Datasets of one numbering share patients; a patient is known by numbering and number.
        strays: Segmentations with a name of their own: case -> file name.
    """

    dataset: str
    case: re.Pattern[str]
    labels: str | None
    separator: str
    suffixes: dict[str, str]
    numbering: str
    strays: dict[str, str]

    def patient(self, match: re.Match[str]) -> str:
        """The patient of a matched case; 2018 put a site's number behind the ``TCIA`` of 2017's names."""
        name = re.sub(r"^TCIA[0-9]+_", "TCIA_", match["patient"]) if self.numbering == "named" else match["patient"]
        return f"{self.numbering}/{name}"


_OLD = {"t1": "t1", "t1ce": "t1ce", "t2": "t2", "flair": "flair", "seg": "seg"}
_NEW = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair", "seg": "seg"}


def _layout(
    dataset: str,
    case: str,
    labels: str | None,
    *,
    separator: str = "_",
    suffixes: dict[str, str] = _OLD,
    numbering: str = "",
    strays: dict[str, str] | None = None,
) -> Layout:
    return Layout(dataset, re.compile(case), labels, separator, suffixes, numbering or dataset, strays or {})


_NAME_MAPPING = "name_mapping.csv"
_OF_2020 = "BraTS 2020"
"""Of this dataset alone the mapping tells what the names do not."""

LAYOUTS = (
    # 2017 to 2019 kept their patients' names but for a site's number, 2021 and 2023 their numbers: a patient is known
    # across them.
    _layout("BraTS 2017", r"Brats17_(?P<patient>.+)_\d+", "brats2017", numbering="named"),
    _layout("BraTS 2018", r"Brats18_(?P<patient>.+)_\d+", "brats2017", numbering="named"),
    _layout("BraTS 2019", r"BraTS19_(?P<patient>.+)_\d+", "brats2017", numbering="named"),
    # The segmentation of case 355 was released under another name, and many lose the case.
    _layout(
        _OF_2020,
        r"BraTS20_(?P<patient>(Training|Validation)_\d+)",
        "brats2017",
        strays={"BraTS20_Training_355": "W39_1998.09.19_Segm.nii"},
    ),
    _layout("BraTS 2021", r"BraTS2021_(?P<patient>\d+)", "brats2017", numbering="numbered"),
    _layout(
        "BraTS 2023",
        r"BraTS-GLI-(?P<patient>\d+)-\d+",
        "brats2023",
        separator="-",
        suffixes=_NEW,
        numbering="numbered",
    ),
    # Anyone's files in either style; their labels are told by the values.
    _layout("other", r"(?P<patient>.+)", None),
    _layout("other", r"(?P<patient>.+)", None, separator="-", suffixes=_NEW),
)


def _absolute(path: Path) -> Path:
    """With the names of the folders above it, which ``.`` hides; links are not followed."""
    return Path(os.path.abspath(path))


def nifti_stem(path: Path) -> str | None:
    """Name without ``.nii`` or ``.nii.gz``; None for any other file."""
    for ending in (".nii.gz", ".nii"):
        if path.name.endswith(ending) and path.name != ending:
            return path.name.removesuffix(ending)
    return None


def check_name(path: Path) -> None:
    """Raise InputError where a file's name is not UTF-8, so that no list or table can hold it."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{ascii(path.name)[1:-1]}: a file's name that is not UTF-8; rename it") from None


def _split(path: Path) -> tuple[str, str, Layout] | None:
    """Case name, modality (or ``seg``) and layout of a file, or None if its name fits no layout."""
    for layout in LAYOUTS:
        for suffix, modality in layout.suffixes.items():
            for ending in (".nii.gz", ".nii"):
                name = path.name.removesuffix(f"{layout.separator}{suffix}{ending}")
                if name != path.name and layout.case.fullmatch(name):
                    return name, modality, layout
    case = _absolute(path).parent.name
    for layout in LAYOUTS:
        if path.name.removesuffix(".gz") == layout.strays.get(case):
            return case, "seg", layout
    return None


class _Named(NamedTuple):
    """What the ``name_mapping.csv`` of BraTS 2020 says of a case: its grade, and its patient by an earlier name."""

    grade: str | None
    patient: str | None


def _told_by_mapping(case: Case, named: dict[str, _Named]) -> Case:
    grade, patient = named.get(case.id, (None, None))
    return replace(case, grade=case.grade or grade, patient=patient or case.patient)


def _read_name_mapping(path: Path) -> dict[str, _Named]:
    """What a mapping says of each case of BraTS 2020; nothing where there is none."""
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}), so patients and grades are unknown; repair it") from None
    if rows and not any(re.fullmatch(r"BraTS_\d{4}_subject_ID", str(column)) for column in rows[0]):
        raise InputError(f"{path}: no column BraTS_2020_subject_ID; save it with commas, as it was released")
    found = {}
    for row in rows:
        patient = None
        for layout in (layout for layout in LAYOUTS if layout.numbering == "named"):
            match = layout.case.fullmatch(row.get(f"{layout.dataset.replace(' ', '_')}_subject_ID") or "")
            patient = layout.patient(match) if match else patient
        found[row.get("BraTS_2020_subject_ID") or ""] = _Named(row.get("Grade") or None, patient)
    return found


def _cases_in(folder: Path) -> list[Case]:
    """Cases whose files lie directly in one folder."""
    found: dict[str, dict[str, list[Path]]] = {}
    layouts: dict[str, Layout] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.name.endswith((".nii", ".nii.gz")) or path.is_dir():
            continue
        check_name(path)
        parts = _split(path)
        if parts is not None:
            name, modality, layout = parts
            found.setdefault(name, {}).setdefault(modality, []).append(path)
            layouts[name] = layout
    here = _absolute(folder)
    grade = next((part.name for part in (here.parent, here) if part.name in {"HGG", "LGG"}), None)
    cases = []
    for name, files in found.items():
        layout = layouts[name]
        match = layout.case.fullmatch(name)
        assert match is not None
        faults = tuple(
            f"{folder}: {modality} is given twice, as {' and '.join(path.name for path in paths)}; keep one"
            for modality, paths in files.items()
            if len(paths) > 1
        )
        first = {modality: paths[0] for modality, paths in files.items()}
        segmentation = first.pop("seg", None)
        patient = layout.patient(match)
        cases.append(Case(name, first, segmentation, patient, grade, layout.labels, faults))
    return cases


def folders_below(root: Path) -> list[Path]:
    """A folder and all below it but hidden ones, such as a disk's bin, through links too, each once."""

    def refuse(error: OSError) -> None:
        if Path(error.filename).name != "lost+found":
            raise InputError(f"{error.filename}: you may not look into it; change its permissions or move it away")

    found: dict[Path, Path] = {}
    waiting = [root]
    while waiting:
        # What lies there under its own name goes before what is linked to.
        links: list[Path] = []
        for top in waiting:
            for place, below, _ in os.walk(top, onerror=refuse):
                below[:] = [name for name in below if not name.startswith(".")]
                if found.setdefault(Path(place).resolve(), Path(place)) != Path(place):
                    below.clear()
                    continue
                links += [Path(place) / name for name in below if (Path(place) / name).is_symlink()]
        waiting = sorted(links)
    return sorted(found.values())


def find_cases(folder: str | Path) -> list[Case]:
    """Every case below a folder, one or several years' releases, sorted by name.

    The folder may be one case's own. Only names are read, and the ``name_mapping.csv`` of BraTS 2020, which tells
    grades and the patients' names of the years before; a case with missing or doubled files is listed too and says so
    when it is checked.

    Raises:
        NoCaseError: No case in the folder.
        InputError: No such folder, or two cases of one name.

    Tip:
        The names decide, not the folders: any tree of ``<case>_t1.nii.gz`` (or ``<case>-t1n.nii.gz``) works.
    """
    root = Path(folder)
    if root.is_file():
        raise InputError(f"{root}: is a file; give its folder, or all four files with --t1 --t1ce --t2 --flair")
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder")
    cases: dict[str, Case] = {}
    folders = folders_below(root)
    for inner in folders:
        for case in _cases_in(inner):
            if case.id in cases:
                raise InputError(f"{inner}: case {case.id} is there twice; remove one of its folders")
            cases[case.id] = case
    if any(case.patient.startswith(_OF_2020) for case in cases.values()):
        named: dict[str, _Named] = {}
        for place in (_absolute(root).parent, *folders):
            named |= _read_name_mapping(place / _NAME_MAPPING)
        cases = {case.id: _told_by_mapping(case, named) for case in cases.values()}
    if not cases:
        raise NoCaseError(
            f"{root}: no case found; expected files named <case>_t1.nii.gz, _t1ce, _t2, _flair "
            "(or <case>-t1n.nii.gz, -t1c, -t2w, -t2f as in 2023), or name four files with --t1 --t1ce --t2 --flair"
        )
    return [cases[name] for name in sorted(cases)]


def case_from_files(images: dict[str, Path], case_id: str | None = None) -> Case:
    """Case of four files given by name; called like its T1 file unless a name is given.

    Raises:
        InputError: A modality is missing, a file is not there, or one is given twice, or the names tell that the
            files are of two cases or that one is of another modality.
    """
    unknown = sorted(set(images) - set(MODALITIES))
    if unknown:
        raise InputError(f"modality {unknown[0]!r}: there are only {', '.join(MODALITIES)}")
    if case_id is not None and (not case_id or Path(case_id).name != case_id):
        raise InputError(f"name {case_id!r}: a case's name begins its files' names, so it cannot hold a folder")
    parts = _split(images["t1"]) if "t1" in images else None
    own = parts[0] if parts else nifti_stem(images["t1"]) if "t1" in images else None
    case = Case(case_id or own or "patient", dict(images), labels=parts[2].labels if parts else None)
    case.check()
    _check_names(images)
    return case


def _check_names(images: dict[str, Path]) -> None:
    """Raise InputError where four files' names gainsay what they are given as: all of BraTS lies on one grid."""
    told = {modality: parts for modality, path in images.items() if (parts := _split(path)) is not None}
    # A name of no dataset may end in t1 for a T1 after contrast; that all four are exchanged is clear all the same.
    exchanged = sorted(said for _, said, _ in told.values()) == sorted(MODALITIES)
    for modality, (_, said, layout) in told.items():
        if said != modality and (layout.dataset != "other" or said == "seg" or exchanged):
            raise InputError(f"{images[modality]}: is given as {modality}, but its name says {said}")
    known = {name: images[modality] for modality, (name, _, layout) in told.items() if layout.dataset != "other"}
    if len(known) > 1:
        raise InputError(f"{' and '.join(map(str, known.values()))}: are of two cases; give four files of one")
