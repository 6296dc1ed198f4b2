"""Is a folder ready for a BraTS challenge's upload? Every case, name, value and grid is looked at; then the zip."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunetseg.datasets import (
    FILE_WORDS,
    GLIOMA_REGIONS,
    Case,
    LabelScheme,
    find_cases,
    is_map_name,
    read_case_list,
    scheme_named,
)
from tunetseg.datasets.layouts import nifti_stem
from tunetseg.errors import InputError
from tunetseg.io.files import check_target, whole_file
from tunetseg.io.volume import Grid, check_same_grid, read_image, read_label_map

__all__ = ["SubmissionCheck", "check_submission", "write_zip"]

_BRATS_SHAPE = (240, 240, 155)


@dataclass(frozen=True)
class SubmissionCheck:
    """What was looked at.

    Args:
        cases: All that should be there.
        files: All that goes into the zip, if nothing is at fault.
        faults: One sentence each.
        passed_over: Files of the folder that are no part of a submission.
    """

    cases: tuple[str, ...]
    files: tuple[Path, ...]
    faults: tuple[str, ...]
    passed_over: tuple[str, ...]


def check_submission(
    folder: str | Path,
    *,
    cohort: str | Path | None = None,
    cases: str | Path | None = None,
    year: str = "2020",
    uncertainty: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> SubmissionCheck:
    """Check a folder of ``<case>.nii.gz`` and, for task 3 of 2019 and 2020, ``<case>_unc_<region>.nii.gz``.

    Args:
        folder: What ``tunet segment`` wrote.
        cohort: The patients' images, whose cases must all be there, on the same grid.
        cases: Text file of the cases that must be there; without it the cohort's, and without that those found.
        year: Whose label values are wanted.
        uncertainty: The uncertainty maps must be there too.
        progress: Called after each case.

    Raises:
        InputError: The folder, the list, the year or the cohort cannot be used at all.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"{place}: there is no such folder")
    scheme = scheme_named(year)
    patients = {case.id: case for case in find_cases(cohort)} if cohort is not None else {}
    wanted = _wanted(place, patients, cases)
    words = [FILE_WORDS.get(region, region) for region in GLIOMA_REGIONS] if uncertainty else []
    faults: list[str] = []
    files: list[Path] = []
    for case in wanted:
        maps = [place / f"{case}_unc_{word}.nii.gz" for word in words]
        label_map = place / f"{case}.nii.gz"
        faults += _faults_of_case(label_map, maps, patients.get(case), scheme)
        files += [label_map, *maps]
        progress()
    extra = {path for path in place.iterdir() if not path.name.startswith(".")} - set(files)
    stray = {path for path in extra if (stem := nifti_stem(path)) is not None and not is_map_name(stem)}
    faults += [f"{path}: is no case that is wanted" for path in sorted(stray)]
    passed_over = tuple(sorted(path.name for path in extra - stray))
    return SubmissionCheck(tuple(wanted), tuple(files), tuple(faults), passed_over)


def _wanted(folder: Path, patients: dict[str, Case], cases: str | Path | None) -> list[str]:
    if cases is not None:
        wanted = read_case_list(cases)
        unknown = sorted(set(wanted) - set(patients)) if patients else []
        if unknown:
            raise InputError(f"{cases}: {unknown[0]} is not in the cohort")
    else:
        found = (path.name.removesuffix(".nii.gz") for path in folder.glob("[!.]*.nii.gz"))
        wanted = list(patients) or [case for case in found if not is_map_name(case)]
    if not wanted:
        raise InputError(f"{folder}: no case is wanted or found; expected <case>.nii.gz")
    return sorted(wanted)


def _faults_of_case(label_map: Path, maps: list[Path], patient: Case | None, scheme: LabelScheme) -> list[str]:
    """What is wrong with one case's files, one sentence a file."""
    faults = []
    grid: Grid | None = None
    if patient is not None:
        if not patient.images:
            return [f"{patient.id}: the cohort has no image of it, so its grid is unknown"]
        source = next(iter(patient.images.values()))
        grid = read_image(source)[1]
    try:
        found = read_label_map(label_map)
        scheme.check(np.unique(found.array).tolist(), str(label_map))
        if grid is None:
            if found.grid.shape != _BRATS_SHAPE:
                raise InputError(f"{label_map}: shape {found.grid.shape}, but BraTS has {_BRATS_SHAPE}")
            grid, source = found.grid, label_map
        check_same_grid(label_map, found.grid, source, grid)
    except InputError as fault:
        faults.append(str(fault))
    for path in maps:
        try:
            array, own = read_image(path)
            if array.min() < 0 or array.max() > 100:
                raise InputError(f"{path}: holds {array.min():g} to {array.max():g}; uncertainty runs from 0 to 100")
            if grid is not None:
                check_same_grid(path, own, source, grid)
        except InputError as fault:
            faults.append(str(fault))
    return faults


def write_zip(check: SubmissionCheck, out: str | Path) -> Path:
    """Pack the files flat, as the platform wants them; appears only when complete.

    Raises:
        InputError: Something is at fault, or the name does not end in ``.zip``.
    """
    target = check_target(out, ".zip")
    if check.faults:
        raise InputError(f"{target}: not written, for {len(check.faults)} files are at fault; {check.faults[0]}")
    # The files are compressed already.
    with whole_file(target) as partial, zipfile.ZipFile(partial, "w", strict_timestamps=False) as archive:
        for path in check.files:
            archive.write(path, path.name)
    return target
