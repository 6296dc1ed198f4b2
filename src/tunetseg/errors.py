"""The one exception that means: the input is at fault, not the program."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad input or usage, said in one sentence with the file, the fault and the way out.

    The command line prints the sentence and leaves with exit code 2; every other exception
    is a fault of the program and leaves with 1.
    """
