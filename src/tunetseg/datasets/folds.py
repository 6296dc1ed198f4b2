"""Cross-validation folds, split by patient with dataset, site and grade kept in proportion."""

import random
from collections import defaultdict

from tunetseg.datasets.case import Case
from tunetseg.errors import InputError

__all__ = ["split_folds"]


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
