"""Text that is safe to show. Light: rich is not imported here."""

__all__ = ["printable"]


def printable(text: str) -> str:
    """Return text that does nothing to a terminal but show letters.

    Names of files, and what models and tables say of themselves, may hold control characters, by which a terminal can
    be made to show something else. They are written as ``\\x1b``. Line breaks and tabulators stay.

    Examples:
        >>> printable("\x1b[2Jcase")
        '\\\\x1b[2Jcase'
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t " else letter.encode("unicode_escape").decode()
        for letter in text
    )
