"""The files of one case, and lists of cases."""

from pathlib import Path

import pytest

from tunetseg.datasets import Case, read_case_list
from tunetseg.errors import InputError
from tunetseg.findings import Finding


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"p_{name}.nii.gz" for name in ("t1", "t2")}
    for path in paths.values():
        path.touch()
    return paths


def test_a_case_of_no_known_patient_is_its_own_patient() -> None:
    assert Case("a", {}).patient == "a"
    assert Case("a", {}, patient_id="x/1").patient == "x/1"


def test_files_that_are_there(files: dict[str, Path]) -> None:
    Case("p", files).check(("t1", "t2"))
    Case("p", files).check(("t2",))


def test_missing_channels_and_files(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"p: no flair or t1ce image in {tmp_path}; all of flair, t1, t1ce are"):
        Case("p", files).check(("flair", "t1", "t1ce"))
    with pytest.raises(InputError, match=r"^p: no ct image; all of ct are needed"):
        Case("p", {}).check(("ct",))
    files["t2"].unlink()
    with pytest.raises(InputError, match="there is no such t2 file"):
        Case("p", files).check(("t1", "t2"))


def test_one_file_for_two_channels(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "link.nii.gz").symlink_to(files["t1"])
    for path in (files["t1"], tmp_path / "link.nii.gz"):
        with pytest.raises(InputError, match="given as t1 and as t2; each needs its own file"):
            Case("p", {"t1": files["t1"], "t2": path}).check(("t1", "t2"))
    both = {"t1": files["t1"], "t2": files["t1"]}
    Case("p", both, volumes={"t1": 0, "t2": 1}).check(("t1", "t2"))
    with pytest.raises(InputError, match="given as t1 and as t2"):
        Case("p", both, volumes={"t1": 1, "t2": 1}).check(("t1", "t2"))


def test_faults_come_first(files: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"^the first$"):
        Case("p", files, faults={"the first": "t1", "the second": "t1"}).check(("t1",))
    with pytest.raises(InputError, match=r"^all$"):
        Case("p", files, faults={"all": ""}).check(("t1",))


def test_faults_of_what_is_not_used_do_not_count(files: dict[str, Path]) -> None:
    case = Case("p", files, files["t1"], faults={"two t1": "t1", "two references": "reference"})
    with pytest.raises(InputError, match="two t1"):
        case.check(("t1", "t2"))
    with pytest.raises(InputError, match="two references"):
        case.check(("t2",))
    with pytest.raises(InputError, match="two t1"):
        case.without("reference").check(("t1", "t2"))
    left = case.without("t1", "reference")
    left.check(("t2",))
    assert (left.reference, left.faults, list(left.images)) == (None, {}, ["t2"])


def test_a_series_that_is_missing_may_be_allowed(files: dict[str, Path]) -> None:
    missing = Finding("missing-channel", "refuse", "no flair series among 3")
    case = Case("p", files, findings=(missing,))
    case.check(("t1", "t2", "flair"), missing="allow")
    with pytest.raises(InputError, match=r"^p: no flair series among 3$"):
        case.check(("t1", "t2", "flair"))
    with pytest.raises(InputError, match=r"^p: a gap$"):
        Case("p", files, findings=(Finding("gap", "refuse", "a gap"),)).check(("t1", "flair"), missing="allow")


def test_a_list_of_cases_has_one_name_per_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\ufeffpat 1\r\n\n pat 2\npat 1\n", encoding="utf-8")
    assert read_case_list(tmp_path / "list.txt") == ["pat 1", "pat 2"]
    (tmp_path / "list.txt").write_text("Mu\u0308ller\nM\u00fcller\n", encoding="utf-8")
    assert read_case_list(tmp_path / "list.txt") == ["M\u00fcller"]


@pytest.mark.parametrize(("content", "message"), [(b" \n", "names no case"), (b"\xff", "is not a text file in UTF-8")])
def test_a_list_that_names_nothing(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(InputError, match=rf"list\.txt: {message}"):
        read_case_list(tmp_path / "list.txt")
    with pytest.raises(InputError, match=r"gone\.txt: there is no such file"):
        read_case_list(tmp_path / "gone.txt")
