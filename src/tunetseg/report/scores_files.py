"""Which label map is whose: the files of both sides of an evaluation, paired by case."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunetseg.data import find_cases
from tunetseg.data.layouts import LAYOUTS
from tunetseg.errors import InputError

__all__ = ["LabelFile", "Pair", "Pairing", "list_label_files", "pair_files"]

_BESIDE_A_PREDICTION = re.compile(r"_(unc|prob)_[A-Za-z0-9]+$")
_SUFFIXES = {f"{layout.separator}{suffix}" for layout in LAYOUTS for suffix in layout.suffixes}
_SEGMENTATION = ("_seg", "-seg")
_IMAGES = tuple(_SUFFIXES - set(_SEGMENTATION))


@dataclass(frozen=True)
class LabelFile:
    """One label map on disk.

    Args:
        case: Name of the case.
        path: The file.
        told: Name of its label scheme, where something other than its values tells.
        told_by: What tells it.
    """

    case: str
    path: Path
    told: str | None = None
    told_by: Literal["manifest", "dataset", "nothing"] = "nothing"


@dataclass(frozen=True)
class Pair:
    """A reference and its prediction; None where there is no prediction."""

    case: str
    reference: LabelFile
    prediction: LabelFile | None


@dataclass(frozen=True)
class Pairing:
    """Both sides, matched by case.

    Args:
        pairs: What is to be scored, sorted by case.
        without_prediction: Cases that only the references have.
        without_reference: Cases that only the predictions have.
    """

    pairs: tuple[Pair, ...]
    without_prediction: tuple[str, ...]
    without_reference: tuple[str, ...]


def _stem(path: Path) -> str | None:
    """Name without ``.nii`` or ``.nii.gz``; None for any other file."""
    for ending in (".nii.gz", ".nii"):
        if path.name.endswith(ending) and path.name != ending:
            return path.name.removesuffix(ending)
    return None


def _case_name(stem: str) -> str:
    for suffix in _SEGMENTATION:
        stem = stem.removesuffix(suffix)
    return stem


def _from_manifest(path: Path, case: str) -> LabelFile:
    """A label map and the scheme that its manifest names, if it has one that does."""
    manifest = path.with_name(f"{case}.json")
    try:
        said = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Other programs lay other files of that name beside their predictions; the values then tell.
        return LabelFile(case, path)
    labels = said.get("labels") if isinstance(said, dict) else None
    return LabelFile(case, path, labels, "manifest") if isinstance(labels, str) else LabelFile(case, path)


def _flat(folder: Path) -> dict[str, LabelFile]:
    """Label maps that lie directly in a folder as ``<case>.nii.gz``."""
    stems = {path: _stem(path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
    found: dict[str, LabelFile] = {}
    for path, stem in stems.items():
        if stem is None or not path.is_file() or _BESIDE_A_PREDICTION.search(stem) or stem.endswith(_IMAGES):
            continue
        case = _case_name(stem)
        if case in found:
            raise InputError(f"{folder}: case {case} is there as {found[case].path.name} and as {path.name}; keep one")
        found[case] = _from_manifest(path, case)
    # A folder that holds only <case>_seg files is a cohort's, whose names tell the year.
    only_cohort = all(file.path.name.startswith((f"{case}_seg.", f"{case}-seg.")) for case, file in found.items())
    return {} if only_cohort else found


def list_label_files(side: Path) -> dict[str, LabelFile]:
    """Label maps of one side of an evaluation, by case.

    Args:
        side: A flat folder of ``<case>.nii.gz``, a cohort folder of any BraTS year (or several), or one file.
            Uncertainty and probability maps (``<case>_unc_*``, ``<case>_prob_*``) are passed over.

    Raises:
        InputError: Nothing there, no label map in it, or two of one case.
    """
    if side.is_file():
        stem = _stem(side)
        if stem is None:
            raise InputError(f"{side}: a label map ends in .nii or .nii.gz")
        case = _case_name(stem)
        return {case: _from_manifest(side, case)}
    if not side.is_dir():
        raise InputError(f"{side}: there is no such file or folder")
    found = _flat(side)
    if found:
        return found
    try:
        cases = [case for case in find_cases(side) if case.segmentation is not None]
    except InputError as error:
        if "no case found" not in str(error):
            raise
        cases = []
    if not cases:
        raise InputError(
            f"{side}: no label map found; expected <case>.nii.gz directly in the folder, "
            "or a cohort folder with <case>_seg.nii.gz (or <case>-seg.nii.gz as in 2023)"
        )
    return {
        case.id: LabelFile(case.id, case.segmentation, case.labels, "dataset" if case.labels else "nothing")
        for case in cases
        if case.segmentation is not None
    }


def pair_files(predictions: Path, references: Path, *, all_references: bool) -> Pairing:
    """Match both sides by case.

    Args:
        predictions: Flat folder, cohort folder or one file.
        references: The same. Two single files are a pair whatever their names.
        all_references: Also pair a reference that has no prediction, with None.

    Raises:
        InputError: A side cannot be listed, or they have no case in common.
    """
    predicted, present = list_label_files(predictions), list_label_files(references)
    if predictions.is_file() and references.is_file():
        case, reference = next(iter(present.items()))
        return Pairing((Pair(case, reference, next(iter(predicted.values()))),), (), ())
    both = sorted(predicted.keys() & present.keys())
    if not both:
        raise InputError(
            f"{predictions} and {references} have no case in common; the first have "
            f"{sorted(predicted)[0]}, the second {sorted(present)[0]}"
        )
    missing = tuple(sorted(present.keys() - predicted.keys()))
    cases = sorted(present) if all_references else both
    pairs = tuple(Pair(case, present[case], predicted.get(case)) for case in cases)
    return Pairing(pairs, missing, tuple(sorted(predicted.keys() - present.keys())))
