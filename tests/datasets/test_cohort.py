"""Cohorts as they come: years mixed, flat or nested, named in any style, and files that are given one by one."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tunetseg.datasets import NoCaseError, case_from_files, find_cases, find_description, find_patients
from tunetseg.datasets.cohort import folders_below
from tunetseg.errors import InputError

OLD = ("t1", "t1ce", "t2", "flair", "seg")
NEW = ("t1n", "t1c", "t2w", "t2f", "seg")
CHANNELS = ("t1", "t1ce", "flair", "t2")
GLIOMA = find_description("brats2020")


def lay(folder: Path, case: str, suffixes: Sequence[str] = OLD, join: str = "_", ending: str = ".nii.gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in suffixes:
        (folder / f"{case}{join}{suffix}{ending}").touch()
    return folder


def bids(root: Path, subject: str, session: str = "") -> Path:
    """Images of one subject, with names as BIDS has them."""
    stem = f"sub-{subject}" + (f"_ses-{session}" if session else "")
    folder = root / f"sub-{subject}" / (f"ses-{session}" if session else "") / "anat"
    return lay(folder, stem, ("T1w", "ce-gadolinium_T1w", "T2w", "FLAIR"))


def test_years_next_to_each_other_are_one_cohort(tmp_path: Path) -> None:
    lay(tmp_path / "2017/HGG/Brats17_TCIA_101_1", "Brats17_TCIA_101_1")
    lay(tmp_path / "2018/LGG/Brats18_2013_0_1", "Brats18_2013_0_1")
    lay(tmp_path / "2019/HGG/BraTS19_TCIA01_101_1", "BraTS19_TCIA01_101_1", ending=".nii")
    lay(tmp_path / "2020/BraTS20_Training_001", "BraTS20_Training_001")
    lay(tmp_path / "2021/BraTS2021_00005", "BraTS2021_00005")
    lay(tmp_path / "2023/BraTS-GLI-00005-000", "BraTS-GLI-00005-000", NEW, "-")
    lay(tmp_path / "2023/BraTS-GLI-00005-001", "BraTS-GLI-00005-001", NEW, "-")
    cases = {case.id: case for case in find_cases(tmp_path)}
    assert len(cases) == 7
    for case in cases.values():
        case.check(CHANNELS)
        assert case.reference is not None
    assert {case.dataset.name for case in cases.values() if case.dataset} == {
        "brats2017", "brats2018", "brats2019", "brats2020", "brats2021", "brats2023",
    }  # fmt: skip
    assert (cases["Brats18_2013_0_1"].grade, cases["BraTS19_TCIA01_101_1"].grade) == ("LGG", "HGG")
    # The same patient under two years' names, and at two time points, is one patient.
    assert cases["Brats17_TCIA_101_1"].patient == cases["BraTS19_TCIA01_101_1"].patient
    assert len({cases[name].patient for name in cases if "00005" in name}) == 1
    assert len({case.patient for case in cases.values()}) == 4


def test_a_cases_own_folder_and_a_flat_folder(tmp_path: Path) -> None:
    lay(tmp_path / "flat", "BraTS2021_00001")
    lay(tmp_path / "flat", "BraTS2021_00002")
    assert [case.id for case in find_cases(tmp_path / "flat")] == ["BraTS2021_00001", "BraTS2021_00002"]
    lay(tmp_path / "own/BraTS2021_00003", "BraTS2021_00003")
    assert [case.id for case in find_cases(tmp_path / "own/BraTS2021_00003")] == ["BraTS2021_00003"]


def test_anyones_files_in_either_style(tmp_path: Path) -> None:
    lay(tmp_path, "anna")
    lay(tmp_path, "bert-2", NEW, "-")
    lay(tmp_path, "P", ("T1", "T1GD", "T2", "FLAIR"))
    upper, anna, bert = find_cases(tmp_path)
    assert (upper.id, anna.id, bert.id) == ("P", "anna", "bert-2")
    assert bert.images["t1ce"].name == "bert-2-t1c.nii.gz"
    assert upper.images["t1ce"].name == "P_T1GD.nii.gz"
    for case in (upper, anna, bert):
        case.check(CHANNELS)
        assert case.dataset is not None
        assert case.dataset.label_candidates, "the values of its labels tell"


@pytest.mark.parametrize(
    "names",
    [
        ("p_T1w", "p_t1_gd", "p_t2w", "p_fla"),
        ("p-t1", "p-t1ce", "p-t2", "p-flair"),
        ("UCSF-PDGM-0004_T1_bias", "UCSF-PDGM-0004_T1c_bias", "UCSF-PDGM-0004_T2_bias", "UCSF-PDGM-0004_FLAIR_bias"),
        ("t1w", "t1post", "t2w", "fla"),
    ],
)
def test_names_of_other_sources(tmp_path: Path, names: Sequence[str]) -> None:
    for name in names:
        (tmp_path / f"{name}.nii.gz").touch()
    (case,) = find_cases(tmp_path)
    assert [case.images[channel].name for channel in ("t1", "t1ce", "t2", "flair")] == [f"{n}.nii.gz" for n in names]
    assert case.findings == ()


def test_nnunets_images_to_predict(tmp_path: Path) -> None:
    nnunet = find_description("nnunet")
    for folder in (tmp_path / "imagesTs", tmp_path / "flat"):
        lay(folder, "case", [f"000{number}" for number in range(4)])
        (case,) = find_cases(folder, nnunet)
        assert (case.id, case.images["t1ce"].name) == ("case", "case_0001.nii.gz")


def test_an_image_whose_name_says_nothing_is_not_passed_over(tmp_path: Path) -> None:
    """A sequence under another name would count as missing without a word."""
    lay(tmp_path, "p", ("t1ce", "t2", "flair"))
    (case,) = find_cases(tmp_path)
    assert case.findings == (), "no image is left over"
    (tmp_path / "mprage.nii.gz").touch()
    (case,) = find_cases(tmp_path)
    (finding,) = case.findings
    assert (finding.code, finding.level) == ("unused-image", "warning")
    assert finding.message.startswith("1 image lies in its folder whose name says no known sequence; rename it")
    with pytest.raises(InputError, match=r"p: no t1 image in .*; 1 image lies in its folder"):
        case.check(CHANNELS)
    lay(tmp_path, "p", ("t1",))
    assert find_cases(tmp_path)[0].findings == (), "nothing is missing"


def test_bare_names_are_a_case_called_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for patient, names in (("anna", OLD), ("bert", ("T1", "T1C", "T2", "FLAIR", "SEG"))):
        (tmp_path / patient).mkdir()
        for name in names:
            (tmp_path / patient / f"{name}.nii.gz").touch()
    anna, bert = find_cases(tmp_path)
    for case in (anna, bert):
        case.check(CHANNELS)
        assert case.reference is not None
    assert (anna.id, bert.id) == ("anna", "bert")
    monkeypatch.chdir(tmp_path / "bert")
    assert [case.id for case in find_cases(".")] == ["bert"]


def test_bids(tmp_path: Path) -> None:
    own = bids(tmp_path, "01")
    bids(tmp_path, "02", "1")
    bids(tmp_path, "02", "2")
    (tmp_path / "dataset_description.json").write_text("{}")
    lay(tmp_path / "derivatives/experts/sub-01/anat", "sub-01", ("desc-tumour_dseg", "desc-brain_mask"))
    first, second, third = find_cases(tmp_path)
    assert (first.id, second.id, third.id) == ("sub-01", "sub-02_ses-1", "sub-02_ses-2")
    for case in (first, second, third):
        case.check(CHANNELS)
    assert first.images["t1"].name == "sub-01_T1w.nii.gz"
    assert first.images["t1ce"].name == "sub-01_ce-gadolinium_T1w.nii.gz"
    assert second.patient == third.patient != first.patient
    assert first.reference == tmp_path / "derivatives/experts/sub-01/anat/sub-01_desc-tumour_dseg.nii.gz"
    (finding,) = first.findings
    assert (finding.level, finding.message) == ("note", "<case>_desc-tumour_dseg.nii.gz was taken as the reference")
    assert second.reference is None
    assert [case.id for case in find_cases(own)] == ["sub-01"]


def test_derivatives_and_source_data_of_bids_are_no_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bids(tmp_path, "01")
    for place in ("derivatives/fmriprep", "sourcedata"):
        lay(tmp_path / place / "sub-01/anat", "sub-01", ("desc-preproc_T1w", "T2w", "t1"))
        lay(tmp_path / place / "sub-09/anat", "sub-09", ("T1w",))
    lay(tmp_path / "derivatives/fmriprep/sub-01/anat", "sub-01", ("dseg", "desc-aseg_dseg", "label-GM_dseg"))
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path, Path()):
        (case,) = find_cases(root)
        case.check(CHANNELS)
        assert (case.id, case.images["t1"].name) == ("sub-01", "sub-01_T1w.nii.gz")
        assert (case.reference, case.findings) == (None, ()), "tissues are not a tumour"
    (case, _) = find_cases(tmp_path / "derivatives/fmriprep")
    assert (case.images["t2"].name, case.reference) == ("sub-01_T2w.nii.gz", None), "a folder that is named is read"
    (tmp_path / "derivatives").rename(tmp_path / "copy")
    (tmp_path / "copy/fmriprep/dataset_description.json").write_text('{"DatasetType": "derivative"}')
    (case, _) = find_cases(tmp_path / "copy")
    assert case.reference is None, "the description says it too"


@pytest.mark.parametrize("name", ["dseg", "label-Tumor_dseg", "desc-lesions_dseg", "space-orig_seg-brats2020_dseg"])
def test_references_of_bids(tmp_path: Path, name: str) -> None:
    lay(bids(tmp_path, "01"), "sub-01", (name, "desc-aseg_dseg"))
    (case,) = find_cases(tmp_path)
    assert case.reference is not None
    assert case.reference.name == f"sub-01_{name}.nii.gz"
    assert [finding.message for finding in case.findings] == [f"<case>_{name}.nii.gz was taken as the reference"]


def test_label_maps_alone_are_references_wherever_they_lie(tmp_path: Path) -> None:
    lay(tmp_path / "derivatives/experts/sub-01/anat", "sub-01", ("dseg",))
    (case,) = find_cases(tmp_path)
    assert case.reference is not None


def test_references_of_two_pipelines_are_a_fault_of_the_reference(tmp_path: Path) -> None:
    bids(tmp_path, "01")
    for rater in ("a", "b"):
        lay(tmp_path / f"derivatives/{rater}/sub-01/anat", "sub-01", ("desc-tumour_dseg",))
    (case,) = find_cases(tmp_path)
    with pytest.raises(InputError, match=r"reference is given twice, as sub-01_desc-tumour_dseg\.nii\.gz and .*/b/"):
        case.check(CHANNELS)
    (case,) = find_patients(tmp_path, GLIOMA)
    case.check(CHANNELS)
    assert case.reference is None
    assert [finding.code for finding in case.findings] == ["several-references"]


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("T1w", "run-2_T1w", "run-1_T1w"), "run-2_T1w"),
        (("run-9_T1w", "run-10_T1w"), "run-10_T1w"),
        (("T1w", "acq-3d_T1w", "acq-3d_run-2_T1w"), "T1w"),
    ],
)
def test_which_of_several_images_of_bids_is_taken(tmp_path: Path, names: Sequence[str], taken: str) -> None:
    lay(tmp_path, "sub-01", (*names, "T2w"))
    (case,) = find_cases(tmp_path)
    case.check(("t1", "t2"))
    assert case.images["t1"].name == f"sub-01_{taken}.nii.gz"
    finding = next(finding for finding in case.findings if finding.code == "several-files")
    assert finding.level == "note"
    assert finding.message.startswith(f"t1: <case>_{taken}.nii.gz was taken, not <case>_")
    assert all(f"<case>_{name}.nii.gz" in finding.message for name in names)


def test_images_of_bids_that_nothing_tells_apart(tmp_path: Path) -> None:
    lay(tmp_path, "sub-01", ("acq-a_T1w", "acq-b_T1w", "T2w"))
    (case,) = find_cases(tmp_path)
    with pytest.raises(InputError, match="t1 is given twice, as sub-01_acq-a_T1w"):
        case.check(("t1", "t2"))


def test_a_reference_in_a_folder_of_its_own(tmp_path: Path) -> None:
    lay(tmp_path / "images", "p1", OLD[:4])
    lay(tmp_path / "images", "p2", OLD)
    lay(tmp_path / "labels", "p1", ["seg"])
    first, _ = find_cases(tmp_path)
    assert first.reference == tmp_path / "labels/p1_seg.nii.gz"
    lay(tmp_path / "labels", "p2", ["seg"])
    first, second = find_cases(tmp_path)
    first.check(CHANNELS)
    with pytest.raises(InputError, match=rf"reference is given twice, as p2_seg\.nii\.gz and {tmp_path}/labels/p2_seg"):
        second.check(CHANNELS)


def test_kits(tmp_path: Path) -> None:
    for number in (0, 1):
        lay(tmp_path / f"case_0000{number}", "imaging", [""], "")
        lay(tmp_path / f"case_0000{number}", "segmentation", [""], "")
    first, second = find_cases(tmp_path)
    assert (first.id, second.patient) == ("case_00000", "kits/00001")
    first.check(("ct",))
    assert first.reference is not None


def test_examinations_of_the_same_file_names_are_called_by_their_folders(tmp_path: Path) -> None:
    for folder in ("anna", "bert"):
        lay(tmp_path / folder, "brain")
    assert [case.id for case in find_cases(tmp_path)] == ["anna", "bert"]
    lay(tmp_path / "bert", "other")
    brain, other = find_cases(tmp_path)
    with pytest.raises(InputError, match="case brain is there twice"):
        brain.check(CHANNELS)
    other.check(CHANNELS)


def test_visits_are_cases_of_one_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("P1/2019", "P1/2020-05-01", "P2/2019", "P2/follow-up 2"):
        lay(tmp_path / folder, "", OLD, "")
    lay(tmp_path / "P3/visit1", "P3_v1")
    names = ["P1_2019", "P1_2020-05-01", "P2_2019", "P2_follow-up 2", "P3_v1"]
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path, Path()):
        cases = find_cases(root)
        assert [case.id for case in cases] == names
        assert [case.patient for case in cases] == [f"glioma/P{number}" for number in (1, 1, 2, 2, 3)]
        for case in cases:
            case.check(CHANNELS)
    assert [(case.id, case.patient) for case in find_cases(tmp_path / "P1")] == [
        ("2019", "glioma/2019"),
        ("2020-05-01", "glioma/2020-05-01"),
    ], "folders right in the cohort's are patients"


def test_folders_of_one_name_are_told_apart_by_those_above(tmp_path: Path) -> None:
    for folder in ("north/001", "south/001", "south/002", "003"):
        lay(tmp_path / folder, "", OLD, "")
    cases = find_cases(tmp_path)
    assert [case.id for case in cases] == ["002", "003", "north_001", "south_001"]
    assert len({case.patient for case in cases}) == 4


def test_names_of_releases_stay_whatever_their_folders_are_called(tmp_path: Path) -> None:
    lay(tmp_path / "BraTS/2021", "BraTS2021_00001")
    lay(tmp_path / "BraTS/2023", "BraTS-GLI-00002-000", NEW, "-")
    cases = find_cases(tmp_path)
    assert [(case.id, case.patient) for case in cases] == [
        ("BraTS-GLI-00002-000", "numbered/00002"),
        ("BraTS2021_00001", "numbered/00001"),
    ]


def test_files_that_are_not_images_are_left_out(tmp_path: Path) -> None:
    lay(tmp_path / "a", "BraTS2021_00001")
    for name in (".DS_Store", "._BraTS2021_00009_t1.nii.gz", "survival.csv", "BraTS2021_00001_unc_whole.nii.gz"):
        (tmp_path / "a" / name).touch()
    (tmp_path / "a" / "BraTS2021_00002_t1.nii.gz").mkdir()
    assert [case.id for case in find_cases(tmp_path)] == ["BraTS2021_00001"]


def test_names_for_anyone_count_only_where_the_datasets_own_do_not(tmp_path: Path) -> None:
    lay(tmp_path, "BraTS2021_00001", (*OLD, "t1gd"))
    (case,) = find_cases(tmp_path)
    case.check(CHANNELS)
    assert case.dataset is not None
    assert case.dataset.name == "brats2021"
    # Files that another dataset would claim too, but for their neighbours.
    lay(tmp_path / "kits/case_00003", "t1", [""], "")
    lay(tmp_path / "kits/case_00003", "segmentation", [""], "")
    (case,) = find_cases(tmp_path / "kits")
    assert (list(case.images), case.reference) == (["t1"], None)


def test_a_dataset_that_is_named_overrules_the_names(tmp_path: Path) -> None:
    lay(tmp_path, "BraTS-GLI-00005-000", NEW, "-")
    (recognised,), (named,) = find_cases(tmp_path), find_cases(tmp_path, find_description("2024"))
    assert recognised.dataset is not None
    assert named.dataset is not None
    assert (recognised.dataset.name, named.dataset.name) == ("brats2023", "brats2024")
    with pytest.raises(NoCaseError, match=r"no case found .*; expected files named imaging\.nii\.gz; or name"):
        find_cases(tmp_path, find_description("kits19"))


def test_nnunets_conversion_is_read_where_it_is_named(tmp_path: Path) -> None:
    lay(tmp_path / "imagesTr", "BraTS2021_00000", ("0000", "0001", "0002", "0003"))
    lay(tmp_path / "labelsTr", "BraTS2021_00000", [""], "")
    (case,) = find_cases(tmp_path, find_description("nnunet-brats"))
    case.check(CHANNELS)
    assert case.images["flair"].name == "BraTS2021_00000_0003.nii.gz"
    assert case.reference is not None
    with pytest.raises(NoCaseError):
        find_cases(tmp_path)


def test_a_dataset_may_be_known_also(tmp_path: Path) -> None:
    lay(tmp_path, "BraTS-GLI-00005-000", NEW, "-")
    lay(tmp_path, "BraTS2021_00005")
    cases = find_cases(tmp_path, also=find_description("2024"))
    assert [case.dataset.name for case in cases if case.dataset] == ["brats2024", "brats2021"]
    cases = find_cases(tmp_path, also=find_description("glioma"))
    assert [case.dataset.name for case in cases if case.dataset] == ["brats2023", "brats2021"], "still the last"


def test_one_case_in_two_folders(tmp_path: Path) -> None:
    lay(tmp_path / "a", "BraTS2021_00001")
    lay(tmp_path / "b", "BraTS2021_00001")
    with pytest.raises(
        InputError, match=rf"{tmp_path / 'b'}: case BraTS2021_00001 is there twice, also in {tmp_path / 'a'}"
    ):
        find_cases(tmp_path)


def test_one_subject_in_two_folders_of_bids(tmp_path: Path) -> None:
    bids(tmp_path / "a", "01")
    bids(tmp_path / "b", "01")
    bids(tmp_path / "b", "02")
    twice, once = find_cases(tmp_path)
    once.check(CHANNELS)
    with pytest.raises(InputError, match=r"b/sub-01/anat: case sub-01 is there twice, also in .*/a/sub-01/anat"):
        twice.without("t1", "reference").check(("t2",))


def test_one_channel_in_two_files(tmp_path: Path) -> None:
    lay(tmp_path, "p")
    lay(tmp_path, "p", ["t2"], ending=".nii")
    (case,) = find_cases(tmp_path)
    with pytest.raises(InputError, match=r"t2 is given twice, as p_t2\.nii and p_t2\.nii\.gz; keep one"):
        case.check(CHANNELS)
    (case,) = find_patients(tmp_path, GLIOMA, without=["t2"])
    case.check(CHANNELS, missing="allow")


def test_the_order_of_templates_is_a_preference(tmp_path: Path) -> None:
    names = ("T1", "T1c", "T2", "FLAIR")
    lay(tmp_path, "UCSF-PDGM-0004", (*names, *(f"{name}_bias" for name in names), "tumor_segmentation"))
    (case,) = find_cases(tmp_path)
    case.check(CHANNELS)
    taken = [case.images[channel].name for channel in ("t1", "t1ce", "t2", "flair")]
    assert taken == [f"UCSF-PDGM-0004_{name}_bias.nii.gz" for name in names]
    messages = [finding.message for finding in case.findings]
    assert "t1: <case>_T1_bias.nii.gz was taken, not <case>_T1.nii.gz" in messages
    lay(tmp_path, "UCSF-PDGM-0004", ["seg"])
    (case,) = find_cases(tmp_path)
    with pytest.raises(InputError, match="reference is given twice"):
        case.check(CHANNELS)


def test_accents_are_the_same_in_either_form(tmp_path: Path) -> None:
    lay(tmp_path, "Mu\u0308ller", ("t1", "t2"))
    lay(tmp_path, "M\u00fcller", ("t1ce", "flair"))
    (case,) = find_cases(tmp_path)
    assert case.id == "M\u00fcller"
    case.check(CHANNELS)


def test_where_there_is_no_case(tmp_path: Path) -> None:
    with pytest.raises(NoCaseError, match=r"no case found .*; expected files named <case>_t1\.nii\.gz, .* BIDS names"):
        find_cases(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_cases(tmp_path / "nowhere")
    lay(tmp_path, "anna")
    with pytest.raises(InputError, match="is a file; name its folder"):
        find_cases(tmp_path / "anna_t1.nii.gz")


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, "anna")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="name of the folder is empty"):
        find_cases("")
    assert [case.id for case in find_cases(".")] == ["anna"]


def test_a_folder_is_the_same_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path / "HGG/BraTS20_Training_355", "BraTS20_Training_355", OLD[:4])
    (tmp_path / "HGG/BraTS20_Training_355/W39_1998.09.19_Segm.nii").touch()
    (tmp_path / "HGG/name_mapping.csv").write_text(
        "BraTS_2018_subject_ID,BraTS_2020_subject_ID\nBrats18_X_1,BraTS20_Training_355\n"
    )
    monkeypatch.chdir(tmp_path / "HGG/BraTS20_Training_355")
    (case,) = find_cases(".")
    assert (case.id, case.grade, case.patient) == ("BraTS20_Training_355", "HGG", "named/X")
    assert case.reference is not None


def test_hidden_folders_are_left_out(tmp_path: Path) -> None:
    lay(tmp_path / "a", "a")
    lay(tmp_path / ".Trash-1000/files/a", "a")
    lay(tmp_path / ".Trash-1000/files/b", "b")
    assert [case.id for case in find_cases(tmp_path)] == ["a"]


@pytest.mark.parametrize("name", [b"M\xfcller_t1.nii.gz", b"M\xfcller/t1.nii.gz"])
def test_a_name_that_is_not_utf8(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    except OSError:
        pytest.skip("this disk takes UTF-8 names only")
    with pytest.raises(InputError, match=r"M\\udcfcller(_t1\.nii\.gz)?: this name is not UTF-8"):
        find_cases(tmp_path)


def test_linked_years_are_one_cohort(tmp_path: Path) -> None:
    lay(tmp_path / "far/BraTS20_Training_001", "BraTS20_Training_001")
    lay(tmp_path / "cohort/BraTS2021_00005", "BraTS2021_00005")
    (tmp_path / "cohort/2020").symlink_to(tmp_path / "far")
    (tmp_path / "far/again").symlink_to(tmp_path / "cohort")
    assert [case.id for case in find_cases(tmp_path / "cohort")] == ["BraTS2021_00005", "BraTS20_Training_001"]


def test_the_true_folder_goes_before_a_link_to_it(tmp_path: Path) -> None:
    lay(tmp_path / "zz/HGG/Brats18_A_1", "Brats18_A_1")
    (tmp_path / "aa").symlink_to(tmp_path / "zz/HGG/Brats18_A_1")
    (case,) = find_cases(tmp_path)
    assert case.grade == "HGG"


def test_linked_files_and_links_to_nothing(tmp_path: Path) -> None:
    lay(tmp_path / "far", "x")
    (tmp_path / "cohort").mkdir()
    for suffix in OLD:
        (tmp_path / f"cohort/p_{suffix}.nii.gz").symlink_to(tmp_path / f"far/x_{suffix}.nii.gz")
    (case,) = find_cases(tmp_path / "cohort")
    case.check(CHANNELS)
    (tmp_path / "far/x_t2.nii.gz").unlink()
    with pytest.raises(InputError, match=r"p_t2\.nii\.gz: there is no such t2 file"):
        case.check(CHANNELS)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may look everywhere")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    lay(tmp_path / "shut", "a").chmod(0)
    try:
        with pytest.raises(InputError, match="shut: permission denied"):
            find_cases(tmp_path)
    finally:
        (tmp_path / "shut").chmod(0o700)


def test_folders_below_lists_each_once(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/.hidden").mkdir()
    (tmp_path / "a/b/up").symlink_to(tmp_path)
    assert folders_below(tmp_path) == [tmp_path, tmp_path / "a", tmp_path / "a/b"]


def test_only_the_named_years_patients_lose_their_sites_number(tmp_path: Path) -> None:
    for case in ("TCIA01_5", "TCIA02_5"):
        lay(tmp_path / case, case)
    assert len({case.patient for case in find_cases(tmp_path)}) == 2


def test_files_given_one_by_one(tmp_path: Path) -> None:
    files = {}
    for channel in CHANNELS:
        files[channel] = tmp_path / f"scan {channel}.nii.gz"
        files[channel].touch()
    assert case_from_files(files, GLIOMA).id == "scan t1"
    assert case_from_files(files, GLIOMA, name="anna").id == "anna"
    with pytest.raises(InputError, match="no flair image"):
        case_from_files({name: path for name, path in files.items() if name != "flair"}, GLIOMA)
    with pytest.raises(InputError, match="no such t2 file"):
        case_from_files({**files, "t2": tmp_path / "gone.nii.gz"}, GLIOMA)
    with pytest.raises(InputError, match="given as t1 and as t2"):
        case_from_files({**files, "t2": files["t1"]}, GLIOMA)
    with pytest.raises(InputError, match="unknown channel 'ct'; choose from t1, t1ce, flair, t2"):
        case_from_files({**files, "ct": files["t1"]}, GLIOMA)
    for name in ("", "a/b"):
        with pytest.raises(InputError, match="cannot hold a folder"):
            case_from_files(files, GLIOMA, name=name)


@pytest.mark.parametrize(
    ("case", "suffixes", "join", "dataset"),
    [
        ("BraTS2021_00005", OLD, "_", "brats2021"),
        ("BraTS-GLI-00005-000", NEW, "-", "brats2023"),
        ("mine", OLD, "_", None),
    ],
)
def test_files_given_one_by_one_are_of_the_dataset_that_their_names_say(
    tmp_path: Path, case: str, suffixes: Sequence[str], join: str, dataset: str | None
) -> None:
    lay(tmp_path / case, case, suffixes, join)
    (whole,) = find_cases(tmp_path / case)
    for name in (None, "other"):
        given = case_from_files(whole.images, GLIOMA, name=name)
        assert given.id == (name or case)
        assert (given.dataset.name if given.dataset else None) == dataset


def test_files_given_one_by_one_with_bare_and_bids_names(tmp_path: Path) -> None:
    lay(tmp_path / "anna", "", OLD[:4], "")
    bare = {channel: tmp_path / f"anna/{channel}.nii.gz" for channel in CHANNELS}
    assert case_from_files(bare, GLIOMA).id == "anna"
    bids(tmp_path, "01", "1")
    (found,) = find_cases(tmp_path / "sub-01")
    assert case_from_files(found.images, GLIOMA).id == "sub-01_ses-1"
    swapped = found.images | {"t1": found.images["t1ce"], "t1ce": found.images["t1"]}
    with pytest.raises(InputError, match="given as t1, but its name says t1ce"):
        case_from_files(swapped, GLIOMA)


def test_one_4d_file_given_for_every_channel(tmp_path: Path) -> None:
    lay(tmp_path / "imagesTr", "BRATS_001", [""], "")
    images = dict.fromkeys(CHANNELS, tmp_path / "imagesTr/BRATS_001.nii.gz")
    case = case_from_files(images, GLIOMA)
    assert (case.id, case.volumes) == ("BRATS_001", {"flair": 0, "t1": 1, "t1ce": 2, "t2": 3})


def test_files_whose_names_contradict_what_they_are_given_as(tmp_path: Path) -> None:
    found = {}
    for case in ("BraTS2021_00005", "BraTS2021_00006", "mine"):
        lay(tmp_path / case, case)
        (found[case],) = find_cases(tmp_path / case)
    one, two, mine = found.values()
    with pytest.raises(InputError, match="are of two cases; give files of one case"):
        case_from_files(one.images | {"t2": two.images["t2"]}, GLIOMA)
    for case in (one, mine):
        with pytest.raises(InputError, match="given as t1, but its name says t1ce"):
            case_from_files(case.images | {"t1": case.images["t1ce"], "t1ce": case.images["t1"]}, GLIOMA)
        assert case.reference is not None
        with pytest.raises(InputError, match="given as flair, but its name says reference"):
            case_from_files(case.images | {"flair": case.reference}, GLIOMA)
    # In names of one's own, what ends in t1 may be a contrast-enhanced T1.
    after = mine.images["t1ce"].rename(mine.images["t1ce"].with_name("mine_gd_t1.nii.gz"))
    assert case_from_files(mine.images | {"t1ce": after}, GLIOMA).images["t1ce"] == after


def test_the_real_cohort_is_recognised_whole(real_cohort: Path) -> None:
    cases = find_cases(real_cohort)
    assert len(cases) == 54
    for case in cases:
        case.check(CHANNELS)
        assert case.dataset is not None
        assert not case.dataset.generic, f"{case.id}: no year recognised"


@pytest.mark.parametrize("ending", [".nii", ".mha", ".nrrd", ".mgz", ".NRRD"])
def test_images_of_other_formats_are_recognised_by_name(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "BraTS2021_00005"
    folder.mkdir()
    for name in ("t1", "t1ce", "t2", "flair"):
        (folder / f"BraTS2021_00005_{name}{ending}").touch()
    (case,) = find_cases(folder)
    assert case.id == "BraTS2021_00005"
    assert case.images["t1ce"] == folder / f"BraTS2021_00005_t1ce{ending}"
    case.check(("t1", "t1ce", "t2", "flair"))


def test_a_pair_of_header_and_voxels_is_one_image(tmp_path: Path) -> None:
    for name in ("t1", "t1ce", "t2", "flair"):
        for ending in (".hdr", ".img"):
            (tmp_path / f"anna_{name}{ending}").touch()
    (case,) = find_cases(tmp_path)
    assert case.faults == {}
    assert case.images["t1"] == tmp_path / "anna_t1.hdr"
