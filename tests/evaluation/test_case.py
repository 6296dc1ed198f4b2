"""One case in memory."""

import numpy as np
import pytest

from tunetseg.datasets import find_description, find_scheme
from tunetseg.errors import InputError
from tunetseg.evaluation.case import LabelMap, Settings, score_label_maps
from tunetseg.io import Grid, Image
from tunetseg.metrics import RULES, find_rules


def label_map(labels: np.ndarray, **known) -> LabelMap:
    grid = Grid.from_spacing((1, 2, 3), labels.shape)
    return LabelMap("here", Image(labels, grid, grid), **known)


def test_no_prediction_is_an_empty_one(tumour):
    result = score_label_maps("a", None, label_map(tumour()), Settings(RULES["brats2020"]), "missing")
    assert [(row["dice"], row["status"], row["predicted_ml"]) for row in result.rows] == [(0, "missing", 0)] * 3
    assert result.prediction is None
    assert result.reference.scheme.name == "brats2017"


def test_rows_are_of_the_whole_grid(tumour):
    row = score_label_maps("a", label_map(tumour(shift=1)), label_map(tumour()), Settings(RULES["brats2020"])).rows[2]
    assert row["specificity"] == pytest.approx(1 - 4 / (tumour().size - 8))
    assert row["reference_ml"] == pytest.approx(8 * 6 / 1000)


def test_what_is_known_goes_from_option_to_values(tumour):
    """An option overrules a manifest, a manifest the dataset, and the dataset the values."""
    old = find_description("brats2020")
    known = {"manifest": {"labels": "nnunet"}, "dataset": old}
    values = np.minimum(tumour(), 3)
    references = {
        "option": (Settings(RULES["brats2020"], labels=find_scheme("msd")), known, "msd"),
        "manifest": (Settings(RULES["brats2020"]), known, "nnunet"),
        "dataset": (Settings(RULES["brats2020"]), {"dataset": find_description("brats2024-ped")}, "brats2024-ped"),
        "values": (Settings(RULES["brats2020"]), {"dataset": find_description("glioma")}, "brats2023"),
    }
    for how, (settings, facts, scheme) in references.items():
        finding = score_label_maps("a", None, label_map(values, **facts), settings).reference
        assert (finding.how, finding.scheme.name) == (how, scheme)


def test_regions_must_be_the_same_and_the_rules(tumour):
    kidney = label_map(np.minimum(tumour(), 2), scheme=find_scheme("kits19"))
    with pytest.raises(InputError, match=r"a: the prediction has the regions kidney, tumour \(kits19\) but"):
        score_label_maps("a", kidney, label_map(tumour()), Settings(RULES["brats2020"]))
    with pytest.raises(InputError, match=r"here: has the regions whole, core, enhancing, but the rules kits19 are for"):
        score_label_maps(
            "a", None, label_map(tumour(), dataset=find_description("brats2020")), Settings(find_rules("kits19"))
        )
