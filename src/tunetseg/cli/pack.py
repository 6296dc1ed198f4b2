"""`tunet pack`."""

from pathlib import Path
from typing import Annotated

import tyro

from tunetseg.cli.options import OptionalInt, OptionalPath, OptionalText, OutPath, optional

__all__ = ["pack"]


def pack(
    cohort: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="COHORT")],
    *,
    spacing: float,
    out: OutPath,
    part_size: float = 60.0,
    dataset: Annotated[str | None, optional("NAME-OR-FILE")] = None,
    labels: OptionalText = None,
    denoise: bool = False,
    cache: OptionalPath = None,
    workers: OptionalInt = None,
    skip_broken: bool = False,
) -> None:
    """Put a prepared cohort into a few compressed, checksummed files, which 'tunet train' takes in place of a cohort.

    For clusters whose disks are slow with many small files, and for moving a cohort: at 2 mm a patient of BraTS takes
    about 0.6 MB. Images have 8 bits per voxel and are cropped to the foreground.

    Args:
        cohort: Folder of cases with reference segmentations.
        spacing: Working spacing in mm; recipes train at this spacing or at a larger one.
        out: Folder of the pack.
        part_size: Largest size of a file, in MB.
        dataset: Dataset whose file names the cohort follows: a name of 'tunet info', or a .toml file.
        labels: Dataset or BraTS year whose label values the references have; by default each case's own dataset's.
        denoise: Apply a median filter first.
        cache: Folder of prepared cases, to be used and filled; by default nothing is kept.
        workers: Cases prepared at the same time; by default one per processor, eight at most.
        skip_broken: Report a broken case and continue without it.
    """
    import logging

    from tunetseg.cli.console import shown, table_console
    from tunetseg.datasets import find_cases, find_description
    from tunetseg.datasets.common import common_description
    from tunetseg.errors import InputError
    from tunetseg.io.files import make_folder
    from tunetseg.io.scratch import scratch_folder
    from tunetseg.preparation import Preprocessing
    from tunetseg.preparation.cache import Cache
    from tunetseg.preparation.pack import write_pack

    if part_size <= 0:
        raise InputError(f"--part-size {part_size:g}: must be more than 0 MB")
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: must be 1 or more")
    description = find_description(dataset) if dataset else None
    cases = find_cases(cohort, description)
    settings = Preprocessing(spacing, denoise)
    faults: list[InputError] = []

    def leave_out(fault: InputError) -> None:
        faults.append(fault)
        logging.getLogger("tunetseg.cli").warning("left out: %s", fault)

    folder = make_folder(out)
    with shown() as progress, scratch_folder(folder) as temporary:
        parts = write_pack(
            cases,
            folder,
            Cache(cache or temporary, settings, description or common_description(cases), labels),
            part_size=part_size,
            keep_cache=cache is not None,
            workers=workers,
            on_fault=leave_out if skip_broken else None,
            progress=progress,
        )
    size = sum(path.stat().st_size for path in parts) / 1e6
    table_console().print(
        f"{folder}: {len(cases) - len(faults)} case(s) at {spacing:g} mm in {len(parts)} file(s), {size:.1f} MB",
        markup=False,
        soft_wrap=True,
    )
