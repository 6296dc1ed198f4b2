"""Errors that are not bugs of this package."""

import re

__all__ = ["InputError", "Terminated"]


_LONGEST = 1500


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one sentence that names the file or value, the fault, and the way out. The command line prints it
    and exits with 2.

    Args:
        message: Line breaks in it, as in what other libraries say of a file, become spaces, and what is very long, as
            names in damaged files can be, is cut.
    """

    def __init__(self, message: str) -> None:
        sentence = re.sub(r"\s*[\r\n]\s*", " ", message).strip()
        if len(sentence) > _LONGEST:
            sentence = f"{sentence[: _LONGEST // 2]}...{sentence[-_LONGEST // 2 :]}"
        super().__init__(sentence)


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), as by a scheduler at a time limit; the command line exits with 143."""
