"""Which cases the arguments of a command choose."""

import shutil
from pathlib import Path

import pytest

from tunetseg.cli.cases import choose_cases, images_by_channel
from tunetseg.datasets import DatasetDescription, find_cases, find_description
from tunetseg.errors import InputError

BRATS = find_description("brats2020")


def test_images_by_channel() -> None:
    flags = {"t1": Path("a.nii"), "t2": None}
    assert images_by_channel(["ct=b=c.nii", "flair=d.nii"], flags) == {
        "t1": Path("a.nii"),
        "ct": Path("b=c.nii"),
        "flair": Path("d.nii"),
    }
    for pair, reason in (
        ("ct", "write it as CHANNEL=FILE, such as ct=scan.nii.gz"),
        ("=a.nii", "write it as CHANNEL=FILE"),
        ("ct=", "write it as CHANNEL=FILE"),
        ("t1=b.nii", "t1 is given twice"),
    ):
        with pytest.raises(InputError, match=f"--image {pair}: {reason}"):
            images_by_channel([pair], flags)
    with pytest.raises(InputError, match="ct is given twice"):
        images_by_channel(["ct=a", "ct=b"], {})


def test_folders_of_cases_and_cohorts(mri_cohort: Path) -> None:
    cases = find_cases(mri_cohort)
    first = cases[0].images["t1"].parent
    assert choose_cases([mri_cohort], {}, BRATS) == cases
    assert choose_cases([first], {}, BRATS) == cases[:1]
    assert choose_cases([first, mri_cohort], {}, BRATS) == cases, "the same case twice is one"


def test_a_list_of_cases(mri_cohort: Path, tmp_path: Path) -> None:
    names = [case.id for case in find_cases(mri_cohort)]
    path = tmp_path / "validation.txt"
    path.write_text(f"{names[2]}\n\n{names[0]}\n")
    assert [case.id for case in choose_cases([mri_cohort], {}, BRATS, only=path)] == [names[2], names[0]]
    path.write_text("nobody\n")
    with pytest.raises(InputError, match=r"validation\.txt: case nobody is not in the folders that are given"):
        choose_cases([mri_cohort], {}, BRATS, only=path)
    with pytest.raises(InputError, match="there is no such file; a text file of case names"):
        choose_cases([mri_cohort], {}, BRATS, only=tmp_path / "nothing.txt")


def test_two_cases_of_one_name(mri_cohort: Path, tmp_path: Path) -> None:
    case = find_cases(mri_cohort)[0]
    copy = shutil.copytree(case.images["t1"].parent, tmp_path / case.id)
    with pytest.raises(InputError, match=f"case {case.id} is in another folder too"):
        choose_cases([mri_cohort, Path(copy)], {}, BRATS)


def test_single_files(mri_cohort: Path) -> None:
    images = find_cases(mri_cohort)[0].images
    (case,) = choose_cases([], images, BRATS, name="anna")
    assert case.id == "anna"
    assert case.images == images
    (case,) = choose_cases([], images, BRATS)
    assert case.id == "BraTS19_PHA_0_1"


def test_a_named_dataset(nested_cohort: Path, nested_description: DatasetDescription) -> None:
    cases = choose_cases([nested_cohort], {}, nested_description, dataset=nested_description)
    assert [case.id for case in cases] == ["case_00000", "case_00001", "case_00002"]


def test_arguments_that_do_not_fit(mri_cohort: Path, tmp_path: Path) -> None:
    images = find_cases(mri_cohort)[0].images
    for folders, files, options, reason in (
        ([], {}, {}, "give either folders of patients"),
        ([mri_cohort], images, {}, "give either folders of patients"),
        ([], images, {"only": tmp_path / "list.txt"}, "--cases chooses among the cases of folders"),
        ([mri_cohort], {}, {"name": "anna"}, "--name is for single files"),
    ):
        with pytest.raises(InputError, match=reason):
            choose_cases(folders, files, BRATS, **options)
