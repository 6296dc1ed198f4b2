"""Errors that are not bugs of this package."""

import re

__all__ = ["InputError", "Terminated"]


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one sentence that names the file or value, the fault, and the way out. The command line prints it
    and exits with 2.

    Args:
        message: Line breaks in it, as in what other libraries say of a file, become spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(re.sub(r"\s*[\r\n]\s*", " ", message).strip())


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), as by a scheduler at a time limit; the command line exits with 143."""
