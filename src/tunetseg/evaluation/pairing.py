"""Which label map is whose: the files of both sides of an evaluation, paired by case."""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunetseg.datasets import NoCaseError, find_cases, is_map_name, read_case_list
from tunetseg.datasets.layouts import LAYOUTS, check_name, folders_below, nifti_stem
from tunetseg.errors import InputError
from tunetseg.io.files import read_json

__all__ = ["LabelFile", "Pair", "Pairing", "list_label_files", "pair_files"]

_KITS_PREDICTION = re.compile(r"prediction_(\d+)")
_KITS_REFERENCE = "segmentation.nii.gz"
_SUFFIXES = {f"{layout.separator}{suffix}" for layout in LAYOUTS for suffix in layout.suffixes}
_SEGMENTATION = ("_seg", "-seg")
_IMAGES = tuple(_SUFFIXES - set(_SEGMENTATION))
_STRAYS = {name for layout in LAYOUTS for name in layout.strays.values()}


@dataclass(frozen=True)
class LabelFile:
    """One label map on disk.

    Args:
        case: Name of the case.
        path: The file.
        told: Name of its label scheme, where something other than its values tells.
        told_by: What tells it.
        image: An image of the same patient, where the file is a cohort's; it tells where the brain is.
    """

    case: str
    path: Path
    told: str | None = None
    told_by: Literal["manifest", "dataset", "nothing"] = "nothing"
    image: Path | None = None

    def beside(self, kind: Literal["unc", "prob"], word: str) -> Path:
        """Where this prediction's uncertainty or probability map of a region lies, by the challenge's names."""
        places = [
            self.path.with_name(f"{stem}_{kind}_{word}{ending}")
            for stem in (nifti_stem(self.path), self.case)
            for ending in (".nii.gz", ".nii")
        ]
        return next((place for place in places if place.exists()), places[0])


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
        without_reference: Cases that only the predictions have.
    """

    pairs: tuple[Pair, ...]
    without_reference: tuple[str, ...]


def _is_dataset_name(case: str) -> bool:
    return any(layout.dataset != "other" and layout.case.fullmatch(case) for layout in LAYOUTS)


def _case_name(stem: str) -> str:
    kidney = _KITS_PREDICTION.fullmatch(stem)
    if kidney:
        return f"case_{kidney[1]}"
    for suffix in _SEGMENTATION:
        stem = stem.removesuffix(suffix)
    return stem


def _from_manifest(path: Path, case: str) -> LabelFile:
    """A label map and the scheme that its manifest names, if it has one that does."""
    labels = read_json(path.with_name(f"{case}.json")).get("labels")
    return LabelFile(case, path, labels, "manifest") if isinstance(labels, str) else LabelFile(case, path)


def _kits(folder: Path) -> dict[str, LabelFile]:
    """KiTS references: ``case_00000/segmentation.nii.gz``."""
    found: dict[str, LabelFile] = {}
    for place in folders_below(folder):
        path = place / _KITS_REFERENCE
        case = Path(os.path.abspath(place)).name
        if path.is_file() and case in found:
            raise InputError(f"{place}: case {case} is in {found[case].path.parent} too; keep one")
        if path.is_file():
            found[case] = LabelFile(case, path, "kits19", "dataset")
    return found


def _images(stems: Collection[str]) -> set[str]:
    """Names of images among those of label maps: beside their case's label map, or three or more sequences of a case.

    A case's own name may end so: ``p_t1``, ``p_t2`` and ``p_t3`` may be times.
    """
    cases: dict[str, set[str]] = {}
    for stem in stems:
        for suffix in _IMAGES:
            if stem.endswith(suffix):
                cases.setdefault(stem.removesuffix(suffix), set()).add(stem)
    return {stem for case, images in cases.items() if case in stems or len(images) > 2 for stem in images}


def _flat(folder: Path) -> dict[str, LabelFile]:
    """Label maps that lie directly in a folder as ``<case>.nii.gz``."""
    stems = {
        path: stem
        for path in sorted(folder.iterdir())
        if (stem := nifti_stem(path)) is not None and not path.name.startswith(".") and path.is_file()
    }
    images = _images(stems.values())
    found: dict[str, LabelFile] = {}
    for path, stem in stems.items():
        if stem in images or is_map_name(stem) or path.name == _KITS_REFERENCE:
            continue
        if path.name.removesuffix(".gz") in _STRAYS:  # a case's folder
            continue
        check_name(path)
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
        stem = nifti_stem(side)
        if stem is None:
            raise InputError(f"{side}: a label map ends in .nii or .nii.gz")
        case = _case_name(stem)
        return {case: _from_manifest(side, case)}
    if not side.is_dir():
        raise InputError(f"{side}: there is no such file or folder")
    found = _flat(side) or _kits(side)
    if found:
        return found
    try:
        cases = [case for case in find_cases(side) if case.segmentation is not None]
    except NoCaseError:
        cases = []
    if not cases:
        raise InputError(
            f"{side}: no label map found; expected <case>.nii.gz directly in the folder, "
            "or a cohort folder with <case>_seg.nii.gz (or <case>-seg.nii.gz as in 2023)"
        )
    faults = [fault for one in cases for fault in one.faults]
    if faults:
        raise InputError(faults[0])
    return {
        case.id: LabelFile(
            case.id,
            case.segmentation,
            case.labels,
            "dataset" if case.labels else "nothing",
            next(iter(case.images.values()), None),
        )
        for case in cases
        if case.segmentation is not None
    }


def _refuse_two_label_maps(side: Path) -> None:
    """Raise InputError where a folder holds a case's label map twice, as after segmenting a cohort into itself."""
    flat = _flat(side)
    try:
        cases = find_cases(side) if flat else []
    except InputError:
        cases = []
    for case in cases:
        file = flat.get(case.id)
        if file is not None and case.segmentation not in (None, file.path):
            raise InputError(
                f"{side}: case {case.id} is there as {file.path.name} and as {case.segmentation}; "
                "keep predictions and references in two folders"
            )


def pair_files(predictions: Path, references: Path, only: Path | None = None) -> Pairing:
    """Match both sides by case; a reference without a prediction is paired with None.

    Args:
        predictions: Flat folder, cohort folder or one file.
        references: The same. Two single files are a pair, unless their names are those of two cases of datasets.
        only: Text file of case names; the others are passed over on both sides.

    Raises:
        InputError: A side cannot be listed, a name of the list has no reference, or the sides have no case in common.
    """
    if references.is_dir():
        _refuse_two_label_maps(references)
    predicted, present = list_label_files(predictions), list_label_files(references)
    if predictions.is_file() and references.is_file():
        if only is not None:
            raise InputError("--cases chooses among folders' cases; two files are one case")
        ((case, reference),), ((other_case, prediction),) = present.items(), predicted.items()
        if case != other_case and _is_dataset_name(case) and _is_dataset_name(other_case):
            raise InputError(
                f"{predictions} and {references}: two cases, {other_case} and {case}; rename one to the other"
            )
        return Pairing((Pair(case, reference, prediction),), ())
    if only is not None:
        wanted = read_case_list(only)
        unknown = [case for case in wanted if case not in present]
        if unknown:
            raise InputError(f"{only}: {unknown[0]} is not among the references")
        present = {case: present[case] for case in wanted}
        predicted = {case: file for case, file in predicted.items() if case in present}
    if not predicted.keys() & present.keys():
        one, other = min(predicted, default="none"), min(present)
        raise InputError(
            f"{predictions} and {references} have no case in common; the first have {one}, the second {other}"
        )
    pairs = tuple(Pair(case, present[case], predicted.get(case)) for case in sorted(present))
    return Pairing(pairs, tuple(sorted(predicted.keys() - present.keys())))
