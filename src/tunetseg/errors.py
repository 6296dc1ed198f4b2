"""Errors that are not bugs of this package."""

__all__ = ["InputError", "Terminated"]


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The message is one sentence that names the file or value, the fault, and the way out. The command line prints it
    and exits with 2.
    """


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), as by a scheduler at a time limit; the command line exits with 143."""
