"""Check a folder as a challenge would before an upload - every case, name, value, grid and header - and zip it."""

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from tunetseg.datasets import (
    Case,
    DatasetDescription,
    LabelScheme,
    candidate_schemes,
    find_cases,
    find_description,
    nifti_stem,
    packaged_descriptions,
    prediction_name,
    present_labels,
    read_case_list,
    recognise_labels,
)
from tunetseg.errors import InputError
from tunetseg.evaluation.labels import choose_scheme, manifest_scheme, to_scheme
from tunetseg.evaluation.naming import is_map_name, names_of_folder
from tunetseg.io import Image, check_same_lattice, read_image, read_label_map
from tunetseg.io.files import check_target, read_json, whole_file
from tunetseg.io.quiet import quiet_nibabel
from tunetseg.progress import Progress, silent

__all__ = ["NAME_PATTERNS", "SubmissionCheck", "check_submission", "write_zip"]

_SCAN = r"(\d{5}-\d{3})\.nii\.gz$"

NAME_PATTERNS = {"2024": _SCAN, "2025": _SCAN, "2026": _SCAN}
"""Regular expression that the challenge of a year searches in every name of an upload; its group is the scan.

From the validation scripts of the challenge's platform (``Sage-Bionetworks-Challenges/brats-infra``); one scan may
occur only once, and a single name that does not fit makes the upload invalid.
"""

_TEXTS = ("db_name", "aux_file", "intent_name", "descrip")
"""Fields of a NIfTI header that hold text."""

_OF_PROGRAMS = re.compile(rb"(FSL|SPM|ITK|ANTs|AFNI|tunetseg|nibabel|\d+(\.\d+)+(:\w+)?$)")
"""How a description begins that a program has written of itself."""

_GZIP_EXTRA, _GZIP_NAME = 4, 8
"""Flags of the header of gzip."""


@dataclass(frozen=True)
class SubmissionCheck:
    """Result of checking a folder.

    Args:
        cases: All cases that must be there.
        files: Name in the zip -> file, for all files that belong to the submission.
        faults: What is wrong, one sentence each.
        left_out: Files of the folder that do not belong to a submission.
        labels: Label scheme that was checked for; None where the values were recognised file by file.
    """

    cases: tuple[str, ...]
    files: dict[str, Path]
    faults: tuple[str, ...]
    left_out: tuple[str, ...]
    labels: str | None


@dataclass(frozen=True)
class _Entry:
    """One case of a submission: its dataset, its patient's images, and the files that must be there."""

    case: str
    dataset: DatasetDescription
    patient: Case | None
    stem: str
    label_map: Path
    maps: dict[str, Path]

    @property
    def files(self) -> dict[str, Path]:
        """Name in the zip -> file."""
        return {f"{self.stem}.nii.gz": self.label_map, **self.maps}


def check_submission(
    folder: str | Path,
    *,
    cohort: str | Path | None = None,
    cases: str | Path | Iterable[str] | None = None,
    dataset: str | Path | DatasetDescription | None = None,
    labels: str | Path | LabelScheme | None = None,
    uncertainty: bool = False,
    challenge: str | None = None,
    progress: Progress = silent,
) -> SubmissionCheck:
    """Check a folder of predicted label maps and, for BraTS' task 3 of 2019 and 2020, uncertainty maps.

    Args:
        folder: Label maps named as the dataset names predictions, or ``<case>.nii.gz``.
        cohort: The patients' images, whose cases must all be there, on the same grid.
        cases: Cases that must be there: names, or a text file of names; by default those of the cohort, else those
            that are found.
        dataset: Dataset of the challenge: a name, a ``.toml`` file, or a description; by default the names of the
            cases say.
        labels: Dataset or scheme of the label values that are wanted; by default those that the manifests next to
            the label maps say, else the dataset's.
        uncertainty: The uncertainty maps must be there too.
        challenge: Year of a BraTS challenge in `NAME_PATTERNS`, whose names every file must have.
        progress: Called with ``"checking"`` after each case.

    Returns:
        Files and faults.

    Raises:
        InputError: The folder, the list, a name or the cohort cannot be used at all, or the folder mixes label values.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"{place}: there is no such folder")
    if challenge is not None and challenge not in NAME_PATTERNS:
        raise InputError(f"unknown challenge {challenge!r}; choose from {', '.join(NAME_PATTERNS)}")
    description = dataset if dataset is None or isinstance(dataset, DatasetDescription) else find_description(dataset)
    patients = {case.id: case for case in find_cases(cohort, description)} if cohort is not None else {}
    only = read_case_list(cases) if isinstance(cases, str | Path) else cases
    entries = [
        _entry(place, case, patients.get(case), description, uncertainty)
        for case in _wanted(place, patients, only, description)
    ]
    scheme = to_scheme(labels) if labels is not None else _wanted_scheme(place, entries)
    faults: list[str] = []
    values: set[int] = set()
    for number, entry in enumerate(entries, 1):
        faults += _check_case(entry, scheme, values)
        progress("checking", number, len(entries))
    if scheme is None and not faults:
        faults += _check_together(place, values)
    files = {name: path for entry in entries for name, path in entry.files.items()}
    if challenge is not None:
        faults += _check_names(files, challenge)
    others = {path for path in place.iterdir() if not path.name.startswith(".")} - set(files.values())
    unwanted = {path for path in others if (stem := nifti_stem(path)) and not is_map_name(stem, description)}
    faults += [f"{path}: is not one of the cases that are wanted; remove it" for path in sorted(unwanted)]
    left_out = tuple(sorted(path.name for path in others - unwanted))
    return SubmissionCheck(
        tuple(entry.case for entry in entries), files, tuple(faults), left_out, scheme.name if scheme else None
    )


def _check_names(files: Mapping[str, Path], challenge: str) -> list[str]:
    """Return the names in the zip that the challenge of a year would refuse, one sentence each."""
    faults = []
    scans: dict[str, Path] = {}
    for name, path in files.items():
        found = re.search(NAME_PATTERNS[challenge], name)
        if found is None:
            faults.append(
                f"{path}: the challenge of {challenge} takes only names that end like 00001-000.nii.gz; rename it"
            )
        elif scans.setdefault(found[1], path) is not path:
            faults.append(f"{path}: is scan {found[1]} like {scans[found[1]]}; a scan may be there only once")
    return faults


def _wanted(
    folder: Path, patients: Mapping[str, Case], only: Iterable[str] | None, dataset: DatasetDescription | None
) -> list[str]:
    if only is not None:
        wanted = set(only)
        unknown = sorted(wanted - set(patients)) if patients else []
        if unknown:
            raise InputError(f"{folder}: case {unknown[0]} is wanted but not in the cohort; correct the list of cases")
    elif patients:
        wanted = set(patients)
    else:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
        wanted = {case for case, _ in names_of_folder(folder, dataset).label_maps(paths).values()}
    if not wanted:
        raise InputError(f"{folder}: no case is wanted or found; expected <case>.nii.gz")
    return sorted(wanted)


def _entry(
    folder: Path, case: str, patient: Case | None, dataset: DatasetDescription | None, uncertainty: bool
) -> _Entry:
    description = dataset or (patient.dataset if patient is not None else None) or _dataset_of(case)
    stem = prediction_name(case, description)
    stored = next((name for name in (stem, case) if (folder / f"{name}.nii.gz").exists()), stem)
    words = [region.word for region in description.regions] if uncertainty else []
    maps = {f"{stem}_unc_{word}.nii.gz": folder / f"{stored}_unc_{word}.nii.gz" for word in words}
    return _Entry(case, description, patient, stem, folder / f"{stored}.nii.gz", maps)


def _dataset_of(case: str) -> DatasetDescription:
    """Return the dataset whose names of cases fit, else that of anyone's gliomas."""
    known = (found for found in packaged_descriptions().values() if found.recognise and not found.generic)
    return next((found for found in known if found.files.case_pattern.fullmatch(case)), find_description("glioma"))


def _wanted_scheme(folder: Path, entries: Sequence[_Entry]) -> LabelScheme | None:
    """Return the scheme that the manifests and the datasets agree on; None where neither say any.

    Raises:
        InputError: They do not agree.
    """
    cases: dict[str, str] = {}
    schemes: dict[str, LabelScheme] = {}
    for entry in entries:
        described = entry.dataset.scheme
        manifest = read_json(entry.label_map.with_name(f"{nifti_stem(entry.label_map)}.json"))
        named = manifest_scheme(manifest, [described], entry.label_map)
        for scheme in (named, described if not entry.dataset.label_candidates else None):
            if scheme is not None:
                schemes.setdefault(scheme.name, scheme)
                cases.setdefault(scheme.name, entry.case)
    if len(schemes) > 1:
        listed = " and ".join(f"those of {name} ({case})" for name, case in cases.items())
        raise InputError(f"{folder}: mixes label values, {listed}; name the ones that are wanted")
    return next(iter(schemes.values()), None)


def _check_case(entry: _Entry, scheme: LabelScheme | None, values: set[int]) -> list[str]:
    """Return what is wrong with the files of one case, one sentence per file; its label values are added to a set."""
    if entry.patient is not None and not entry.patient.images:
        return [f"{entry.case}: the cohort has no image of it, so its grid is unknown"]
    first: tuple[Path, Image] | None = _first_image(entry.patient) if entry.patient is not None else None
    faults = []
    try:
        label_map = read_label_map(entry.label_map)
        present = present_labels(label_map.array)
        candidates = [scheme] if scheme is not None else candidate_schemes(entry.dataset)
        choose_scheme(entry.label_map, present, "values", candidates)
        values.update(present)
        _check_header(entry.label_map)
        if first is None:
            _check_shape(entry, label_map)
            first = entry.label_map, label_map
        _check_stored_alike(entry.label_map, label_map, *first)
    except InputError as fault:
        faults.append(str(fault))
    for path in entry.maps.values():
        try:
            _check_map(path, first)
        except InputError as fault:
            faults.append(str(fault))
    return faults


def _first_image(patient: Case) -> tuple[Path, Image]:
    channel, path = next(iter(patient.images.items()))
    return path, read_image(path, volume=patient.volumes.get(channel))


def _check_shape(entry: _Entry, label_map: Image) -> None:
    shape = entry.dataset.files.shape
    if shape is not None and label_map.stored.shape != shape:
        raise InputError(
            f"{entry.label_map}: shape {label_map.stored.shape}, but {entry.dataset.title or entry.dataset.name} has "
            f"{shape}; bring it to the patient's grid"
        )


def _check_map(path: Path, first: tuple[Path, Image] | None) -> None:
    image = read_image(path)
    low, high = float(np.min(image.array)), float(np.max(image.array))
    if low < 0 or high > 100:
        raise InputError(f"{path}: holds {low:g} to {high:g}; uncertainty runs from 0 to 100")
    _check_header(path)
    if first is not None:
        _check_stored_alike(path, image, *first)


def _check_stored_alike(path: Path, image: Image, first_path: Path, first: Image) -> None:
    """Raise InputError unless two files store the same lattice in the same order: challenges compare raw arrays."""
    check_same_lattice(path, image.stored, first_path, first.stored)
    if image.stored.axes != first.stored.axes:
        raise InputError(
            f"{path}: its axes are stored as {image.stored.axes}, but those of {first_path} as {first.stored.axes}; "
            "store it in the same order"
        )


def _check_header(path: Path) -> None:
    """Raise InputError where a header holds text that an image copied from the scanner's, such as a patient's name."""
    with quiet_nibabel():
        header = nib.load(path).header
    if not isinstance(header, nib.Nifti1Header):
        return
    texts = {name: bytes(header[name].tobytes()).rstrip(b"\0 ") for name in _TEXTS}
    filled = [
        f"{name} ({text.decode(errors='replace')})"
        for name, text in texts.items()
        if text and not (name == "descrip" and _OF_PROGRAMS.match(text))
    ]
    name = _gzip_name(path)
    if name not in {"", path.name.removesuffix(".gz")}:
        filled.append(f"the name of another file ({name})")
    if len(header.extensions):
        filled.append(f"{len(header.extensions)} header extension(s)")
    if filled:
        raise InputError(
            f"{path}: its header holds {' and '.join(filled)}, which may identify the patient; write the file again "
            "without them"
        )


def _gzip_name(path: Path) -> str:
    """Return the file name that a compressed file holds; empty where it holds none."""
    with path.open("rb") as file:
        start = file.read(2048)
    if start[:2] != b"\x1f\x8b" or not start[3] & _GZIP_NAME:
        return ""
    begin = 12 + int.from_bytes(start[10:12], "little") if start[3] & _GZIP_EXTRA else 10
    return start[begin:].partition(b"\0")[0].decode("latin-1")


def _check_together(folder: Path, values: set[int]) -> list[str]:
    """Return what is wrong with the label values of all files together, of which each alone is recognised."""
    try:
        recognise_labels(values, candidate_schemes(find_description("glioma")), str(folder))
    except InputError as fault:
        return [str(fault)]
    return []


def write_zip(check: SubmissionCheck, out: str | Path) -> Path:
    """Zip the files without folders, as challenges want them; the zip appears only when complete.

    Args:
        check: Of the folder.
        out: Ends in ``.zip``.

    Returns:
        The zip.

    Raises:
        InputError: The check found faults, or the name does not end in ``.zip``.
    """
    target = check_target(out, ".zip")
    if check.faults:
        raise InputError(f"{target}: not written, because {len(check.faults)} fault(s) were found; {check.faults[0]}")
    # The files are compressed already.
    with whole_file(target) as partial, zipfile.ZipFile(partial, "w", strict_timestamps=False) as archive:
        for name, path in check.files.items():
            archive.write(path, name)
    return target
