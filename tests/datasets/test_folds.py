"""Folds: a partition, by patient, with datasets and grades in proportion, the same whatever the order."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.datasets import Case, DatasetDescription, find_description, split_folds
from tunetseg.datasets.folds import read_split
from tunetseg.errors import InputError


@st.composite
def cohorts(draw: st.DrawFn) -> list[Case]:
    """Patients with one to three cases each."""
    cases = []
    for number, (visits, grade) in enumerate(
        draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["HGG", "LGG", None])), min_size=5, max_size=40))
    ):
        cases += [Case(f"p{number}-{visit}", {}, patient_id=f"p{number}", grade=grade) for visit in range(visits)]
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


@given(sizes=st.tuples(*[st.integers(0, 20)] * 3).filter(lambda sizes: sum(sizes) >= 5), seed=st.integers(0, 9))
def test_datasets_are_in_proportion(sizes: tuple[int, ...], seed: int) -> None:
    regions = [{"name": "r", "labels": [1]}]
    mine, other = (
        DatasetDescription.from_dict({"name": name, "channels": [{"name": "c"}], "regions": regions})
        for name in ("mine", "other")
    )
    datasets = (mine, other, find_description("brats2021"))
    cases = [
        Case(f"{dataset.name}{number}", {}, dataset=dataset)
        for dataset, size in zip(datasets, sizes, strict=True)
        for number in range(size)
    ]
    for name in ("mine", "other", "brats2021"):
        counts = [
            sum(case.dataset is not None and case.dataset.name == name for case in fold)
            for fold in split_folds(cases, 5, seed)
        ]
        assert max(counts) - min(counts) <= 1


@given(cases=cohorts())
def test_order_of_the_cases_does_not_matter(cases: list[Case]) -> None:
    shuffled = random.Random(1).sample(cases, len(cases))
    assert split_folds(cases, 3, 7) == split_folds(shuffled, 3, 7)


def test_another_seed_deals_otherwise() -> None:
    cases = [Case(f"p{number}", {}) for number in range(40)]
    assert split_folds(cases, 5, 0) != split_folds(cases, 5, 1)


@pytest.mark.parametrize("folds", [1, 4])
def test_too_few_patients_are_refused(folds: int) -> None:
    with pytest.raises(InputError, match=rf"3 patients cannot be split into {folds} folds; choose"):
        split_folds([Case(f"p{n}", {}) for n in range(3)], folds)


def test_one_patient_cannot_be_split() -> None:
    with pytest.raises(InputError, match="give at least two patients"):
        split_folds([Case(f"visit{n}", {}, patient_id="anna") for n in range(3)], 2)


def test_a_split_of_someone_else(tmp_path: Path) -> None:
    cases = [Case(name, {}, patient_id=name[0]) for name in ("a1", "a2", "b1", "c1", "d1")]
    path = tmp_path / "splits_final.json"

    def write(*folds: tuple[list[str], list[str]]) -> None:
        path.write_text(json.dumps([{"train": train, "val": val} for train, val in folds]))

    write((["a1", "a2", "b1"], ["c1"]), (["c1"], ["b1", "a1"]))
    training, validation = read_split(path, 1, cases)
    assert ([case.id for case in training], [case.id for case in validation]) == (["c1"], ["b1", "a1"])
    with pytest.raises(InputError, match=r"splits_final\.json: has 2 folds, so fold is 0 to 1, not 2"):
        read_split(path, 2, cases)
    with pytest.raises(InputError, match=r"splits_final\.json: has 2 folds, so fold is 0 to 1, not -1"):
        read_split(path, -1, cases)
    for folds, fault in (
        ((["a1"], ["a2"]), "patient a is in both 'train' and 'val' of fold 0"),
        ((["a1"], ["nobody"]), "case 'nobody' is not in the cohort"),
        ((["a1"], []), "fold 0 has no case to validate on"),
        (([], ["a1"]), "fold 0 has no case to train on"),
    ):
        write(folds)
        with pytest.raises(InputError, match=fault):
            read_split(path, 0, cases)
    for text in ("{}", '[{"train": ["a1"]}]', "[1", '[{"train": [1], "val": []}]'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"not a list of folds, each with the lists 'train' and 'val'"):
            read_split(path, 0, cases)


def test_a_split_names_cases_in_either_form_of_accents(tmp_path: Path) -> None:
    cases = [Case("Mu\u0308ller", {}), Case("Ren\u00e9e", {})]
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["M\u00fcller"], "val": ["Rene\u0301e"]}]))
    assert read_split(path, 0, cases) == ([cases[0]], [cases[1]])
