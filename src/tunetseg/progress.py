"""The one way in which a long computation reports how far it has come."""

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Receive the progress of a task; called from the thread that called the library.

    Examples:
        >>> def show(task: str, completed: float, total: float) -> None:
        ...     print(f"{task}: {completed:g} of {total:g}")
        >>> report: Progress = show
        >>> report("scoring", 1, 4)
        scoring: 1 of 4
    """

    def __call__(self, task: str, completed: float, total: float) -> None:
        """Take one report.

        Args:
            task: What is being done, such as ``scoring``.
            completed: How much of it is done, in the unit of ``total``.
            total: How much there is to do.
        """


def silent(task: str, completed: float, total: float) -> None:
    """Ignore the report: the default of every library function."""
