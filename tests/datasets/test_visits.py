"""Folders that are visits by their names."""

from pathlib import Path

import pytest

from tunetseg.datasets.visits import visited_patient

ROOT = Path("/cohort")


@pytest.mark.parametrize(
    "name",
    ["2019", "20190501", "2019-05-01", "2019_05", "baseline", "Follow-Up", "fu2", "visit 3", "ses-01", "timepoint1",
     "month6", "preop", "post-operative", "v1", "t0"],
)  # fmt: skip
def test_visits(name: str) -> None:
    assert visited_patient(ROOT / "anna" / name, ROOT) == "anna"
    assert visited_patient(ROOT / "site/anna" / name, ROOT) == "anna"
    assert visited_patient(ROOT / name, ROOT) is None
    assert visited_patient(ROOT, ROOT) is None


@pytest.mark.parametrize("name", ["anna", "001", "12", "1850", "P2019", "2019a", "W39", "t1ce", "scanner", "posterior"])
def test_other_folders(name: str) -> None:
    assert visited_patient(ROOT / "HGG" / name, ROOT) is None
