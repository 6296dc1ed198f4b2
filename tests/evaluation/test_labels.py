"""Which label values a file has, and how that is known."""

import json

import numpy as np
import pytest

from tunetseg.datasets import find_description, find_scheme
from tunetseg.errors import InputError
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.labels import choose_scheme, default_schemes, describe_findings, manifest_scheme, to_scheme


def test_cohort_of_several_years_and_label_schemes(tmp_path, tumour, flat, cohort):
    references = cohort(
        tmp_path / "cohort", BraTS19_CBICA_X_1=tumour(), **{"BraTS__GLI__00001__000": tumour(enhancing=3)}
    )
    predictions = flat(
        tmp_path / "predictions", **{"BraTS19_CBICA_X_1": tumour(), "BraTS-GLI-00001-000": tumour(enhancing=4)}
    )
    scores = evaluate(predictions, references)
    assert all(row["dice"] == 1 for row in scores.rows)
    labels = scores.summary["labels"]
    assert labels["references"]["schemes"] == {"brats2017": 1, "brats2023": 1}
    assert "as the dataset says" in labels["references"]["sentence"]
    assert labels["predictions"]["schemes"] == {"brats2017": 2}
    assert "by the label values of all files (1 2 4)" in labels["predictions"]["sentence"]


def test_a_three_without_a_four_means_2023(tmp_path, tumour, flat, row_of):
    references = flat(tmp_path / "references", a=tumour(enhancing=3), b=tumour(enhancing=0))
    predictions = flat(tmp_path / "predictions", a=tumour(enhancing=4), b=tumour(enhancing=0))
    scores = evaluate(predictions, references)
    assert row_of(scores, "a", "enhancing")["dice"] == 1
    assert scores.summary["labels"]["references"]["schemes"] == {"brats2023": 2}
    assert "by the label values of all files (1 2 3)" in scores.summary["labels"]["references"]["sentence"]


def test_a_mixed_folder_is_recognised_case_by_case(tmp_path, tumour, flat, row_of):
    mixed = {"a": tumour(enhancing=3), "b": tumour(enhancing=4), "c": tumour(enhancing=0)}
    scores = evaluate(flat(tmp_path / "p", **mixed), flat(tmp_path / "r", **mixed))
    found = scores.summary["labels"]["predictions"]
    assert found["schemes"] == {"brats2017": 1, "brats2017 or brats2023": 1, "brats2023": 1}
    assert "case by case" in found["sentence"]
    assert row_of(scores, "a", "enhancing")["dice"] == 1


def test_three_and_four_in_one_file_are_ambiguous(tmp_path, tumour, flat, row_of):
    labels = tumour()
    labels[2, 2, 2] = 3
    side = flat(tmp_path / "side", a=labels)
    with pytest.raises(InputError, match=r"a\.nii\.gz: label values \[1, 2, 3, 4\] fit none of .*name the dataset"):
        evaluate(side, side)
    scores = evaluate(side, side, labels="2013")
    assert row_of(scores, "a", "core")["reference_ml"] == pytest.approx(0.049)
    assert "as requested" in scores.summary["labels"]["predictions"]["sentence"]


def test_labels_of_one_side_alone(tmp_path, tumour, flat, row_of):
    # nnU-Net's conversion swaps oedema and necrosis, which no value shows.
    swapped = np.array([0, 2, 1, 3, 3], np.uint8)[tumour()]
    references, predictions = flat(tmp_path / "r", a=tumour()), flat(tmp_path / "p", a=swapped)
    assert row_of(evaluate(predictions, references), "a", "core")["dice"] < 0.5
    scores = evaluate(predictions, references, prediction_labels="nnunet")
    assert [row["dice"] for row in scores.rows] == [1, 1, 1]


def test_the_manifest_next_to_a_prediction_decides(tmp_path, references, tumour, flat, row_of):
    predictions = flat(tmp_path / "predictions", a=np.array([0, 2, 1, 3, 3], np.uint8)[tumour()])
    (predictions / "a.json").write_text(json.dumps({"labels": "nnunet"}))
    scores = evaluate(predictions, references)
    assert row_of(scores, "a", "core")["dice"] == 1
    assert "manifest" in scores.summary["labels"]["predictions"]["sentence"]


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": {"whole": 1}}', '{"other": 1}'])
def test_other_json_next_to_a_prediction_is_ignored(tmp_path, references, text, tumour, flat, row_of):
    predictions = flat(tmp_path / "predictions", a=tumour())
    (predictions / "a.json").write_text(text)
    assert row_of(evaluate(predictions, references), "a", "core")["dice"] == 1


def test_values_that_contradict_the_year_are_an_error(tmp_path, tumour, flat, cohort, row_of):
    references = cohort(tmp_path / "cohort", BraTS19_CBICA_X_1=tumour(enhancing=3))
    predictions = flat(tmp_path / "predictions", BraTS19_CBICA_X_1=tumour())
    with pytest.raises(InputError, match=r"BraTS19_CBICA_X_1_seg\.nii\.gz.*\[3\].*brats2017.*name the dataset"):
        evaluate(predictions, references)
    scores = evaluate(predictions, references, labels="2023", prediction_labels="2019")
    assert row_of(scores, "BraTS19_CBICA_X_1", "enhancing")["dice"] == 1


def test_schemes_of_other_organs_do_not_mix(tmp_path, references, tumour, flat):
    kidney = flat(tmp_path / "predictions", a=tumour(enhancing=0))
    with pytest.raises(InputError, match=r"kidney, tumour \(kits19\).*whole, core, enhancing"):
        evaluate(kidney, references, prediction_labels="kits19")
    scores = evaluate(kidney, kidney, labels="kits19")
    assert [row["region"] for row in scores.rows] == ["kidney", "tumour"]


def test_labels_that_no_scheme_has_are_a_miss(tmp_path, references, tumour, flat, row_of):
    strange = tumour()
    strange[0, 0, 0] = 7
    scores = evaluate(flat(tmp_path / "predictions", a=tumour(), b=strange), references)
    missed = row_of(scores, "b", "whole")
    assert (missed["dice"], missed["status"]) == (0, "unreadable")
    assert "7" in scores.summary["cases"]["unreadable"]["b"]
    assert row_of(scores, "a", "whole")["dice"] == 1


def test_a_kidneys_rules_do_not_score_gliomas(tmp_path, tumour, flat, cohort):
    references = cohort(tmp_path / "cohort", BraTS19_CBICA_X_1=tumour())
    predictions = flat(tmp_path / "predictions", BraTS19_CBICA_X_1=tumour())
    with pytest.raises(InputError, match="rules kits19 are for kidney, tumour"):
        evaluate(predictions, references, rules="kits19")


def test_a_prediction_prefers_the_values_of_its_reference(tmp_path, tumour, flat, cohort):
    """Those of paediatric tumours, of which the enhancing one is 1, hold the values of other years too."""
    labels = np.array([0, 2, 4, 3, 1], np.uint8)[tumour()]  # oedema 4, core 2, enhancing 1
    assert set(np.unique(labels)) == {0, 1, 2, 4}
    references = cohort(tmp_path / "cohort", **{"BraTS__PED__00001__000": labels})
    predictions = flat(tmp_path / "predictions", **{"BraTS-PED-00001-000": labels})
    scores = evaluate(predictions, references)
    assert [row["dice"] for row in scores.rows] == [1, 1, 1]
    assert [row["reference_ml"] for row in scores.rows] == pytest.approx([0.192, 0.048, 0.008])
    assert scores.summary["labels"]["predictions"]["sentence"] == (
        "brats2024-ped (1), by the label values of all files (1 2 4), which brats2017 can have too"
    )


def test_a_scheme_that_only_a_manifest_knows_is_explained(tmp_path, references, tumour, flat, nested_description):
    predictions = flat(tmp_path / "predictions", a=tumour(), b=tumour())
    (predictions / "a.json").write_text(json.dumps({"labels": "onions"}))
    reason = evaluate(predictions, references).summary["cases"]["unreadable"]["a"]
    assert "its manifest names the label values of 'onions', an unknown dataset" in reason
    known = manifest_scheme({"labels": "onions"}, [nested_description.scheme], "a")
    assert known is nested_description.scheme
    assert manifest_scheme({}, [], "a") is None


def test_schemes_by_name_description_or_themselves():
    kits = find_description("kits19")
    assert to_scheme("kits19") == to_scheme(kits) == to_scheme(kits.scheme)
    assert [scheme.name for scheme in default_schemes(None)[1]] == ["brats2017", "brats2023"]
    assert default_schemes("kits19") == ("rules", [kits.scheme])


def test_sentences():
    old, new = find_scheme("2017"), find_scheme("2023")
    kinds = [
        choose_scheme("a", [0, 1, 2], "values", [old, new]),
        choose_scheme("b", [2, 3], "values", [old, new]),
        choose_scheme("c", [0], "option", [new]),
    ]
    assert describe_findings(kinds) == {
        "schemes": {"brats2023": 3},
        "sentence": "brats2023 (2), by the label values of all files (1 2 3), unless they are of nnU-Net or MSD, where "
        "1 is oedema and 2 necrosis: name nnunet or msd then; brats2023 (1), as requested",
    }
    empty = describe_findings([choose_scheme("a", [0], "values", [old, new])])
    assert empty["sentence"] == "brats2017 (1), by the label values of all files (none), which brats2023 can have too"
    binary = describe_findings([choose_scheme("a", [0, 1], "values", [old, new])])
    assert binary["sentence"].endswith(
        "only 1 occurs, as in binary masks, of which scores of inner regions mean nothing"
    )
    with pytest.raises(InputError, match=r"d: label values \[9\]"):
        choose_scheme("d", [9], "dataset", [old])
