"""Fixtures that many tests share: synthetic patients and cohorts, made once per session; nobody may change them."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tunetseg.datasets import DatasetDescription
from tunetseg.datasets.phantom import Phantom, make_for, write_cohort, write_patient

# Property tests look for wrong values; a slow machine is no error of theirs.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def mri_patient() -> Phantom:
    """A glioma of 48x48x32 voxels of 5 mm, of high grade, in memory."""
    return make_for("brats2020", 0)


@pytest.fixture(scope="session")
def nested_description() -> DatasetDescription:
    """A dataset that is not packaged: two channels, four nested regions, label values in no order."""
    return DatasetDescription.from_dict(
        {
            "name": "onions",
            "channels": [{"name": "first"}, {"name": "second"}],
            "regions": [
                {"name": "peel", "labels": [7, 2, 5, 3]},
                {"name": "skin", "labels": [2, 5, 3]},
                {"name": "flesh", "labels": [5, 3]},
                {"name": "core", "labels": [3]},
            ],
            "files": {
                "case": r"case_(?P<patient>\d+)",
                "channels": {"first": "{case}_a", "second": "{case}_b"},
                "reference": "{case}_labels",
            },
        }
    )
