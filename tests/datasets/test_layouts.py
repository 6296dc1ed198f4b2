"""Datasets as they come: years mixed, flat or nested, and four files given by name."""

import os
from pathlib import Path

import pytest

from tunetseg.datasets import case_from_files, find_cases, read_case_list
from tunetseg.errors import InputError

SEPARATE = ("t1", "t1ce", "t2", "flair", "seg")
NEW = ("t1n", "t1c", "t2w", "t2f", "seg")


def lay(folder: Path, case: str, *, suffixes: tuple[str, ...] = SEPARATE, join: str = "_", ending: str = ".nii.gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in suffixes:
        (folder / f"{case}{join}{suffix}{ending}").touch()


def test_years_side_by_side_are_one_cohort(tmp_path: Path) -> None:
    lay(tmp_path / "2017/HGG/Brats17_TCIA_101_1", "Brats17_TCIA_101_1")
    lay(tmp_path / "2018/LGG/Brats18_2013_0_1", "Brats18_2013_0_1")
    lay(tmp_path / "2019/HGG/BraTS19_TCIA01_101_1", "BraTS19_TCIA01_101_1", ending=".nii")
    lay(tmp_path / "2020/BraTS20_Training_001", "BraTS20_Training_001")
    lay(tmp_path / "2021/BraTS2021_00005", "BraTS2021_00005")
    lay(tmp_path / "2023/BraTS-GLI-00005-000", "BraTS-GLI-00005-000", suffixes=NEW, join="-")
    lay(tmp_path / "2023/BraTS-GLI-00005-001", "BraTS-GLI-00005-001", suffixes=NEW, join="-")
    cases = {case.id: case for case in find_cases(tmp_path)}
    assert len(cases) == 7
    for case in cases.values():
        case.check()
        assert case.segmentation is not None
    assert {name for name, case in cases.items() if case.labels == "brats2023"} == {
        "BraTS-GLI-00005-000",
        "BraTS-GLI-00005-001",
    }
    assert (cases["Brats18_2013_0_1"].grade, cases["BraTS19_TCIA01_101_1"].grade) == ("LGG", "HGG")
    # The same patient under two years' names, and at two time points, is one patient.
    assert cases["Brats17_TCIA_101_1"].patient == cases["BraTS19_TCIA01_101_1"].patient
    assert len({cases[n].patient for n in cases if "00005" in n}) == 1
    assert len({case.patient for case in cases.values()}) == 4


def test_a_cases_own_folder_and_a_flat_folder(tmp_path: Path) -> None:
    lay(tmp_path / "flat", "BraTS2021_00001")
    lay(tmp_path / "flat", "BraTS2021_00002")
    assert [case.id for case in find_cases(tmp_path / "flat")] == ["BraTS2021_00001", "BraTS2021_00002"]
    lay(tmp_path / "own/BraTS2021_00003", "BraTS2021_00003")
    assert [case.id for case in find_cases(tmp_path / "own/BraTS2021_00003")] == ["BraTS2021_00003"]


def test_anyones_files_in_either_style(tmp_path: Path) -> None:
    lay(tmp_path, "anna")
    lay(tmp_path, "bert-2", suffixes=NEW, join="-")
    anna, bert = find_cases(tmp_path)
    assert (anna.id, bert.id, anna.labels, bert.labels) == ("anna", "bert-2", None, None)
    assert bert.images["t1ce"].name == "bert-2-t1c.nii.gz"


def test_files_that_are_no_images_are_passed_over(tmp_path: Path) -> None:
    lay(tmp_path / "a", "BraTS2021_00001")
    for name in (".DS_Store", "._BraTS2021_00009_t1.nii.gz", "survival.csv", "BraTS2021_00001_unc_whole.nii.gz"):
        (tmp_path / "a" / name).touch()
    assert [case.id for case in find_cases(tmp_path)] == ["BraTS2021_00001"]


def test_one_case_in_two_folders_is_said(tmp_path: Path) -> None:
    lay(tmp_path / "a", "BraTS2021_00001")
    lay(tmp_path / "b", "BraTS2021_00001")
    with pytest.raises(InputError, match="BraTS2021_00001 is there twice"):
        find_cases(tmp_path)


def test_a_file_in_place_of_a_folder_is_said(tmp_path: Path) -> None:
    lay(tmp_path, "anna")
    with pytest.raises(InputError, match="is a file; give its folder"):
        find_cases(tmp_path / "anna_t1.nii.gz")


def test_four_files_by_name(tmp_path: Path) -> None:
    files = {}
    for modality in ("t1", "t1ce", "t2", "flair"):
        files[modality] = tmp_path / f"scan {modality}.nii.gz"
        files[modality].touch()
    assert case_from_files(files).id == "scan t1"
    assert case_from_files(files, "anna").id == "anna"
    with pytest.raises(InputError, match="no flair image"):
        case_from_files({name: path for name, path in files.items() if name != "flair"})
    with pytest.raises(InputError, match="no such t2 file"):
        case_from_files({**files, "t2": tmp_path / "gone.nii.gz"})


def test_the_real_cohort_is_recognised_whole() -> None:
    cohort = Path(__file__).parents[3] / "shared/cohort"
    if not cohort.is_dir():
        pytest.skip("the cohort of real patients is not here")
    cases = find_cases(cohort)
    assert len(cases) == 54
    for case in cases:
        case.check()
        assert case.labels is not None, f"{case.id}: no year recognised"


def test_name_mapping_of_2020_tells_grade_and_patient(tmp_path: Path) -> None:
    lay(tmp_path / "2020/BraTS20_Training_001", "BraTS20_Training_001")
    lay(tmp_path / "2020/BraTS20_Training_002", "BraTS20_Training_002")
    lay(tmp_path / "2018/HGG/Brats18_CBICA_AAB_1", "Brats18_CBICA_AAB_1")
    (tmp_path / "2020/name_mapping.csv").write_text(
        "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,BraTS_2019_subject_ID,BraTS_2020_subject_ID\n"
        "HGG,Brats17_CBICA_AAB_1,Brats18_CBICA_AAB_1,BraTS19_CBICA_AAB_1,BraTS20_Training_001\n"
        "LGG,NA,NA,NA,BraTS20_Training_002\n"
    )
    cases = {case.id: case for case in find_cases(tmp_path)}
    assert [cases[f"BraTS20_Training_00{n}"].grade for n in (1, 2)] == ["HGG", "LGG"]
    assert cases["BraTS20_Training_001"].patient == cases["Brats18_CBICA_AAB_1"].patient
    assert len({case.patient for case in cases.values()}) == 2
    (alone,) = find_cases(tmp_path / "2020/BraTS20_Training_002")
    assert alone.grade == "LGG"


def test_a_name_mapping_that_tells_nothing_is_said(tmp_path: Path) -> None:
    lay(tmp_path / "BraTS20_Training_001", "BraTS20_Training_001")
    (tmp_path / "name_mapping.csv").write_text("Grade;BraTS_2020_subject_ID\nHGG;BraTS20_Training_001\n")
    with pytest.raises(InputError, match="save it with commas"):
        find_cases(tmp_path)
    (tmp_path / "name_mapping.csv").write_bytes(b"Grade,BraTS_2020_subject_ID\n\xff,BraTS20_Training_001\n")
    with pytest.raises(InputError, match=r"name_mapping\.csv: cannot be read"):
        find_cases(tmp_path)
    lay(tmp_path / "other/mine", "mine")
    assert [case.id for case in find_cases(tmp_path / "other")] == ["mine"], "nobody else needs it"


def test_a_folder_is_the_same_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path / "HGG/BraTS20_Training_355", "BraTS20_Training_355", suffixes=SEPARATE[:4])
    (tmp_path / "HGG/BraTS20_Training_355/W39_1998.09.19_Segm.nii").touch()
    (tmp_path / "HGG/name_mapping.csv").write_text(
        "BraTS_2018_subject_ID,BraTS_2020_subject_ID\nBrats18_X_1,BraTS20_Training_355\n"
    )
    monkeypatch.chdir(tmp_path / "HGG/BraTS20_Training_355")
    (case,) = find_cases(".")
    assert (case.id, case.grade, case.patient) == ("BraTS20_Training_355", "HGG", "named/X")
    assert case.segmentation is not None


def test_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    lay(tmp_path / "a", "a")
    lay(tmp_path / ".Trash-1000/files/a", "a")
    lay(tmp_path / ".Trash-1000/files/b", "b")
    assert [case.id for case in find_cases(tmp_path)] == ["a"]


def test_a_name_that_is_not_utf8_is_said(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"M\xfcller_t1.nii.gz")).touch()
    except OSError:
        pytest.skip("this disk takes UTF-8 names only")
    with pytest.raises(InputError, match=r"M\\udcfcller_t1.nii.gz: a file's name that is not UTF-8"):
        find_cases(tmp_path)


def test_linked_years_are_one_cohort(tmp_path: Path) -> None:
    lay(tmp_path / "far/BraTS20_Training_001", "BraTS20_Training_001")
    lay(tmp_path / "cohort/BraTS2021_00005", "BraTS2021_00005")
    (tmp_path / "cohort/2020").symlink_to(tmp_path / "far")
    (tmp_path / "far/again").symlink_to(tmp_path / "cohort")
    assert [case.id for case in find_cases(tmp_path / "cohort")] == ["BraTS2021_00005", "BraTS20_Training_001"]


def test_four_files_of_a_dataset_have_its_labels(tmp_path: Path) -> None:
    for case, suffixes, join, labels in (
        ("BraTS2021_00005", SEPARATE, "_", "brats2017"),
        ("BraTS-GLI-00005-000", NEW, "-", "brats2023"),
        ("mine", SEPARATE, "_", None),
    ):
        lay(tmp_path / case, case, suffixes=suffixes, join=join)
        (whole,) = find_cases(tmp_path / case)
        named = case_from_files(whole.images)
        assert (named.id, named.labels) == (case, labels)
        assert case_from_files(whole.images, "other").labels == labels


def test_the_true_folder_goes_before_a_link_to_it(tmp_path: Path) -> None:
    lay(tmp_path / "zz/HGG/Brats18_A_1", "Brats18_A_1")
    (tmp_path / "aa").symlink_to(tmp_path / "zz/HGG/Brats18_A_1")
    (case,) = find_cases(tmp_path)
    assert case.grade == "HGG"


def test_only_the_named_years_patients_lose_their_sites_number(tmp_path: Path) -> None:
    for case in ("TCIA01_5", "TCIA02_5"):
        lay(tmp_path / case, case)
    assert len({case.patient for case in find_cases(tmp_path)}) == 2


def test_four_files_whose_names_gainsay_their_flags(tmp_path: Path) -> None:
    images = {}
    for case in ("BraTS2021_00005", "BraTS2021_00006", "mine"):
        lay(tmp_path / case, case)
        (found,) = find_cases(tmp_path / case)
        images[case] = found
    one, two, mine = images.values()
    with pytest.raises(InputError, match="are of two cases"):
        case_from_files(one.images | {"t2": two.images["t2"]})
    for case in (one, mine):
        with pytest.raises(InputError, match="given as t1, but its name says t1ce"):
            case_from_files(case.images | {"t1": case.images["t1ce"], "t1ce": case.images["t1"]})
        assert case.segmentation is not None
        with pytest.raises(InputError, match="given as flair, but its name says seg"):
            case_from_files(case.images | {"flair": case.segmentation})
    # In names of one's own, what ends in t1 may be a T1 after contrast.
    after = mine.images["t1ce"].rename(mine.images["t1ce"].with_name("mine_gd_t1.nii.gz"))
    assert case_from_files(mine.images | {"t1ce": after}).images["t1ce"] == after


def test_a_list_of_cases_has_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\ufeffpat 1\r\n\n pat 2\npat 1\n", encoding="utf-8")
    assert read_case_list(tmp_path / "list.txt") == ["pat 1", "pat 2"]
