"""The cases that the arguments of a command choose."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tunetseg.datasets import Case, DatasetDescription, case_from_files, find_cases, read_case_list
from tunetseg.errors import InputError

__all__ = ["choose_cases", "images_by_channel", "without_channels"]


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


def choose_cases(
    folders: Sequence[Path],
    images: Mapping[str, Path],
    needed: DatasetDescription,
    *,
    name: str | None = None,
    only: Path | None = None,
    dataset: DatasetDescription | None = None,
) -> list[Case]:
    """Return the cases of folders, or of files that are given one by one.

    Args:
        folders: Case folders or cohort folders.
        images: Channel -> file, instead of folders.
        needed: Channels of the model.
        name: Name of the case of the files.
        only: Text file of case names; the others are left out.
        dataset: How files in the folders are named.

    Raises:
        InputError: Neither or both are given, two folders have a case of one name, or a name of the list is missing.
    """
    if bool(folders) == bool(images):
        raise InputError(
            "give either folders of patients, before any --model, or one file per channel with "
            "--t1 --t1ce --t2 --flair or --image CHANNEL=FILE"
        )
    if images:
        if only is not None:
            raise InputError("--cases chooses among the cases of folders, but single files are given; leave it out")
        return [case_from_files(images, needed, name=name, missing="allow")]
    if name is not None:
        raise InputError("--name is for single files, but folders are given, whose cases have names; leave it out")
    cases: dict[str, Case] = {}
    for folder in folders:
        for case in find_cases(folder, dataset, also=needed):
            first = cases.setdefault(case.id, case)
            if {*map(os.path.realpath, first.images.values())} != {*map(os.path.realpath, case.images.values())}:
                raise InputError(f"{folder}: case {case.id} is in another folder too; segment one folder at a time")
    if only is None:
        return list(cases.values())
    wanted = read_case_list(only)
    missing = next((case for case in wanted if case not in cases), None)
    if missing is not None:
        raise InputError(f"{only}: case {missing} is not in the folders that are given; correct the list")
    return [cases[case] for case in wanted]


def without_channels(cases: Iterable[Case], channels: Sequence[str], needed: DatasetDescription) -> list[Case]:
    """Return cases as if they had no images of some channels.

    Raises:
        InputError: A channel is unknown.
    """
    unknown = next((channel for channel in channels if channel not in needed.channel_names), None)
    if unknown is not None:
        raise InputError(f"--without {unknown}: unknown channel; choose from {', '.join(needed.channel_names)}")
    return [case.without(*channels) for case in cases]
