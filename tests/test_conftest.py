"""The shared fixtures hold what they say, and data that are missing are named."""

from pathlib import Path

import numpy as np
import pytest

from tunetseg.datasets import DatasetDescription, find_cases
from tunetseg.datasets.phantom import Phantom
from tunetseg.inference.predictor import load_model
from tunetseg.inference.segment import segment
from tunetseg.io import read_label_map

pytest_plugins = "pytester"


def test_cohorts(
    mri_cohort: Path, ct_cohort: Path, nested_cohort: Path, nested_description: DatasetDescription
) -> None:
    for folder, dataset, regions, count in (
        (mri_cohort, None, 3, 4),
        (ct_cohort, None, 2, 3),
        (nested_cohort, nested_description, 4, 3),
    ):
        cases = find_cases(folder, dataset)
        assert len(cases) == count
        for case in cases:
            assert case.dataset is not None
            case.check(case.dataset.channel_names)
            assert case.reference is not None
            nesting = case.dataset.scheme.nesting(read_label_map(case.reference).array)
            least = regions - (case.grade == "LGG")
            assert nesting.max() == least


def test_the_tiny_model_segments(tiny_model: Path, mri_cohort: Path, mri_patient: Phantom) -> None:
    predictor = load_model(tiny_model)
    result = segment(find_cases(mri_cohort)[0].images, model=predictor)
    assert result.label_map.shape == mri_patient.label_map.shape
    assert set(np.unique(result.label_map)) <= {0, 1, 2, 4}


def test_missing_data_are_named(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNETSEG_COHORT", "/nowhere/cohort")
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.needs_cohort
        def test_marked():
            pass

        def test_fixture(real_cohort):
            pass
        """
    )
    result = pytester.runpytest_inprocess("-rs", "-p", "no:cacheprovider")
    result.assert_outcomes(skipped=2)
    assert result.stdout.str().count("no real patients in /nowhere/cohort; name their folder in TUNETSEG_COHORT") >= 1
