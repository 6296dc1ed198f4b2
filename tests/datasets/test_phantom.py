"""The embedded patient: what it must be, whatever the seed."""

from pathlib import Path

import numpy as np
import pytest

from tunetseg.datasets import find_cases
from tunetseg.datasets.phantom import make_patient, write_cohort, write_patient
from tunetseg.io.volume import read_label_map, read_volume

TINY = {"shape": (48, 48, 32), "spacing": 5.0}


@pytest.mark.parametrize("seed", range(4))
def test_patient(seed: int) -> None:
    patient = make_patient(seed, **TINY)
    assert set(patient.images) == {"t1", "t1ce", "t2", "flair"}
    assert [bool((patient.label_map == value).any()) for value in (1, 2, 4)] == [True] * 3
    brain = patient.images["t1"] > 0
    assert 0.05 < brain.mean() < 0.4
    for image in patient.images.values():
        assert image.shape == TINY["shape"]
        assert np.array_equal(image > 0, brain)
    assert not (patient.label_map > 0)[~brain].any()
    t1ce, flair = patient.images["t1ce"], patient.images["flair"]
    healthy = brain & (patient.label_map == 0)
    assert t1ce[patient.label_map == 4].mean() > t1ce[healthy].mean() + t1ce[healthy].std()
    assert flair[patient.label_map == 2].mean() > flair[healthy].mean() + flair[healthy].std()


def test_same_seed_same_patient_other_seed_another() -> None:
    one, same, other = (make_patient(seed, **TINY) for seed in (3, 3, 4))
    assert np.array_equal(one.images["t2"], same.images["t2"])
    assert not np.array_equal(one.label_map, other.label_map)


def test_low_grade_does_not_enhance() -> None:
    assert set(np.unique(make_patient(0, grade="LGG", **TINY).label_map)) == {0, 1, 2}


@pytest.mark.parametrize("year", [2017, 2018, 2019, 2020, 2021, 2023])
def test_every_year_is_recognised(tmp_path: Path, year: int) -> None:
    write_patient(make_patient(0, **TINY), tmp_path, number=7, year=year)
    (case,) = find_cases(tmp_path)
    assert case.labels == ("brats2023" if year == 2023 else "brats2017")
    assert case.grade == ("HGG" if year < 2020 else None)
    assert read_volume(case).array.shape == (4, 48, 48, 32)
    assert case.segmentation is not None
    assert read_label_map(case.segmentation).array.max() == (3 if year == 2023 else 4)


def test_cohort(tmp_path: Path) -> None:
    assert len(write_cohort(tmp_path, cases=5, year=2019)) == 5
    assert sorted(case.grade or "" for case in find_cases(tmp_path)) == ["HGG"] * 4 + ["LGG"]
