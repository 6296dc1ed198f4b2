"""``tunet prepare``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tunetseg.io import Image

from tunetseg.cli.options import FlairPath, OptionalPath, OptionalText, OutPath, T1cePath, T1Path, T2Path, optional

__all__ = ["prepare"]


def prepare(
    patients: Annotated[tuple[Path, ...], tyro.conf.Positional, optional("PATIENT")] = (),
    *,
    out: OutPath,
    t1: T1Path = None,
    t1ce: T1cePath = None,
    t2: T2Path = None,
    flair: FlairPath = None,
    name: OptionalText = None,
    series: Annotated[tuple[str, ...], optional("CHANNEL=NUMBER")] = (),
    reference: Annotated[str, tyro.conf.arg(metavar="CHANNEL")] = "t1ce",
    brain: Annotated[str, tyro.conf.arg(metavar="auto|hd-bet|synthstrip|deepbet|none")] = "auto",
    mask: OptionalPath = None,
    registered: bool = False,
) -> None:
    """Make images that 'tunet segment' can use of raw scans: registered to one of them, and without skull.

    The scans are registered rigidly to the contrast-enhanced T1, the brain is found in it by a program that is
    installed, and all are brought to its grid. OUT/CASE holds an image per sequence, the mask of the brain, and
    preparation.json with the transforms: 'tunet segment OUT/CASE --grid flair' then writes the result on the raw FLAIR,
    and --dicom-seg refers to the raw series. Look at the images before you rely on a result. Nothing is downloaded.
    Research use, not a medical device.

    Args:
        patients: Folders of cases or cohorts, folders or zip archives of DICOM files.
        out: Folder in which a folder per case is made.
        t1: T1 scan.
        t1ce: Contrast-enhanced T1 scan.
        t2: T2 scan.
        flair: FLAIR scan.
        name: Name of the case whose files are given one by one.
        series: DICOM series of a channel, where its tags mislead, by the number that 'tunet inspect' shows: t1ce=7.
        reference: Channel that the others are registered to, in which the brain is found.
        brain: Program that finds the brain; auto takes the first of HD-BET, SynthStrip and deepbet that is installed,
            none says that the skull has been removed already.
        mask: Your own mask of the brain, in the space of the reference, instead of a program.
        registered: The scans are already registered.
    """
    from functools import partial

    from tunetseg.cli.cases import choose_cases, images_by_channel, series_by_channel
    from tunetseg.cli.console import line_console, shown
    from tunetseg.datasets import find_description
    from tunetseg.errors import InputError
    from tunetseg.preparation.brain import find_extractor
    from tunetseg.preparation.raw import check_free, prepare_case, read_mask

    needed = find_description("glioma")
    given = {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair}
    console = line_console()
    with shown() as progress:
        cases = choose_cases(
            patients,
            images_by_channel((), given),
            needed,
            name=name,
            series=series_by_channel(series),
            progress=progress,
        )
        if mask is not None and len(cases) != 1:
            raise InputError(f"--mask is for one case, but {len(cases)} are given; prepare them one by one")
        find_brain: Callable[[Image], NDArray[np.bool_]] | None
        if mask is not None:
            find_brain, how = partial(read_mask, mask), f"the mask {mask.name}"
        elif brain == "none":
            find_brain, how = None, "removed before"
        else:
            extractor = find_extractor(None if brain == "auto" else brain)
            find_brain, how = extractor, extractor.title
        failed = 0
        for case in cases:
            try:
                inputs = [*case.images.values(), *([mask] if mask is not None else [])]
                check_free(out / case.id, needed.channel_names, inputs)
                made = prepare_case(
                    case,
                    needed,
                    find_brain,
                    brain=how,
                    reference=reference,
                    registered=registered,
                    progress=progress,
                )
                made.save(out / case.id)
            except InputError as fault:
                if len(cases) == 1:
                    raise
                failed += 1
                console.print(f"LEFT OUT: {case.id}: {fault}", style="bold yellow")
                continue
            ml = made.mask.sum() * made.grid.voxel_ml
            console.print(f"{case.id}: {out / case.id} (brain of {ml:.0f} ml by {how})")
            for channel, scan in made.record.scans.items():
                console.print(f"  {channel:<6} {scan.source}")
    if failed:
        raise SystemExit(2)
