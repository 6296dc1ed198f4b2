"""The one protocol by which library functions report progress; nothing is drawn here."""

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called whenever a part of the work is done.

    A call that raises ends the work with that exception, which is how a caller cancels.
    """

    def __call__(self, task: str, completed: float, total: float, /) -> None:
        """Receive the state of one task.

        Args:
            task: What is being done, such as the name of a case.
            completed: Units that are done, from 0 to ``total``.
            total: Units in all.
        """


def silent(task: str, completed: float, total: float, /) -> None:
    """Report nothing."""
