"""Label maps as arrays, images and segmentations in memory."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import find_scheme
from tunetseg.errors import InputError
from tunetseg.evaluation.arrays import is_path, read_pair
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.io import Grid
from tunetseg.metrics import RULES


def test_an_array_next_to_an_image_lies_on_its_grid_in_lps(tmp_path, tumour, save):
    """As `Segmentation.label_map` of a patient whose files are in LPS, or any array of this library."""
    canonical = nib.Nifti1Image(tumour()[::-1, ::-1], np.diag([1.0, 1.0, 1.0, 1.0]))
    assert [row["dice"] for row in evaluate(tumour(), canonical).rows] == [1, 1, 1]


def test_a_segmentation_is_scored_by_its_own_scheme(tumour):
    labels = np.array([0, 2, 1, 3, 3], np.uint8)[tumour()]
    result = SimpleNamespace(
        case="one", label_map=labels, grid=Grid.from_spacing(1.0, labels.shape), scheme=find_scheme("nnunet")
    )
    scores = evaluate(result, tumour())
    assert [(row["case"], row["dice"]) for row in scores.rows] == [("one", 1)] * 3
    assert scores.summary["labels"]["predictions"]["sentence"] == "nnunet (1), as the segmentation says"


@pytest.mark.parametrize(
    ("prediction", "reference", "options", "fault"),
    [
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), {}, "give the spacing in mm, or an affine"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 3)), {"spacing": 1}, r"shape \(2, 2, 2\)"),
        (np.zeros((2, 2)), np.zeros((2, 2)), {"spacing": 1}, r"prediction: an array of shape \(2, 2\)"),
        (np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2)), {"spacing": 1}, "score_case"),
        (np.full((2, 2, 2), np.nan), np.zeros((2, 2, 2)), {"spacing": 1}, "NaN"),
        (np.zeros((2, 2, 2)), np.full((2, 2, 2), 0.5), {"spacing": 1}, "reference: holds 0.5, which is not a label"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), {"spacing": (1, 0, 1)}, "invalid spacing"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), {"spacing": (1, 1)}, "invalid spacing"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), {"spacing": 1, "affine": np.eye(4)}, "give one of the two"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), {"spacing": 1, "uncertainty": True}, "score_uncertainty"),
        (np.zeros((2, 2, 2)), np.full((2, 2, 2), 9), {"spacing": 1}, r"reference: label values \[9\] fit none"),
        (np.full((2, 2, 2), 9), np.full((2, 2, 2), 1), {"spacing": 1}, r"prediction: label values \[9\] fit none"),
        (np.zeros((2, 2, 2)), nib.Nifti1Image(np.zeros((2, 2, 3)), np.eye(4)), {}, "give the affine of the array"),
        (np.zeros((2, 2, 2)), nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), {"spacing": 1}, "of its own"),
        (*[nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4))] * 2, {"spacing": 1}, "images have their own"),
        (np.zeros((2, 2, 2)), "nowhere.nii.gz", {}, "nowhere.nii.gz: there is no such file"),
    ],
)
def test_arrays_that_cannot_be_scored(prediction, reference, options, fault):
    with pytest.raises(InputError, match=fault):
        evaluate(prediction, reference, **options)


def test_paths(tmp_path):
    assert is_path("a.nii")
    assert is_path(tmp_path)
    assert not is_path(np.zeros(3))


def test_names_of_cases(tmp_path, tumour, save):
    path = save(tmp_path / "one_seg.nii.gz", tumour())
    assert read_pair(tumour(), path, RULES["brats2020"], affine=np.eye(4))[0] == "one"
    assert read_pair(path, tumour(), RULES["brats2020"], affine=np.eye(4))[0] == "one"
    assert read_pair(tumour(), tumour(), RULES["brats2020"], spacing=1)[0] == "case"
    assert read_pair(nib.load(path), nib.Nifti1Image(tumour(), np.eye(4)), RULES["brats2020"])[0] == "case"
    assert read_pair(tumour(), nib.load(path), RULES["brats2020"], affine=np.eye(4))[0] == "one_seg"


def test_arrays_are_not_changed_or_copied(tumour):
    labels = tumour()
    labels.setflags(write=False)
    _, prediction, reference = read_pair(labels, labels, RULES["brats2020"], spacing=(1, 1, 1))
    assert np.shares_memory(prediction.image.array, labels)
    assert reference.image.grid.spacing == (1, 1, 1)
    assert read_pair(labels.tolist(), labels, RULES["brats2020"], spacing=2)[1].image.grid.spacing == (2, 2, 2)
