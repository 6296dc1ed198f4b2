"""Tables of patients, such as the ``name_mapping.csv`` of BraTS 2020."""

from pathlib import Path

import pytest

from tunetseg.datasets import find_cases, find_description
from tunetseg.datasets.patients import PatientRow, read_patient_tables
from tunetseg.errors import InputError

TABLE = (
    "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,BraTS_2019_subject_ID,BraTS_2020_subject_ID\n"
    "HGG,Brats17_CBICA_AAB_1,Brats18_CBICA_AAB_1,BraTS19_CBICA_AAB_1,BraTS20_Training_001\n"
    "LGG,NA,NA,NA,BraTS20_Training_002\n"
    "HGG,NA,Brats18_TCIA05_7_1,NA,BraTS20_Training_003\n"
)
OF_2019 = "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID\nHGG,a,b,c,d\n"


def lay(folder: Path, case: str) -> None:
    (folder / case).mkdir(parents=True)
    for suffix in ("t1", "t1ce", "t2", "flair", "seg"):
        (folder / case / f"{case}_{suffix}.nii.gz").touch()


def rows(*folders: Path) -> dict[str, PatientRow]:
    return read_patient_tables(folders, [find_description("brats2021"), find_description("brats2020")])


def test_rows(tmp_path: Path) -> None:
    (tmp_path / "name_mapping.csv").write_text(TABLE, encoding="utf-8-sig")
    assert rows(tmp_path) == {
        "BraTS20_Training_001": PatientRow("HGG", "named/CBICA_AAB"),
        "BraTS20_Training_002": PatientRow("LGG", None),
        "BraTS20_Training_003": PatientRow("HGG", "named/TCIA_7"),
    }
    assert read_patient_tables([tmp_path], [find_description("brats2021")]) == {}, "a dataset without a table"


def test_the_table_says_grade_and_patient(tmp_path: Path) -> None:
    lay(tmp_path / "2020", "BraTS20_Training_001")
    lay(tmp_path / "2020", "BraTS20_Training_002")
    lay(tmp_path / "2018/HGG", "Brats18_CBICA_AAB_1")
    (tmp_path / "2020/name_mapping.csv").write_text(TABLE)
    cases = {case.id: case for case in find_cases(tmp_path)}
    assert [cases[f"BraTS20_Training_00{n}"].grade for n in (1, 2)] == ["HGG", "LGG"]
    assert cases["BraTS20_Training_001"].patient == cases["Brats18_CBICA_AAB_1"].patient
    assert len({case.patient for case in cases.values()}) == 2
    (alone,) = find_cases(tmp_path / "2020/BraTS20_Training_002")
    assert alone.grade == "LGG", "the table lies in the folder above"


def test_the_table_of_another_release_of_the_same_name_says_nothing(tmp_path: Path) -> None:
    lay(tmp_path / "2020", "BraTS20_Training_001")
    lay(tmp_path / "2019/HGG", "BraTS19_CBICA_AAB_1")
    (tmp_path / "2020/name_mapping.csv").write_text(TABLE)
    (tmp_path / "2019/name_mapping.csv").write_text(OF_2019)
    first, second = find_cases(tmp_path)
    assert first.patient == second.patient == "named/CBICA_AAB"


def test_a_table_that_says_nothing_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, "BraTS20_Training_001")
    (tmp_path / "name_mapping.csv").write_text("Grade;BraTS_2020_subject_ID\nHGG;BraTS20_Training_001\n")
    with pytest.raises(InputError, match=r"name_mapping\.csv: no column BraTS_2020_subject_ID; save it with commas"):
        find_cases(tmp_path)
    (tmp_path / "name_mapping.csv").write_bytes(b"Grade,BraTS_2020_subject_ID\n\xff,BraTS20_Training_001\n")
    with pytest.raises(
        InputError, match=r"name_mapping\.csv: is not a text file in UTF-8; patients and grades are unknown"
    ):
        find_cases(tmp_path)
    (tmp_path / "name_mapping.csv").write_bytes(b"")
    assert find_cases(tmp_path)[0].grade is None
    lay(tmp_path / "other", "mine")
    assert [case.id for case in find_cases(tmp_path / "other")] == ["mine"], "no other dataset needs it"


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("HGG,Brats18_CBICA_ABY", "row 2 has 2 cells"),
        ("LGG,Brats18_CBICA_AAB_1,BraTS20_Training_001", "BraTS20_Training_001 is there twice with different patients"),
    ],
)
def test_a_table_that_contradicts_itself_or_is_cut_off(more: str, fault: str, tmp_path: Path) -> None:
    """They were taken without a word, and the folds divided patients by them."""
    lay(tmp_path, "BraTS20_Training_001")
    whole = "Grade,BraTS_2018_subject_ID,BraTS_2020_subject_ID\nHGG,Brats18_CBICA_AAB_1,BraTS20_Training_001\n"
    (tmp_path / "name_mapping.csv").write_text(whole + more)
    with pytest.raises(InputError, match=rf"name_mapping\.csv: .*{fault}"):
        find_cases(tmp_path)
