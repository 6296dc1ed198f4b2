"""Cross-validation folds, split by patient with grades kept in proportion."""

import random
from collections import defaultdict

from tunetseg.datasets.case import Case
from tunetseg.errors import InputError

__all__ = ["split_folds"]


def split_folds(cases: list[Case], folds: int = 5, seed: int = 0) -> list[list[Case]]:
    """Deal the patients of each grade over the folds like cards.

    Args:
        cases: A cohort; all cases of a patient land in one fold.
        folds: How many.
        seed: The same seed and cohort give the same folds, whatever the order of the cases.

    Returns:
        The validation cases of each fold; together they are the cohort.

    Raises:
        InputError: Fewer patients than folds.
    """
    patients: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: case.id):
        patients[case.patient].append(case)
    if not 2 <= folds <= len(patients):
        way = f"take between 2 and {len(patients)}" if len(patients) > 1 else "two patients are the least"
        raise InputError(f"{len(patients)} patient(s) cannot be split into {folds} folds; {way}")
    strata: dict[str, list[str]] = defaultdict(list)
    for patient, own in patients.items():
        strata[own[0].grade or ""].append(patient)
    generator = random.Random(seed)
    order: list[str] = []
    for grade in sorted(strata):
        generator.shuffle(strata[grade])
        order += strata[grade]
    dealt: list[list[Case]] = [[] for _ in range(folds)]
    for position, patient in enumerate(order):
        dealt[position % folds] += patients[patient]
    return [sorted(fold, key=lambda case: case.id) for fold in dealt]
