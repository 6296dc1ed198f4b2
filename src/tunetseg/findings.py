"""What was noticed about images, in one sentence each."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Finding", "Level", "listed", "refusals"]

Level = Literal["note", "warning", "refuse"]


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed.

    Args:
        code: The same for every finding of the kind, such as ``gap``.
        level: ``note``: good to know. ``warning``: the result may be wrong. ``refuse``: the images cannot be used.
        message: One sentence: the fault, and the way out. It names no patient, and no date.
    """

    code: str
    level: Level
    message: str

    def to_dict(self) -> dict[str, str]:
        """Return code, level and message, ready for JSON."""
        return asdict(self)


def listed(names: Sequence[str], word: str) -> str:
    """Return names as a sentence has them.

    Args:
        names: One or more.
        word: Stands before the last.

    Examples:
        >>> listed(["t1"], "or"), listed(["t1", "t2"], "or"), listed(["t1", "t2", "flair"], "and")
        ('t1', 't1 or t2', 't1, t2 and flair')
    """
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def refusals(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings because of which images cannot be used."""
    return [finding for finding in findings if finding.level == "refuse"]
