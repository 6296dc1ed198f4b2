"""Which label map is compared with which."""

import json
import shutil

import numpy as np
import pytest

from tunetseg.datasets import find_description
from tunetseg.errors import InputError
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.pairing import list_label_files, pair_files
from tunetseg.evaluation.text import summary_lines

SHAPE = (12, 10, 8)


def test_single_files_pair_whatever_their_names(tmp_path, tumour, save):
    prediction = save(tmp_path / "mine.nii.gz", tumour())
    reference = save(tmp_path / "BraTS19_CBICA_X_1_seg.nii", tumour())
    assert [row["case"] for row in evaluate(prediction, reference).rows] == ["BraTS19_CBICA_X_1"] * 3


def test_one_file_finds_its_case_in_a_cohort(tmp_path, tumour, save, cohort, row_of):
    references = cohort(tmp_path / "cohort", BraTS19_CBICA_X_1=tumour(), BraTS19_CBICA_Y_1=tumour())
    prediction = save(tmp_path / "BraTS19_CBICA_X_1.nii.gz", tumour())
    scores = evaluate(prediction, references)
    assert row_of(scores, "BraTS19_CBICA_X_1", "whole")["dice"] == 1
    assert row_of(scores, "BraTS19_CBICA_Y_1", "whole")["status"] == "missing"


def test_maps_next_to_predictions_are_not_predictions(tmp_path, references, tumour, save, flat):
    predictions = flat(tmp_path / "predictions", a=tumour())
    for ending in ("unc_whole", "unc_core", "unc_enhance", "prob_enhancing"):
        save(predictions / f"a_{ending}.nii.gz", np.full(SHAPE, 50))
    save(predictions / "a_t1.nii.gz", np.full(SHAPE, 50))
    (predictions / "notes.txt").write_text("")
    assert list(list_label_files(predictions)) == ["a"]
    assert evaluate(predictions, references).summary["cases"]["predictions_without_reference"] == []


def test_a_list_of_cases_says_what_to_score(tmp_path, references, tumour, flat):
    predictions = flat(tmp_path / "predictions", a=tumour(), b=tumour(), z=tumour())
    listed = tmp_path / "validation.txt"
    listed.write_text("a\n")
    scores = evaluate(predictions, references, cases=listed)
    assert {row["case"] for row in scores.rows} == {"a"}
    assert scores.summary["cases"]["missing"] == scores.summary["cases"]["predictions_without_reference"] == []
    for text, fault in (("a\nq", "has no case q, which is listed"), ("", "no case")):
        listed.write_text(text)
        with pytest.raises(InputError, match=fault):
            evaluate(predictions, references, cases=listed)
    with pytest.raises(InputError, match="there is no such file; a text file of case names"):
        evaluate(predictions, references, cases=tmp_path / "nowhere.txt")


def test_predictions_without_reference_are_listed(tmp_path, references, tumour, flat):
    predictions = flat(tmp_path / "predictions", a=tumour(), b=tumour(), z=tumour())
    scores = evaluate(predictions, references)
    assert scores.summary["cases"]["predictions_without_reference"] == ["z"]
    assert any("left out: z" in line for line in summary_lines(scores.summary))


def test_kits_names_are_paired(tmp_path, tumour, save):
    kidney = np.minimum(tumour(), 2)
    for number in (0, 1):
        save(tmp_path / f"data/case_0000{number}/segmentation.nii.gz", kidney, dtype=np.float64)
        save(tmp_path / f"predictions/prediction_0000{number}.nii.gz", kidney)
    scores = evaluate(tmp_path / "predictions", tmp_path / "data", rules="kits19")
    assert [(row["case"], row["region"], row["dice"]) for row in scores.rows] == [
        (f"case_0000{number}", region, 1.0) for number in (0, 1) for region in ("kidney", "tumour")
    ]
    labels = scores.summary["labels"]
    assert labels["predictions"]["schemes"] == labels["references"]["schemes"] == {"kits19": 2}
    assert "as the dataset says" in labels["references"]["sentence"]
    assert "as the rules say" in labels["predictions"]["sentence"]


def test_sides_that_cannot_be_used(tmp_path, references, tumour, save, flat):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    for side, message in (
        ("nowhere", "no such file or folder"),
        ("empty", "no label map found"),
        ("notes.txt", r"must end in \.nii or \.nii\.gz"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(tmp_path / side, references)
    with pytest.raises(InputError, match="no case in common"):
        evaluate(flat(tmp_path / "strangers", q=tumour()), references)
    save(references / "a_seg.nii.gz", tumour())
    with pytest.raises(InputError, match=r"case a is there as"):
        evaluate(references, references)


def test_two_case_less_sides_of_one_cohort(tmp_path, tumour, save):
    """A folder of nothing but ``<case>_seg`` files is a cohort's, so that names tell the year."""
    save(tmp_path / "BraTS19_CBICA_X_1_seg.nii.gz", tumour())
    dataset = list_label_files(tmp_path)["BraTS19_CBICA_X_1"].dataset
    assert dataset is not None
    assert (dataset.name, dataset.scheme.name) == ("brats2019", "brats2017")


def test_the_lost_case_of_2020(tmp_path, tumour, save):
    save(tmp_path / "BraTS20_Training_355/W39_1998.09.19_Segm.nii", tumour())
    assert list(list_label_files(tmp_path)) == ["BraTS20_Training_355"]


def test_a_cohort_segmented_into_itself_is_ambiguous(tmp_path, tumour, flat, cohort, row_of):
    both = cohort(tmp_path / "both", BraTS20_Training_001=tumour())
    flat(both, BraTS20_Training_001=tumour(shift=1))
    with pytest.raises(InputError, match="in two folders"):
        evaluate(both, both)
    shutil.copytree(both / "BraTS20_Training_001", both / "backup/BraTS20_Training_001")
    shutil.copytree(both / "BraTS20_Training_001", tmp_path / "alone/BraTS20_Training_001")
    assert row_of(evaluate(both, tmp_path / "alone"), "BraTS20_Training_001", "whole")["dice"] < 1


def test_predictions_among_references_are_refused(tmp_path, tumour, flat, cohort):
    both = cohort(tmp_path / "both", BraTS20_Training_001=tumour())
    flat(both, BraTS20_Training_001=tumour(shift=1))
    others = flat(tmp_path / "others", BraTS20_Training_001=tumour())
    with pytest.raises(InputError, match="in two folders"):
        evaluate(others, both)


def test_a_reference_given_twice_is_refused(tmp_path, tumour, save, flat, cohort):
    references = cohort(tmp_path / "references", BraTS20_Training_001=tumour())
    save(references / "BraTS20_Training_001/BraTS20_Training_001_seg.nii", tumour(shift=1))
    with pytest.raises(InputError, match="reference is given twice"):
        evaluate(flat(tmp_path / "p", BraTS20_Training_001=tumour()), references)
    kidneys = [tmp_path / f"kits{year}/case_00000/segmentation.nii.gz" for year in (19, 23)]
    for path in kidneys:
        save(path, np.minimum(tumour(), 2))
    with pytest.raises(InputError, match=r"kits23/case_00000: case case_00000 is there twice"):
        list_label_files(tmp_path)


def test_cases_whose_names_end_like_images_and_maps(tmp_path, tumour, save, flat):
    names = ("p_t1", "p_t2", "p_t3", "q_unc_01")
    references = flat(tmp_path / "references", **dict.fromkeys(names, tumour()))
    assert list(list_label_files(references)) == list(names)
    for suffix in ("t1", "t1ce", "t2", "flair"):
        save(references / f"z_{suffix}.nii.gz", np.full(SHAPE, 50))
    assert list(list_label_files(references)) == list(names)


def test_the_lost_cases_own_folder(tmp_path, tumour, save):
    path = save(tmp_path / "BraTS20_Training_355/W39_1998.09.19_Segm.nii", tumour())
    assert list(list_label_files(path.parent)) == ["BraTS20_Training_355"]


def test_single_files_of_two_cases_are_refused(tmp_path, tumour, save):
    one = save(tmp_path / "BraTS2021_00002.nii.gz", tumour())
    other = save(tmp_path / "BraTS-GLI-00000-000-seg.nii.gz", tumour())
    with pytest.raises(InputError, match="two cases"):
        evaluate(one, other)


def test_a_list_of_cases_is_not_for_two_files(tmp_path, references):
    one = next(references.rglob("*.nii.gz"))
    with pytest.raises(InputError, match="two files are one case"):
        evaluate(one, one, cases=["a"])


def test_names_of_predictions_by_dataset(tmp_path, tumour, save):
    """`prediction_00001` is a case of KiTS; where the dataset is another, it is a name like any other."""
    save(tmp_path / "prediction_00001.nii.gz", tumour())
    assert list(list_label_files(tmp_path)) == ["case_00001"]
    assert list(list_label_files(tmp_path, find_description("kits19"))) == ["case_00001"]
    assert list(list_label_files(tmp_path, find_description("brats2020"))) == ["prediction_00001"]


def test_a_users_own_names(tmp_path, nested_description, tumour, save):
    for name in ("case_1_labels", "case_1_a", "case_1_b"):
        save(tmp_path / f"references/case_1/{name}.nii.gz", tumour())
    for name in ("case_1", "case_1_unc_peel", "case_1_prob_core", "case_2_labels"):
        save(tmp_path / f"predictions/{name}.nii.gz", tumour())
    pairing = pair_files(tmp_path / "predictions", tmp_path / "references", dataset=nested_description)
    assert [(pair.case, pair.prediction.path.name) for pair in pairing.pairs] == [("case_1", "case_1.nii.gz")]
    assert pairing.without_reference == ("case_2",)
    assert pairing.pairs[0].reference.image.name == "case_1_a.nii.gz"


def test_labels_of_nnunet_are_described_by_the_folder_above_or_their_own(tmp_path, tumour, save):
    described = json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1, "lesion": 2}})
    for folder in ("raw", "predictions"):
        save(tmp_path / folder / ("labelsTr" if folder == "raw" else "") / "p_1.nii.gz", tumour())
        (tmp_path / folder / "dataset.json").write_text(described)
    for folder in ("raw", "raw/labelsTr", "predictions"):
        dataset = list_label_files(tmp_path / folder)["p_1"].dataset
        assert dataset is not None, folder
        assert dataset.region_names == ("organ", "lesion")
    (tmp_path / "predictions/dataset.json").write_text("{}")
    assert list_label_files(tmp_path / "predictions")["p_1"].dataset is None


def test_the_decathlons_labels(tmp_path, tumour, save):
    save(tmp_path / "labelsTr/BRATS_001.nii.gz", tumour())
    dataset = list_label_files(tmp_path / "labelsTr")["BRATS_001"].dataset
    assert dataset is not None
    assert dataset.scheme.name == "msd"
