"""Names of files: what every dataset calls its own is recognised as that, and the most literal template counts."""

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tunetseg.datasets import (
    DatasetDescription,
    case_of_prediction,
    find_description,
    nifti_stem,
    packaged_descriptions,
    prediction_name,
)
from tunetseg.datasets.recognition import match_file, patient_of
from tunetseg.datasets.templates import REFERENCE, compile_template

RECOGNISED = [found for found in packaged_descriptions().values() if found.recognise]
ROOT = Path("/data/cohort")
SHARED = {
    # Later releases took the names of earlier ones; which is recognised:
    "brats2023-ped": "brats2024-ped",
    "brats2024": "brats2023",
    "brats2024-cavity": "brats2023",
    "brats2025-met": "brats2023-met",
}
LETTERS = st.characters(codec="ascii", categories=("L", "N"), include_characters="_-. ")


def names_of(description: DatasetDescription) -> st.SearchStrategy[str]:
    """Names of cases that a dataset may have."""
    return st.from_regex(description.files.case, fullmatch=True, alphabet=LETTERS).filter(lambda name: name.strip(" ."))


def texts(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def file_of(template: str, case: str) -> tuple[Path, int | None]:
    """A file that fits a template, and the volume in it."""
    name, _, volume = template.partition("#")
    folder = ROOT if "{case}" in name else ROOT / case
    filled = name.replace("-*", "-x").replace("*", "").replace("{case}", case)
    return folder / f"{filled}.nii.gz", int(volume) if volume else None


@pytest.mark.parametrize("description", packaged_descriptions().values(), ids=packaged_descriptions())
@settings(max_examples=25)
@given(data=st.data())
def test_names_of_a_datasets_own_templates(description: DatasetDescription, data: st.DataObject) -> None:
    case = data.draw(names_of(description))
    layout = description.files
    for role, given_as in (*layout.channels.items(), (REFERENCE, layout.reference)):
        template = data.draw(st.sampled_from(texts(given_as)))
        path, volume = file_of(template, case)
        alone = match_file(path, [description])
        assert alone is not None
        assert (alone.case, alone.root) == (case, path.parents[template.count("/")])
        assert (role, volume) in alone.roles
        assert patient_of(alone.case, description)[0].startswith(f"{layout.numbering or description.name}/")
        if description.generic:
            assume(all(match_file(path, [other]) is None for other in RECOGNISED if not other.generic))
        if description.name == "nnunet-brats":
            continue  # recognised only where it is named
        among = match_file(path, RECOGNISED)
        assert among is not None
        assert among.description.name == SHARED.get(description.name, description.name)
        assert (among.case, (role, volume) in among.roles) == (case, True)


def test_which_datasets_share_names() -> None:
    hidden = {name for name, found in packaged_descriptions().items() if not found.recognise}
    assert hidden == {*SHARED, "nnunet-brats"}


@pytest.mark.parametrize("description", packaged_descriptions().values(), ids=packaged_descriptions())
@settings(max_examples=25)
@given(data=st.data())
def test_names_of_predictions_go_back_to_their_cases(description: DatasetDescription, data: st.DataObject) -> None:
    case = data.draw(names_of(description))
    assert case_of_prediction(prediction_name(case, description), description) == case


def test_predictions_of_kits() -> None:
    kits = find_description("kits19")
    assert prediction_name("case_00210", kits) == "prediction_00210"
    assert prediction_name("anna", kits) == "anna", "a case of another dataset has no number"
    assert case_of_prediction("prediction_00210", kits) == "case_00210"
    assert case_of_prediction("prediction_x", kits) is None
    assert case_of_prediction("case_00210", kits) is None


@pytest.mark.parametrize(
    ("name", "dataset", "case", "role"),
    [
        ("Brats18_TCIA01_101_1/Brats18_TCIA01_101_1_t1ce.nii.gz", "brats2018", "Brats18_TCIA01_101_1", "t1ce"),
        ("Brats18_X_1/Brats18_X_1_seg.nii", "brats2018", "Brats18_X_1", REFERENCE),
        ("BraTS20_Training_355/W39_1998.09.19_Segm.nii", "brats2020", "BraTS20_Training_355", REFERENCE),
        ("BraTS2021_00005_t1.nii.gz", "brats2021", "BraTS2021_00005", "t1"),
        ("BraTS-GLI-00005-001-t2f.nii.gz", "brats2023", "BraTS-GLI-00005-001", "flair"),
        ("BraTS-PED-00005-000-seg.nii.gz", "brats2024-ped", "BraTS-PED-00005-000", REFERENCE),
        ("case_00007/imaging.nii.gz", "kits19", "case_00007", "ct"),
        ("case_00007/segmentation.nii.gz", "kits19", "case_00007", REFERENCE),
        ("anna/t1gd.nii.gz", "glioma", "anna", "t1ce"),
        ("anna/T1.nii.gz", "glioma", "anna", "t1"),
        ("P_T1C.nii.gz", "glioma", "P", "t1ce"),
        ("P_FLAIR.nii.gz", "glioma", "P", "flair"),
        ("P-T1N.nii.gz", "glioma", "P", "t1"),
        ("sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", "bids", "sub-01_ses-2", "t1"),
        ("sub-01/anat/sub-01_ce-gadolinium_T1w.nii.gz", "bids", "sub-01", "t1ce"),
        ("sub-01/anat/sub-01_acq-3d_ce-gd_run-1_T1w.nii.gz", "bids", "sub-01", "t1ce"),
        ("sub-01/anat/sub-01_desc-tumour_dseg.nii.gz", "bids", "sub-01", REFERENCE),
    ],
)
def test_names_that_people_have(name: str, dataset: str, case: str, role: str) -> None:
    match = match_file(ROOT / name, RECOGNISED)
    assert match is not None
    assert (match.description.name, match.case, match.roles) == (dataset, case, ((role, None),))


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt", "t1.dcm", ".nii.gz", "BraTS2021_00005.nii.gz", "BraTS2021_00005_unc_whole.nii.gz",
        "imagesTr/BRATS_001_0000.nii.gz", "imaging.nii.gz", "sub-01_desc-brain_mask.nii.gz", "sub-01_dwi.nii.gz",
        "sub-01_desc-aseg_dseg.nii.gz", "sub-01_label-GM_dseg.nii.gz",
    ],
)  # fmt: skip
def test_names_that_say_nothing(name: str) -> None:
    assert match_file(ROOT / name, RECOGNISED) is None


def test_one_file_of_four_channels() -> None:
    match = match_file(Path("/msd/Task01/imagesTr/BRATS_017.nii.gz"), RECOGNISED)
    assert match is not None
    assert (match.description.name, match.case, match.root) == ("msd-task01", "BRATS_017", Path("/msd/Task01"))
    assert dict(match.roles) == {"flair": 0, "t1": 1, "t1ce": 2, "t2": 3}


def test_the_folder_of_a_bare_name_is_where_its_template_begins() -> None:
    template = compile_template("t1", "anat/t1", r"s\d", False)
    assert template.case_of(Path("/x/s1/anat/t1.nii"), "t1") == "s1"
    assert template.case_of(Path("/x/other/anat/t1.nii"), "t1") is None
    assert template.case_of(Path("/t1.nii"), "t1") is None
    match = match_file(Path("/x/s1/t1.nii"), [find_description("glioma")])
    assert match is not None
    assert match.root == Path("/x/s1")


def test_upper_and_lower_case_count_only_where_a_dataset_says_so() -> None:
    assert match_file(ROOT / "BraTS2021_00005_T1.nii.gz", [find_description("brats2021")]) is None
    match = match_file(ROOT / "BraTS2021_00005_T1.nii.gz", RECOGNISED)
    assert match is not None
    assert match.description.generic


@pytest.mark.parametrize(
    ("dataset", "case", "patient", "site"),
    [
        ("brats2017", "Brats17_TCIA_101_1", "named/TCIA_101", "TCIA"),
        ("brats2018", "Brats18_TCIA01_101_1", "named/TCIA_101", "TCIA01"),
        ("brats2019", "BraTS19_CBICA_AAB_1", "named/CBICA_AAB", "CBICA"),
        ("brats2018", "Brats18_X_1", "named/X", ""),
        ("brats2020", "BraTS20_Training_001", "brats2020/Training_001", ""),
        ("brats2021", "BraTS2021_00005", "numbered/00005", ""),
        ("brats2023", "BraTS-GLI-00005-001", "numbered/00005", ""),
        ("brats2023-met", "BraTS-MET-00005-001", "met/00005", ""),
        ("glioma", "TCIA01_5", "glioma/TCIA01_5", ""),
        ("bids", "sub-01_ses-2", "bids/01", ""),
        ("brats2021", "anna", "", ""),
    ],
)
def test_patients(dataset: str, case: str, patient: str, site: str) -> None:
    assert patient_of(case, find_description(dataset)) == (patient, site)


def test_stems() -> None:
    assert [nifti_stem(Path(name)) for name in ("a.nii", "a.nii.gz", "a.b.nii.gz", ".nii", "a.gz", "a.nii.bz2")] == [
        "a", "a", "a.b", None, None, None,
    ]  # fmt: skip
