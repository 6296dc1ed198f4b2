"""Types of options that may be left out: their help shows neither ``None`` nor an empty default."""

from pathlib import Path
from typing import Annotated, Any

import tyro

__all__ = ["OptionalFloat", "OptionalInt", "OptionalPath", "OptionalText", "optional"]


def optional(metavar: str) -> Any:
    """Return what to annotate an option with whose default is None or empty.

    Args:
        metavar: What stands for its value in the help.
    """
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


OptionalPath = Annotated[Path | None, optional("PATH")]
OptionalText = Annotated[str | None, optional("TEXT")]
OptionalInt = Annotated[int | None, optional("INT")]
OptionalFloat = Annotated[float | None, optional("FLOAT")]
