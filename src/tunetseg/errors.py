"""The exceptions that do not mean a bug: the input is at fault, or a signal stopped the work."""

import signal

__all__ = ["InputError", "Stopped"]


class InputError(ValueError):
    """Bad input or usage, said in one sentence with the file, the fault and the way out.

    The command line prints the sentence and leaves with exit code 2; every other exception
    is a fault of the program and leaves with 1.
    """


class Stopped(Exception):
    """A signal asked the work to stop; what was done is saved and can be resumed.

    Args:
        signum: Number of the signal.
        message: How to continue.

    Examples:
        >>> import signal
        >>> int(Stopped(signal.SIGTERM).signal)
        15
    """

    def __init__(self, signum: int, message: str = "") -> None:
        super().__init__(message or f"stopped by {signal.Signals(signum).name}")
        self.signal = signal.Signals(signum)
        self.message = message

    def __reduce__(self) -> tuple[type["Stopped"], tuple[int, str]]:
        """Let the exception pass between processes."""
        return Stopped, (int(self.signal), self.message)
