"""Templates of names of files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.datasets.templates import compile_template


def case_of(text: str, path: str, case: str = r"s\d+", ignore_case: bool = False) -> str | None:
    stem = Path(path).name.removesuffix(".nii.gz")
    return compile_template("t1", text, case, ignore_case).case_of(Path(path), stem)


@pytest.mark.parametrize(
    ("text", "path", "case"),
    [
        ("{case}_t1", "/x/s1_t1.nii.gz", "s1"),
        ("{case}_t1", "/x/a1_t1.nii.gz", None),
        ("{case}_t1", "/x/s1_T1.nii.gz", None),
        ("{case}*_t1", "/x/s12_acq-a_t1.nii.gz", "s12"),
        ("imagesTr/{case}_0000", "/x/imagesTr/s1_0000.nii.gz", "s1"),
        ("imagesTr/{case}_0000", "/x/imagesTs/s1_0000.nii.gz", None),
        ("{case}/{case}_t1", "/x/s1/s1_t1.nii.gz", "s1"),
        ("{case}/{case}_t1", "/x/s2/s1_t1.nii.gz", None),
        ("{case}/t1", "/x/s1/t1.nii.gz", "s1"),
        ("t1", "/x/s1/t1.nii.gz", "s1"),
        ("t1", "/x/other/t1.nii.gz", None),
        ("t1", "/t1.nii.gz", None),
        ("anat/t1", "/x/s1/anat/t1.nii.gz", "s1"),
        ("{case}.t1", "/x/s1xt1.nii.gz", None),
    ],
)
def test_what_fits(text: str, path: str, case: str | None) -> None:
    assert case_of(text, path) == case


def test_upper_and_lower_case() -> None:
    assert case_of("{case}_T1", "/x/S1_t1.nii.gz", ignore_case=True) == "S1"
    assert case_of("T1", "/x/S1/t1.nii.gz", ignore_case=True) == "S1"


def test_volumes_and_literal_characters() -> None:
    template = compile_template("t1", "images/{case}*_x#3", "s", False)
    assert (template.volume, template.depth, template.literal, template.tail) == (3, 2, len("images/_x"), "_x")
    assert compile_template("t1", "{case}", "s", False).volume is None


def fault_of(text: str) -> str:
    try:
        compile_template("t1", text, "s", False)
    except ValueError as error:
        return str(error)
    return ""


@given(text=st.text(alphabet="ab_-.*/#0{}", max_size=12))
def test_any_text_is_a_template_or_a_fault_that_names_it(text: str) -> None:
    fault = fault_of(text)
    assert not fault or repr(text) in fault
    assert fault or case_of(text, "/x/s/other.nii.gz", "s") in {None, "s"}
