"""``tunet convert``."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from tunetseg.cli.options import OutPath, optional

__all__ = ["convert"]

Format = Literal["itksnap", "fsleyes", "slicer", "bids"]


def convert(
    results: Annotated[tuple[Path, ...], tyro.conf.Positional, optional("RESULT")],
    *,
    to: tuple[Format, ...],
    out: OutPath,
    dataset: Annotated[str | None, optional("NAME-OR-FILE")] = None,
) -> None:
    """Write results for other programs: colour tables, segmentations of 3D Slicer, the names of BIDS.

    itksnap: CASE.itksnap.txt, to be loaded under Segmentation, Import Label Descriptions. fsleyes: CASE.lut, for the
    lookup table of a label overlay. slicer: CASE.seg.nrrd with names and colours of segments. bids: derivatives of
    BIDS, with probability and uncertainty maps where these were saved. Research use, not a medical device.

    Args:
        results: Label maps or manifests of 'tunet segment', or folders of them.
        to: itksnap, fsleyes, slicer, bids; several may be given.
        out: Folder of the files.
        dataset: Dataset of the model, if it is not a packaged one: its .toml file.
    """
    from tunetseg.cli.console import line_console
    from tunetseg.datasets import find_description
    from tunetseg.report.exchange import write_exchange
    from tunetseg.report.places import find_manifests
    from tunetseg.report.view import read_view

    described = find_description(dataset) if dataset else None
    console = line_console()
    for manifest in find_manifests(results):
        for path in write_exchange(read_view(manifest, dataset=described), out, to):
            console.print(f"Wrote {path}")
