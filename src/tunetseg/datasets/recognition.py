"""Which case of which dataset a file belongs to, by its name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tunetseg.datasets.description import DatasetDescription, FileLayout

__all__ = ["REFERENCE", "Match", "case_of_prediction", "match_file", "nifti_stem", "patient_of", "prediction_name"]

REFERENCE = "reference"
"""Role of a reference segmentation, where others have the name of a channel."""


@dataclass(frozen=True)
class Match:
    """What the name of a file says.

    Args:
        case: Name of the case.
        root: Folder from which the dataset's templates count; a case's files lie under one.
        description: The dataset.
        roles: Channel, or ``REFERENCE``, and the volume of a 4-D file; several for a file of several channels.
    """

    case: str
    root: Path
    description: DatasetDescription
    roles: tuple[tuple[str, int | None], ...]


def nifti_stem(path: Path) -> str | None:
    """Return a file's name without ``.nii`` or ``.nii.gz``; None for any other file."""
    for ending in (".nii.gz", ".nii"):
        if path.name.endswith(ending) and path.name != ending:
            return path.name.removesuffix(ending)
    return None


def match_file(path: Path, descriptions: Sequence[DatasetDescription]) -> Match | None:
    """Return what a file is, by the first dataset whose templates fit its name.

    Args:
        path: Absolute, as its folders count too.
        descriptions: In order of preference.
    """
    stem = nifti_stem(path)
    if stem is None:
        return None
    for description in descriptions:
        found = _match(path, stem, description)
        if found is not None:
            return found
    return None


def _match(path: Path, stem: str, description: DatasetDescription) -> Match | None:
    layout = description.files
    folder = path.parent.name
    if layout.exceptions.get(folder) == stem:
        return Match(folder, path.parent, description, ((REFERENCE, None),))
    best: tuple[int, str, int] = (-1, "", 0)  # literal characters, case, depth
    roles: list[tuple[str, int | None]] = []
    for role, template in _templates(layout):
        pattern, volume, literal, depth = _compile(template, layout.case, layout.ignore_case)
        case = _case(path, stem, pattern, depth, layout)
        if case is None or literal < best[0]:
            continue
        if (literal, case, depth) != best:
            roles = []
        best = (literal, case, depth)
        roles.append((role, volume))
    if not roles:
        return None
    return Match(best[1], path.parents[best[2] - 1], description, tuple(roles))


def _case(path: Path, stem: str, pattern: re.Pattern[str], depth: int, layout: FileLayout) -> str | None:
    if len(path.parts) <= depth:
        return None
    found = pattern.fullmatch("/".join((*path.parts[-depth:-1], stem)))
    if found is None:
        return None
    if "case" in pattern.groupindex:
        return found["case"]
    return path.parent.name if re.fullmatch(layout.case, path.parent.name) else None


def _templates(layout: FileLayout) -> list[tuple[str, str]]:
    """Role and template of everything that a layout names."""
    return [
        (role, template)
        for role, given in (*layout.channels.items(), (REFERENCE, layout.reference))
        for template in ((given,) if isinstance(given, str) else given)
    ]


@lru_cache(maxsize=1024)
def _compile(template: str, case: str, ignore_case: bool) -> tuple[re.Pattern[str], int | None, int, int]:
    """Pattern of a template, volume of a 4-D file, count of literal characters, and of folders with the file."""
    name, _, volume = template.partition("#")
    pattern, literal, seen = "", 0, False
    for part in re.split(r"(\{case\}|\*)", name):
        if part == "*":
            pattern += "[^/]*?"
        elif part == "{case}":
            pattern += "(?P=case)" if seen else f"(?P<case>{case})"
            seen = True
        else:
            pattern += re.escape(part)
            literal += len(part)
    flags = re.IGNORECASE if ignore_case else 0
    return re.compile(pattern, flags), int(volume) if volume else None, literal, name.count("/") + 1


def patient_of(case: str, description: DatasetDescription) -> tuple[str, str]:
    """Return the patient of a case, unique over datasets of one numbering, and the site; both empty where unknown."""
    layout = description.files
    found = re.fullmatch(layout.case, case)
    groups = found.groupdict() if found else {}
    patient = groups.get("patient") or ""
    if not patient:
        return "", ""
    if layout.patient_rename:
        patient = re.sub(*layout.patient_rename, patient)
    return f"{layout.numbering or description.name}/{patient}", groups.get("site") or ""


def prediction_name(case: str, description: DatasetDescription) -> str:
    """Return the name, without ending, that a dataset gives a predicted label map.

    Examples:
        >>> from tunetseg.datasets import find_description
        >>> prediction_name("case_00210", find_description("kits19"))
        'prediction_00210'
    """
    found = re.fullmatch(description.files.case, case)
    patient = (found.groupdict().get("patient") if found else None) or case
    return description.files.prediction.format(case=case, patient=patient)


def case_of_prediction(stem: str, description: DatasetDescription) -> str | None:
    """Return the case whose predicted label map has this name, or None where the dataset names none so.

    Examples:
        >>> from tunetseg.datasets import find_description
        >>> case_of_prediction("prediction_00210", find_description("kits19"))
        'case_00210'
    """
    layout = description.files
    pattern = re.escape(layout.prediction).replace(r"\{case\}", f"(?P<whole>{layout.case})")
    found = re.fullmatch(pattern.replace(r"\{patient\}", "(?P<number>.+)"), stem)
    if found is None:
        return None
    if "number" in found.groupdict():
        case = layout.case_name.format(patient=found["number"], case=stem)
        return case if re.fullmatch(layout.case, case) else None
    return found["whole"]
