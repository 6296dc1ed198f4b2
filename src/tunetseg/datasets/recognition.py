"""Which case of which dataset a file belongs to, by its name."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunetseg.datasets.description import DatasetDescription
from tunetseg.datasets.templates import REFERENCE
from tunetseg.io.readers import image_stem

__all__ = ["REFERENCE", "Match", "case_of_prediction", "match_file", "nifti_stem", "patient_of", "prediction_name"]


@dataclass(frozen=True)
class Match:
    """What the name of a file says.

    Args:
        case: Name of the case, in Unicode's form NFC whatever the form of the file's name.
        root: Folder from which the dataset's templates count; a case's files lie under one.
        description: The dataset.
        roles: Channel, or ``REFERENCE``, and the volume of a 4-D file; several for a file of several channels.
        rank: Position of the template that fits among those of the dataset, whose first is preferred.
    """

    case: str
    root: Path
    description: DatasetDescription
    roles: tuple[tuple[str, int | None], ...]
    rank: int = 0


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
    stem = image_stem(path)
    if not stem:
        return None
    for description in descriptions:
        found = _match(path, stem, description)
        if found is not None:
            return found
    return None


def _match(path: Path, stem: str, description: DatasetDescription) -> Match | None:
    layout = description.files
    if layout.exceptions.get(path.parent.name) == stem:
        return Match(path.parent.name, path.parent, description, ((REFERENCE, None),))
    fits = [(template, case) for template in layout.templates if (case := template.case_of(path, stem)) is not None]
    if not fits:
        return None
    best, case = max(fits, key=lambda fit: fit[0].literal)
    roles = tuple(
        (template.role, template.volume)
        for template, other in fits
        if (template.literal, template.depth, other) == (best.literal, best.depth, case)
    )
    composed = unicodedata.normalize("NFC", case)
    return Match(composed, path.parents[best.depth - 1], description, roles, layout.templates.index(best))


def patient_of(case: str, description: DatasetDescription) -> tuple[str, str]:
    """Return the patient of a case, unique over datasets of one numbering, and the site; both empty where unknown."""
    layout = description.files
    found = layout.case_pattern.fullmatch(case)
    groups = found.groupdict() if found else {}
    patient = groups.get("patient") or ""
    if not patient:
        return "", ""
    if layout.patient_rename:
        patient = re.sub(*layout.patient_rename, patient)
    return f"{layout.numbering or description.name}/{patient}", groups.get("site") or ""


def prediction_name(case: str, description: DatasetDescription) -> str:
    """Return the name, without ending, that a dataset gives a predicted label map; that of the case where it cannot.

    Examples:
        >>> from tunetseg.datasets import find_description
        >>> prediction_name("case_00210", find_description("kits19"))
        'prediction_00210'
    """
    layout = description.files
    if "{patient}" not in layout.prediction:
        return layout.prediction.format(case=case)
    found = layout.case_pattern.fullmatch(case)
    patient = found.groupdict().get("patient") if found else None
    # The case of another dataset has no such number.
    return layout.prediction.format(case=case, patient=patient) if patient else case


def case_of_prediction(stem: str, description: DatasetDescription) -> str | None:
    """Return the case whose predicted label map has this name, or None where the dataset names none so.

    Examples:
        >>> from tunetseg.datasets import find_description
        >>> case_of_prediction("prediction_00210", find_description("kits19"))
        'case_00210'
    """
    layout = description.files
    pattern = re.escape(layout.prediction).replace(r"\{case\}", "(?P<whole>.+)", 1).replace(r"\{case\}", "(?P=whole)")
    pattern = pattern.replace(r"\{patient\}", "(?P<number>.+)", 1).replace(r"\{patient\}", "(?P=number)")
    found = re.fullmatch(pattern, stem)
    if found is None:
        return None
    groups = found.groupdict()
    case = groups["whole"] if "whole" in groups else layout.case_name.format(patient=groups["number"], case=stem)
    return case if layout.case_pattern.fullmatch(case) else None
