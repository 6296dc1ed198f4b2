"""Types of options: the help of those that may be left out shows neither ``None`` nor an empty default."""

from pathlib import Path
from typing import Annotated, Any

import tyro

__all__ = [
    "FlairPath",
    "OptionalFloat",
    "OptionalInt",
    "OptionalOutPath",
    "OptionalPath",
    "OptionalText",
    "OutPath",
    "T1Path",
    "T1cePath",
    "T2Path",
    "optional",
]


def optional(metavar: str, *aliases: str) -> Any:
    """Return what to annotate an option with whose default is None or empty.

    Args:
        metavar: What stands for its value in the help.
        aliases: Other flags, such as ``--t1c``.
    """
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="", aliases=aliases or None)


OptionalPath = Annotated[Path | None, optional("PATH")]
OptionalText = Annotated[str | None, optional("TEXT")]
OptionalInt = Annotated[int | None, optional("INT")]
OptionalFloat = Annotated[float | None, optional("FLOAT")]
T1Path = Annotated[Path | None, optional("PATH", "--t1n")]
T1cePath = Annotated[Path | None, optional("PATH", "--t1c")]
T2Path = Annotated[Path | None, optional("PATH", "--t2w")]
FlairPath = Annotated[Path | None, optional("PATH", "--t2f")]
OutPath = Annotated[Path, tyro.conf.arg(metavar="PATH", aliases=("-o",))]
OptionalOutPath = Annotated[Path | None, optional("PATH", "-o")]
