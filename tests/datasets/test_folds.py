"""Folds: a partition, by patient, with grades in proportion, the same whatever the order."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.datasets import Case
from tunetseg.datasets.folds import split_folds
from tunetseg.errors import InputError


@st.composite
def cohorts(draw: st.DrawFn) -> list[Case]:
    """Patients with one to three cases each."""
    cases = []
    for number, (visits, grade) in enumerate(
        draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["HGG", "LGG", None])), min_size=5, max_size=40))
    ):
        cases += [Case(f"p{number}-{visit}", {}, patient=f"p{number}", grade=grade) for visit in range(visits)]
    return cases


@given(cases=cohorts(), folds=st.integers(2, 5), seed=st.integers(0, 9))
def test_a_partition_by_patient(cases: list[Case], folds: int, seed: int) -> None:
    dealt = split_folds(cases, folds, seed)
    assert Counter(case.id for fold in dealt for case in fold) == Counter(case.id for case in cases)
    patients = [{case.patient for case in fold} for fold in dealt]
    assert sum(map(len, patients)) == len(set().union(*patients)), "a patient is in two folds"
    assert max(map(len, patients)) - min(map(len, patients)) <= 1


@given(cases=cohorts(), seed=st.integers(0, 9))
def test_grades_are_in_proportion(cases: list[Case], seed: int) -> None:
    dealt = split_folds(cases, 5, seed)
    for grade in ("HGG", "LGG", None):
        counts = [len({case.patient for case in fold if case.grade == grade}) for fold in dealt]
        assert max(counts) - min(counts) <= 1


@given(cases=cohorts())
def test_order_of_the_cases_does_not_matter(cases: list[Case]) -> None:
    shuffled = random.Random(1).sample(cases, len(cases))
    assert split_folds(cases, 3, 7) == split_folds(shuffled, 3, 7)


@pytest.mark.parametrize("folds", [1, 4])
def test_too_few_patients_are_said(folds: int) -> None:
    with pytest.raises(InputError, match=rf"3 patient\(s\) cannot be split into {folds} folds; take between 2 and 3"):
        split_folds([Case(f"p{n}", {}) for n in range(3)], folds)
