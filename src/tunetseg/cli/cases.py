"""The cases that the arguments of a command choose."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tunetseg.datasets import Case, DatasetDescription, case_from_files, find_patients, read_case_list, with_series
from tunetseg.errors import InputError
from tunetseg.progress import Progress, silent

__all__ = ["choose_cases", "images_by_channel", "series_by_channel"]


def images_by_channel(pairs: Sequence[str], flags: Mapping[str, Path | None]) -> dict[str, Path]:
    """Return channel -> file of ``--image CHANNEL=FILE`` and of the flags of single channels.

    Raises:
        InputError: A pair has no ``=``, or a channel is given twice.
    """
    images = {channel: path for channel, path in flags.items() if path is not None}
    for pair in pairs:
        channel, equals, path = pair.partition("=")
        if not equals or not channel or not path:
            raise InputError(f"--image {pair}: write it as CHANNEL=FILE, such as ct=scan.nii.gz")
        if channel in images:
            raise InputError(f"--image {pair}: {channel} is given twice")
        images[channel] = Path(path)
    return images


def series_by_channel(pairs: Sequence[str]) -> dict[str, str]:
    """Return channel -> number of its DICOM series, of ``--series CHANNEL=NUMBER``.

    Raises:
        InputError: A pair has no ``=``, or a channel is given twice.
    """
    series: dict[str, str] = {}
    for pair in pairs:
        channel, equals, key = pair.partition("=")
        if not equals or not channel or not key:
            raise InputError(f"--series {pair}: write it as CHANNEL=NUMBER, such as t1ce=7")
        if channel in series:
            raise InputError(f"--series {pair}: {channel} is given twice")
        series[channel] = key
    return series


def choose_cases(
    places: Sequence[Path],
    images: Mapping[str, Path],
    needed: DatasetDescription,
    *,
    name: str | None = None,
    only: Path | None = None,
    dataset: DatasetDescription | None = None,
    without: Sequence[str] = (),
    series: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> list[Case]:
    """Return the cases of folders and archives, or of files that are given one by one.

    Args:
        places: Case folders, cohort folders, folders or zip archives of DICOM files.
        images: Channel -> file, instead of folders.
        needed: Channels of the model.
        name: Name of the case of the files.
        only: Text file of case names; the others are left out.
        dataset: How files in the folders are named.
        without: Channels that are not used.
        series: Channel -> number of its DICOM series.
        progress: Called after every DICOM file.

    Raises:
        InputError: Neither or both are given, a channel is unknown, two folders have a case of one name, or a name of
            the list is missing.
    """
    if bool(places) == bool(images):
        raise InputError(
            "give either folders of patients, before any --model, or one file per channel with "
            "--t1 --t1ce --t2 --flair or --image CHANNEL=FILE"
        )
    for flag, channels in (("--without", without), ("--series", series or ())):
        unknown = next((channel for channel in channels if channel not in needed.channel_names), None)
        if unknown is not None:
            raise InputError(f"{flag} {unknown}: unknown channel; choose from {', '.join(needed.channel_names)}")
    if images:
        if only is not None or series:
            flag = "--series chooses among the series" if only is None else "--cases chooses among the cases"
            raise InputError(f"{flag} of folders, but single files are given; leave it out")
        return [with_series(case_from_files(images, needed, name=name, missing="allow").without(*without))]
    found = [
        (place, case)
        for place in places
        for case in find_patients(place, needed, dataset=dataset, without=without, series=series, progress=progress)
    ]
    if name is not None:
        if len(found) != 1:
            raise InputError(f"--name is for single files or one case, but {len(found)} cases are given; leave it out")
        found = [(place, replace(case, id=name)) for place, case in found]
    cases = _by_name(found)
    if only is None:
        return list(cases.values())
    wanted = read_case_list(only)
    missing = next((case for case in wanted if case not in cases), None)
    if missing is not None:
        raise InputError(f"{only}: case {missing} is not in the folders that are given; correct the list")
    return [cases[case] for case in wanted]


def _by_name(found: Sequence[tuple[Path, Case]]) -> dict[str, Case]:
    """Return name -> case; cases that share a name are called by the places that they were found in."""
    shared = Counter(case.id for case in {_files(case): case for _, case in found}.values())
    cases: dict[str, Case] = {}
    for place, case in found:
        known = case.dataset is not None and not case.dataset.generic
        called = place.resolve().name.removesuffix(".zip") if shared[case.id] > 1 and not known else case.id
        first = cases.setdefault(called, replace(case, id=called))
        if _files(first) != _files(case):
            raise InputError(
                f"{place}: case {called} is in another folder too; segment one folder at a time, each into results of "
                "its own"
            )
    return cases


def _files(case: Case) -> tuple[object, ...]:
    series = (one.uid for one in case.series.values())
    return (*map(os.path.realpath, case.images.values()), *series)
