"""Signals that stop a training at the end of a step, after it has saved."""

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from tunetseg.signals import SIGNALS

__all__ = ["StopRequest", "StopTraining"]

_LOG = logging.getLogger(__name__)


class StopRequest:
    """Remembers a signal in place of being interrupted by it, as long as the context is entered.

    The second Ctrl-C raises KeyboardInterrupt at once. Outside the main thread, which alone can handle signals, nothing
    is changed.

    Attributes:
        signum: The first signal that arrived; 0 for none.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        """Take over the signals."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
            self.install()
        return self

    def install(self) -> None:
        """Take over the signals again, from code that has replaced the handlers since."""
        for number in self._before:
            signal.signal(number, self._receive)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGINT and self.signum:
            raise KeyboardInterrupt
        if not self.signum:
            _LOG.warning("%s: stopping after this step", signal.Signals(signum).name)
        self.signum = signum


class StopTraining(Exception):  # noqa: N818
    """Ends a training from inside Lightning's loop; it does not leave this package."""
