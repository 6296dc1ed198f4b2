"""Cross-validation folds: split by patient with dataset, site and grade kept in proportion, or read from a file."""

import random
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tunetseg.datasets.case import Case
from tunetseg.errors import InputError
from tunetseg.io.bounded import parse_json, read_text

__all__ = ["read_split", "split_folds"]


class _Fold(msgspec.Struct):
    train: list[str]
    val: list[str]


def read_split(path: str | Path, fold: int, cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Return the training and validation cases of one fold of a split file.

    Args:
        path: JSON as nnU-Net's ``splits_final.json``: a list with an object per fold, whose ``train`` and ``val`` are
            lists of case names.
        fold: Which one, from 0 on.
        cases: The cohort, which may hold more cases than the split.

    Raises:
        InputError: The file is not such a list, it has no such fold, one of its cases is not in the cohort, or a
            patient is on both sides.
    """
    try:
        folds = msgspec.convert(parse_json(read_text(path)), list[_Fold])
    except InputError:
        raise
    except ValueError as error:  # of msgspec too
        raise InputError(
            f"{path}: not a list of folds, each with the lists 'train' and 'val' of case names ({error})"
        ) from None
    if not 0 <= fold < len(folds):
        raise InputError(f"{path}: has {len(folds)} folds, so fold is 0 to {len(folds) - 1}, not {fold}")
    known = {_composed(case.id): case for case in cases}
    sides = [[_composed(name) for name in side] for side in (folds[fold].train, folds[fold].val)]
    unknown = [name for side in sides for name in side if name not in known]
    if unknown:
        raise InputError(f"{path}: case {unknown[0]!r} is not in the cohort; name cases as 'tunet inspect' shows them")
    training, validation = ([known[name] for name in dict.fromkeys(side)] for side in sides)
    if not training or not validation:
        raise InputError(f"{path}: fold {fold} has no case to {'validate' if training else 'train'} on")
    both = {case.patient for case in training} & {case.patient for case in validation}
    if both:
        raise InputError(f"{path}: patient {min(both)} is in both 'train' and 'val' of fold {fold}; keep one side")
    return training, validation


def _composed(name: str) -> str:
    """In the form NFC, as some file systems write accents as letters of their own."""
    return unicodedata.normalize("NFC", name)


def split_folds(cases: list[Case], folds: int = 5, seed: int = 0) -> list[list[Case]]:
    """Deal the patients of each dataset, site and grade over the folds like cards.

    Args:
        cases: A cohort; all cases of a patient land in one fold.
        folds: How many.
        seed: The same seed and cohort give the same folds, whatever the order of the cases.

    Returns:
        The validation cases of each fold; together they are the cohort.

    Raises:
        InputError: There are fewer patients than folds.
    """
    patients: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: case.id):
        patients[case.patient].append(case)
    if not 2 <= folds <= len(patients):
        most = len(patients)
        way = f"choose at most {most}" if most > 2 else "choose 2 folds" if most == 2 else "give at least two patients"
        raise InputError(f"{most} patient{'' if most == 1 else 's'} cannot be split into {folds} folds; {way}")
    strata: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for patient, (first, *_) in patients.items():
        numbering = (first.dataset.files.numbering or first.dataset.name) if first.dataset else ""
        strata[first.grade or "", numbering, first.site].append(patient)
    generator = random.Random(seed)
    order: list[str] = []
    for stratum in sorted(strata):
        generator.shuffle(strata[stratum])
        order += strata[stratum]
    dealt: list[list[Case]] = [[] for _ in range(folds)]
    for position, patient in enumerate(order):
        dealt[position % folds] += patients[patient]
    return [sorted(fold, key=lambda case: case.id) for fold in dealt]
