"""Patients who lack sequences: any subset of the channels is segmented, and the result says what was missing."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tunetseg.datasets import Case, DatasetDescription, find_cases, find_description
from tunetseg.datasets.phantom import Phantom
from tunetseg.errors import InputError
from tunetseg.inference.cohort import segment_cases
from tunetseg.inference.predictor import Ensemble, load_model
from tunetseg.inference.segment import segment
from tunetseg.models.store import load_network, save_model
from tunetseg.preparation import Preprocessing, prepare, read_volume

BRATS = find_description("brats2020")
CHANNELS = BRATS.channel_names
SUBSETS = [subset for size in (1, 2, 3, 4) for subset in itertools.combinations(CHANNELS, size)]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Ensemble:
    return load_model(tiny_model, device="cpu", precision="32")


@pytest.fixture(scope="module")
def case(mri_cohort: Path) -> Case:
    return find_cases(mri_cohort)[0]


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_each_of_the_fifteen_subsets(subset: tuple[str, ...], case: Case, model: Ensemble) -> None:
    absent = tuple(name for name in CHANNELS if name not in subset)
    result = segment(case.without(*absent), model=model, missing="allow")
    assert result.label_map.shape == (24, 24, 16)
    assert result.facts["missing"] == absent
    noted = [finding.message for finding in result.warnings if finding.code == "missing-channel"]
    assert bool(noted) == bool(absent)
    assert all(name in noted[0] for name in absent)
    files = segment({name: case.images[name] for name in subset}, model=model, missing="allow")
    assert np.array_equal(files.probabilities, result.probabilities)
    assert files.case == case.id


def test_zeros_stand_in_place_after_normalisation(case: Case, model: Ensemble) -> None:
    """What the network sees is what training with dropped channels showed it."""
    settings = model.specs[0].preprocessing
    whole = prepare(read_volume(case, BRATS), settings, BRATS)
    part = prepare(read_volume(case.without("t2", "t1"), BRATS, missing="allow"), settings, BRATS)
    expected = whole.array.copy()
    expected[[CHANNELS.index("t1"), CHANNELS.index("t2")]] = 0
    assert part.box == whole.box
    assert np.array_equal(part.array, expected)


def test_a_channel_whose_zero_is_tissue(case: Case) -> None:
    """In CT, 0 is water, and above the threshold of the foreground."""
    channels = [{"name": name, "normalisation": {"kind": "clip", "low": -9, "high": 900}} for name in ("t1", "t2")]
    mixed = DatasetDescription.from_dict(
        {
            "name": "mixed",
            "channels": channels,
            "regions": [{"name": "whole", "labels": [1]}],
            "foreground": {"kind": "above", "value": -5},
        }
    )
    volume = read_volume(case.without("t2"), mixed, missing="allow")
    volume.array[0, :4] = -8  # what is not foreground in the image that is there
    ready = prepare(volume, Preprocessing(10.0), mixed)
    assert ready.box[0].start == 4
    assert not ready.array[1].any()


def test_images_in_memory(mri_patient: Phantom, model: Ensemble) -> None:
    images = {"flair": mri_patient.images["flair"]}
    result = segment(images, model=model, affine=mri_patient.affine, missing="allow")
    assert result.facts["missing"] == ("t1", "t1ce", "t2")
    with pytest.raises(InputError, match="no t1, t1ce or t2 image; all of"):
        segment(images, model=model, affine=mri_patient.affine)
    with pytest.raises(InputError, match="no t1, t1ce, flair or t2 image; one of them is needed"):
        segment({}, model=model, missing="allow")


def test_none_of_the_channels(case: Case, model: Ensemble) -> None:
    with pytest.raises(InputError, match="no t1, t1ce, flair or t2 image; one of them is needed"):
        segment(case.without(*CHANNELS), model=model, missing="allow")
    with pytest.raises(InputError, match="no t2 image"):
        segment(case.without("t2"), model=model)


def test_a_model_that_was_trained_with_dropped_channels(case: Case, tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    network, spec = load_network(tiny_model)
    save_model(path, network, replace(spec, training={"channel_dropout": 0.3}))
    *_, finding = segment(case.without("t2"), model=path, missing="allow").warnings
    assert finding.code == "missing-channel"
    assert finding.message == "no t2 image: replaced by zeros, so expect worse results"
    both = load_model(tiny_model, path, device="cpu")
    *_, finding = segment(case.without("t2"), model=both, missing="allow").warnings
    assert finding.message.endswith("the model is not known to have been trained with missing images")


def test_the_manifest_says_what_was_missing(case: Case, model: Ensemble, tmp_path: Path) -> None:
    cases = [case.without("t2", "t1"), replace(case, id="all")]
    assert len(list(segment_cases(cases, model, out=tmp_path, missing="allow", picture=True))) == 2
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in (case.id, "all")}
    assert found[case.id]["missing"] == ["t1", "t2"]
    assert set(found[case.id]["inputs"]) == {"t1ce", "flair"}
    assert found["all"]["missing"] == []
