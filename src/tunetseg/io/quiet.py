"""Keep nibabel from logging every header field that it repairs; what matters of them is checked and named here."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_nibabel"]

_STATE = threading.local()


def _is_wanted(record: logging.LogRecord) -> bool:
    return not getattr(_STATE, "quiet", False)


@contextmanager
def quiet_nibabel() -> Iterator[None]:
    """Drop what nibabel logs in this thread.

    `nibabel.imageglobals.LoggingOutputSuppressor` removes handlers of all threads, and Python then writes warnings to
    standard error.
    """
    logging.getLogger("nibabel.global").addFilter(_is_wanted)  # added once
    before, _STATE.quiet = getattr(_STATE, "quiet", False), True
    try:
        yield
    finally:
        _STATE.quiet = before
