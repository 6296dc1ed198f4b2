"""Cohorts of several datasets have one description, or say why not."""

import pytest

from tunetseg.datasets import Case, DatasetDescription, find_description
from tunetseg.datasets.common import common_description
from tunetseg.errors import InputError


def cohort(*names: str) -> list[Case]:
    return [Case(f"case{n}", {}, dataset=find_description(name)) for n, name in enumerate(names)]


def test_the_dataset_of_most_cases() -> None:
    assert common_description(cohort("brats2019")).name == "brats2019"
    assert common_description(cohort("brats2019", "brats2023", "brats2023-ssa", "brats2023")).name == "brats2023"
    # Of equally many, the first by name, whatever the order.
    assert common_description(cohort("brats2021", "brats2019")).name == "brats2019"
    assert common_description([*cohort("brats2021"), Case("unknown", {})]).name == "brats2021"


def test_other_channels_or_regions_do_not_go_together(nested_description: DatasetDescription) -> None:
    with pytest.raises(InputError, match="cases of brats2019 and of kits19 are in one cohort"):
        common_description(cohort("brats2019", "brats2019", "kits19"))
    raw = nested_description.to_dict()
    raw["name"] = "apples"
    raw["channels"][0]["normalisation"] = {"kind": "clip", "low": 0, "high": 1}
    with pytest.raises(InputError, match="apples and of onions"):
        common_description(
            [
                Case("a", {}, dataset=nested_description),
                Case("b", {}, dataset=DatasetDescription.from_dict(raw)),
            ]
        )


def test_nothing_to_go_by() -> None:
    with pytest.raises(InputError, match="name the dataset"):
        common_description([Case("a", {})])
