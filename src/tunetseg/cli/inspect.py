"""``tunet inspect``."""

from pathlib import Path
from typing import Annotated

import tyro

from tunetseg.cli.options import optional

__all__ = ["inspect"]


def inspect(
    path: Annotated[Path, tyro.conf.Positional],
    *,
    dataset: Annotated[str | None, optional("NAME-OR-FILE")] = None,
    channels: Annotated[str, tyro.conf.arg(metavar="NAME-OR-FILE")] = "glioma",
    json: bool = False,
    strict: bool = False,
) -> None:
    """Show which cases a folder holds, which file or series is which channel, and what the checks say.

    No model is used. The exit code is 2 if a case cannot be segmented.

    Args:
        path: Folder of a case, of a cohort, or of DICOM files; or a zip archive of DICOM files.
        dataset: Dataset whose file names the folder follows: a name from 'tunet info', or a .toml file.
        channels: Dataset whose channels are needed.
        json: Print JSON.
        strict: End with exit code 3 if anything is warned of.
    """
    from json import dumps

    from tunetseg.checks import inspect_place
    from tunetseg.cli.console import line_console, shown
    from tunetseg.datasets import find_description

    needed = find_description(channels)
    with shown() as progress:
        found = inspect_place(path, needed, dataset=find_description(dataset) if dataset else None, progress=progress)
    console = line_console()
    if json:
        print(dumps({"cases": [one.to_dict() for one in found]}, indent=1))
    else:
        for one in found:
            console.print(f"{one.id}{f' ({one.dataset})' if one.dataset else ''}")
            for name, source in one.channels.items():
                console.print(f"  {name:<6} {source} ({one.reasons[name]})")
            for finding in one.findings:
                style = {"refuse": "bold red", "warning": "bold yellow"}.get(finding.level)
                console.print(f"  {finding.level}: {finding.message} [{finding.code}]", style=style)
    levels = {finding.level for one in found for finding in one.findings}
    if "refuse" in levels:
        raise SystemExit(2)
    if strict and "warning" in levels:
        raise SystemExit(3)
