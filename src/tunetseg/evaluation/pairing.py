"""Match the label maps of both sides of an evaluation by case."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tunetseg.datasets import Case, DatasetDescription, NoCaseError, find_cases, nifti_stem
from tunetseg.datasets.cohort import check_name
from tunetseg.datasets.templates import REFERENCE
from tunetseg.errors import InputError
from tunetseg.evaluation.naming import FolderNames, described_above, names_of_folder
from tunetseg.io.files import read_json

__all__ = ["LabelFile", "Pair", "Pairing", "list_label_files", "pair_files"]


@dataclass(frozen=True)
class LabelFile:
    """One label map on disk.

    Args:
        case: Name of the case.
        path: The file.
        manifest: What `tunet segment` wrote next to a prediction; empty where there is nothing.
        dataset: Dataset that the file is a reference of, or whose folder it lies in, as far as names say.
        image: An image of the same patient, where the file is a reference of a cohort; its foreground is the brain.
        volume: Index of that image in a 4-D file.
    """

    case: str
    path: Path
    manifest: dict[str, object]
    dataset: DatasetDescription | None = None
    image: Path | None = None
    volume: int | None = None

    def sibling(self, kind: Literal["unc", "prob"], words: Sequence[str]) -> Path:
        """Return the path of a region's uncertainty or probability map next to this prediction.

        Args:
            kind: ``unc`` for uncertainty, ``prob`` for probabilities.
            words: Words for the region in names of files, in order of preference.

        Returns:
            The first file that exists, else the first name.
        """
        paths = [
            self.path.with_name(f"{stem}_{kind}_{word}{ending}")
            for word in words
            for stem in (nifti_stem(self.path), self.case)
            for ending in (".nii.gz", ".nii")
        ]
        return next((path for path in paths if path.exists()), paths[0])


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
        pairs: Pairs to score, sorted by case.
        without_reference: Cases that only the predictions have.
    """

    pairs: tuple[Pair, ...]
    without_reference: tuple[str, ...]


def _manifest(path: Path, case: str) -> dict[str, object]:
    """Return the manifest of a prediction, which is called like the file or like the case."""
    stem = nifti_stem(path) or case
    return read_json(path.with_name(f"{stem}.json")) or read_json(path.with_name(f"{case}.json"))


def _flat_files(folder: Path, names: FolderNames) -> dict[str, LabelFile]:
    """Return the label maps that lie directly in a folder; none where all are named like a cohort's references."""
    paths = [
        path
        for path in sorted(folder.iterdir())
        if nifti_stem(path) is not None and not path.name.startswith(".") and path.is_file()
    ]
    for path in paths:
        check_name(path)
    files: dict[str, LabelFile] = {}
    only_references = True
    for path, (case, is_reference) in names.label_maps(paths).items():
        if case in files:
            raise InputError(f"{folder}: case {case} is there as {files[case].path.name} and as {path.name}; keep one")
        files[case] = LabelFile(case, path, _manifest(path, case), names.of_folder)
        only_references = only_references and is_reference
    return {} if only_references else files


def list_label_files(side: Path, dataset: DatasetDescription | None = None) -> dict[str, LabelFile]:
    """Return the label maps of one side of an evaluation, by case.

    Args:
        side: A flat folder of ``<case>.nii.gz`` (or of the names that a dataset gives predictions), a cohort folder of
            one or several datasets, or one file. Uncertainty and probability maps (``<case>_unc_*``,
            ``<case>_prob_*``) and images are left out.
        dataset: How the files are named; by default a ``dataset.json`` or the names themselves say.

    Returns:
        Case -> file.

    Raises:
        InputError: There is no such side, no label map in it, or two of one case.
    """
    if side.is_file():
        if nifti_stem(side) is None:
            raise InputError(f"{side}: not a label map by its name; it must end in .nii or .nii.gz")
        names = names_of_folder(side.parent, dataset)
        case, of_dataset = names.case_of(side)
        return {case: LabelFile(case, side, _manifest(side, case), of_dataset)}
    if not side.is_dir():
        raise InputError(f"{side}: there is no such file or folder")
    dataset = dataset or described_above(side)
    files = _flat_files(side, names_of_folder(side, dataset))
    if files:
        return files
    try:
        cases = [case for case in find_cases(side, dataset) if case.reference is not None]
    except NoCaseError:
        cases = []
    if not cases:
        raise InputError(
            f"{side}: no label map found; expected <case>.nii.gz directly in the folder, or a cohort folder with "
            "reference segmentations such as <case>_seg.nii.gz"
        )
    faults = [fault for case in cases for fault, role in case.faults.items() if role in {"", REFERENCE}]
    if faults:
        raise InputError(faults[0])
    return {case.id: _of_cohort(case, case.reference) for case in cases if case.reference is not None}


def _of_cohort(case: Case, reference: Path) -> LabelFile:
    channel, image = next(iter(case.images.items()), (None, None))
    volume = case.volumes.get(channel) if channel is not None else None
    return LabelFile(case.id, reference, {}, case.dataset, image, volume)


def _refuse_two_label_maps(side: Path, dataset: DatasetDescription | None) -> None:
    """Raise InputError where a folder holds two label maps of a case, as after segmenting a cohort into itself."""
    flat = _flat_files(side, names_of_folder(side, dataset))
    try:
        cases = find_cases(side, dataset) if flat else []
    except InputError:
        cases = []
    for case in cases:
        file = flat.get(case.id)
        if file is not None and case.reference not in (None, file.path):
            raise InputError(
                f"{side}: case {case.id} is there as {file.path.name} and as {case.reference}; "
                "keep predictions and references in two folders"
            )


def pair_files(
    predictions: Path,
    references: Path,
    only: Collection[str] | None = None,
    dataset: DatasetDescription | None = None,
) -> Pairing:
    """Match both sides by case; a reference without a prediction is paired with None.

    Args:
        predictions: Flat folder, cohort folder or one file.
        references: The same. Two single files are a pair, unless their names are those of two cases of datasets.
        only: Names of the cases to keep on both sides; None keeps all.
        dataset: How the files are named; by default a ``dataset.json`` or the names themselves say.

    Returns:
        Pairs and what is left over.

    Raises:
        InputError: A side cannot be listed, a name in ``only`` has no reference, or the sides have no case in common.
    """
    if references.is_dir():
        _refuse_two_label_maps(references, dataset)
    predicted, present = list_label_files(predictions, dataset), list_label_files(references, dataset)
    if predictions.is_file() and references.is_file():
        if only is not None:
            raise InputError("a list of cases selects among the cases of folders; two files are one case")
        return Pairing((_pair_of_files(predictions, predicted, references, present, dataset),), ())
    if only is not None:
        unknown = [case for case in only if case not in present]
        if unknown:
            raise InputError(f"{references}: has no case {unknown[0]}, which is listed; correct the list of cases")
        present = {case: present[case] for case in only}
        predicted = {case: file for case, file in predicted.items() if case in present}
    if not predicted.keys() & present.keys():
        raise InputError(
            f"{predictions} and {references} have no case in common; the first have {min(predicted, default='none')}, "
            f"the second {min(present)}; cases are paired by their files' names, so rename them, or give two files"
        )
    pairs = tuple(Pair(case, present[case], predicted.get(case)) for case in sorted(present))
    return Pairing(pairs, tuple(sorted(predicted.keys() - present.keys())))


def _pair_of_files(
    predictions: Path,
    predicted: dict[str, LabelFile],
    references: Path,
    present: dict[str, LabelFile],
    dataset: DatasetDescription | None,
) -> Pair:
    ((case, reference),), ((predicted_case, prediction),) = present.items(), predicted.items()
    names = names_of_folder(references.parent, dataset)
    if case != predicted_case and names.is_case(case) and names.is_case(predicted_case):
        raise InputError(
            f"{predictions} and {references}: two cases, {predicted_case} and {case}; rename one to the other"
        )
    return Pair(case, reference, prediction)
