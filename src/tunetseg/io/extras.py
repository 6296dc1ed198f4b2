"""Packages that only some features need."""

from importlib import import_module
from types import ModuleType

from tunetseg.errors import InputError

__all__ = ["need"]


def need(package: str, extra: str, what: str) -> ModuleType:
    """Import a package that belongs to an extra of this one.

    Args:
        package: Name under which it is imported.
        extra: The extra that installs it.
        what: What it is needed for, the subject of the error's sentence.

    Returns:
        The package.

    Raises:
        InputError: It is not installed.

    Examples:
        >>> need("json", "formats", "reading JSON").__name__
        'json'
        >>> need("no_such_package", "formats", "reading this")
        Traceback (most recent call last):
        ...
        tunetseg.errors.InputError: reading this needs no_such_package; install it with pip install 'tunetseg[formats]'
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise InputError(f"{what} needs {package}; install it with pip install 'tunetseg[{extra}]'") from None
