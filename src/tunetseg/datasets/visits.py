"""Folders that are visits of one patient, by their names."""

import re
from pathlib import Path

__all__ = ["visited_patient"]

_DATE = r"(19|20)\d\d([-_.]?[01]\d([-_.]?[0-3]\d)?)?"
_WORDS = "baseline|follow[-_ ]?up|fu|visit|session|ses|scan|exam|study|time[-_ ]?point|tp|day|week|month|year"
_OPERATION = "(pre|post)[-_ ]?(op(erative)?)?"
_VISIT = re.compile(rf"{_DATE}|({_WORDS}|{_OPERATION})[-_ ]?\d*|[vt][-_ ]?\d\d?", re.IGNORECASE)


def visited_patient(folder: Path, root: Path) -> str | None:
    """Return the name of the patient whose visit a folder holds, or None where its name says no visit.

    Args:
        folder: Holds one case.
        root: Folder of the cohort; a folder directly in it is a patient's, whatever its name.

    Examples:
        >>> visited_patient(Path("cohort/anna/2019-05-01"), Path("cohort"))
        'anna'
        >>> visited_patient(Path("cohort/2019"), Path("cohort")), visited_patient(Path("cohort/a/bert"), Path("cohort"))
        (None, None)
    """
    below = folder.parent != root and folder.parent.is_relative_to(root)
    return folder.parent.name if below and _VISIT.fullmatch(folder.name) else None
