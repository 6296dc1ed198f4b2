"""Descriptions: what they accept, that every fault is one sentence with file and field, and that they survive JSON."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.datasets import DatasetDescription, packaged_descriptions
from tunetseg.errors import InputError

ONIONS = {
    "name": "onions",
    "channels": [{"name": "first"}, {"name": "second", "normalisation": {"kind": "clip", "low": -1, "high": 4}}],
    "regions": [{"name": "outer", "labels": [9, 4, 200]}, {"name": "inner", "labels": [4, 200], "label": 200}],
}


def changed(**fields: Any) -> dict[str, Any]:
    return ONIONS | fields


def test_what_follows_from_a_description() -> None:
    onions = DatasetDescription.from_dict(ONIONS)
    assert onions.channel_names == ("first", "second")
    assert onions.region_names == ("outer", "inner")
    assert onions.region("inner").label == 200
    assert onions.scheme.exclusive_labels == (9, 200)
    assert onions.scheme.name == "onions"
    assert onions.scheme.values == {
        4: "inner, label 4",
        9: "outer outside inner",
        200: "inner, label 200",
    }


@pytest.mark.parametrize("description", packaged_descriptions().values(), ids=packaged_descriptions())
def test_a_packaged_description_survives_json_and_pickle(description: DatasetDescription) -> None:
    assert DatasetDescription.from_dict(json.loads(json.dumps(description.to_dict()))) == description
    copy = pickle.loads(pickle.dumps(description))
    assert copy == description
    assert copy.scheme == description.scheme


@st.composite
def raw_descriptions(draw: st.DrawFn) -> dict[str, Any]:
    """Any number of channels and nested regions, with label values in any order."""
    names = st.from_regex(r"[a-z][a-z0-9._-]{0,8}", fullmatch=True).filter(lambda name: name != "reference")
    channels = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    regions = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    values = draw(st.lists(st.integers(1, 255), min_size=len(regions), max_size=len(regions), unique=True))
    normalisation = st.sampled_from([{}, {"kind": "clip", "low": -100.5, "high": 300, "scale": 50}])
    return {
        "name": draw(names),
        "channels": [
            {"name": name, "title": draw(st.text()), "normalisation": draw(normalisation)} for name in channels
        ],
        "regions": [
            {"name": name, "labels": draw(st.permutations(values[level:]))} for level, name in enumerate(regions)
        ],
        "labels": {str(value): draw(st.text()) for value in values},
        "foreground": {"kind": "above", "value": draw(st.floats(-2000, 2000))},
        "files": {
            "channels": {
                name: [f"{{case}}_{number}", f"images/{{case}}#{number}"] for number, name in enumerate(channels)
            },
            "shape": draw(st.none() | st.tuples(*[st.integers(1, 500)] * 3)),
        },
        "postprocessing": {"min_volume_region": regions[-1], "min_volume_mm3": draw(st.floats(0, 1e4))},
    }


@given(raw=raw_descriptions())
def test_any_description_survives_json(raw: dict[str, Any]) -> None:
    description = DatasetDescription.from_dict(raw)
    again = DatasetDescription.from_dict(json.loads(json.dumps(description.to_dict())))
    assert again == description
    assert again.scheme == description.scheme


@given(raw=raw_descriptions(), data=st.data())
def test_the_order_of_label_values_does_not_matter(raw: dict[str, Any], data: st.DataObject) -> None:
    scheme = DatasetDescription.from_dict(raw).scheme
    nesting = data.draw(st.lists(st.integers(0, len(raw["regions"])), min_size=1, max_size=20))
    written = scheme.label_map(np.array(nesting, np.uint8))
    assert scheme.nesting(written).tolist() == nesting


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "missing field `name`"),
        ([], r"expected `object`, got `array`"),
        (changed(colour="red"), "unknown field `colour`"),
        (changed(name="two words"), "name: expected `str` matching regex"),
        (changed(channels=[]), "channels: expected `array` of length >= 1"),
        (changed(channels=[{"name": "a"}, {"name": "a"}]), "channel 'a' is given twice"),
        (changed(channels=[{"name": "reference"}]), "a channel cannot be called 'reference'"),
        (changed(channels=[{"nme": "a"}]), r"channels\[0\]: unknown field `nme`"),
        (changed(channels=[{"name": "a", "normalisation": {"kind": "minmax"}}]), r"normalisation\.kind: invalid enum"),
        (
            changed(channels=[{"name": "a", "normalisation": {"kind": "clip", "low": 3, "high": 3}}]),
            "clip needs low < high",
        ),
        (
            changed(channels=[{"name": "a", "normalisation": {"kind": "clip"}}]),
            "clip needs low < high, not None and None",
        ),
        (changed(channels=[{"name": "a", "normalisation": {"scale": 0}}]), r"scale: expected `float` > 0"),
        (changed(regions=[]), "regions: expected `array` of length >= 1"),
        (changed(regions=[{"name": "a", "labels": []}]), r"labels: expected `array` of length >= 1"),
        (changed(regions=[{"name": "a", "labels": [256]}]), r"regions\[0\]\.labels\[0\]: expected `int` <= 255"),
        (changed(regions=[{"name": "a", "labels": [0]}]), r"regions\[0\]\.labels\[0\]: expected `int` >= 1"),
        (changed(regions=[{"name": "a", "labels": [1.5]}]), r"regions\[0\]\.labels\[0\]: expected `int`, got `float`"),
        (changed(regions=[{"name": "a", "labels": [1, 2]}]), r"region 'a': labels \[1, 2\] .* say with 'label' which"),
        (changed(regions=[{"name": "a", "labels": [1], "label": 2}]), r"region 'a': label 2 is not one of \[1\]"),
        (
            changed(regions=[{"name": "a", "labels": [1]}, {"name": "b", "labels": [1, 2]}]),
            "region 'b' must lie inside region 'a'; list the regions outermost first",
        ),
        (
            changed(regions=[{"name": "a", "labels": [1]}, {"name": "b", "labels": [1]}]),
            "'b' must lie inside region 'a'",
        ),
        (changed(regions=[{"name": "a", "labels": [1]}] * 2), "region 'a' is given twice"),
        (changed(labels={"300": "x"}), "labels: expected `int` <= 255"),
        (changed(labels={"-1": "x"}), "labels: expected `int` >= 0"),
        (changed(labels=["x"]), "labels: expected `object`, got `array`"),
        (
            changed(files={"channels": {"third": "x"}}),
            r"files\.channels: unknown channel 'third'; choose from first, second",
        ),
        (changed(files={"case": "("}), r"files: invalid regular expression '\('"),
        (changed(files={"case": "(?i)x"}), "invalid regular expression"),
        (changed(files={"case": "(?P<case>x)"}), "invalid regular expression"),
        (changed(files={"reference": "{case}.nii.gz"}), r"leave out the ending \.nii or \.nii\.gz"),
        (changed(files={"reference": "{cse}"}), r"template '\{cse\}': must be a relative name"),
        (changed(files={"reference": "/data/{case}"}), "must be a relative name"),
        (changed(files={"reference": "{case}#one"}), "the number of a volume must follow #"),
        (changed(files={"prediction": "pred"}), "prediction 'pred': must contain"),
        (changed(files={"prediction": "{case}_{id}"}), "no other braces"),
        (changed(files={"prediction": "p_{patient}"}), r"case_name must contain \{patient\}"),
        (changed(files={"patient_rename": ["(", "x"]}), "invalid patient_rename"),
        (changed(files={"patient_rename": ["a", r"\1"]}), "invalid patient_rename"),
        (changed(files={"shape": [1, 2]}), r"files\.shape: expected `array` of length 3"),
        (changed(postprocessing={"threshold": 1}), r"postprocessing\.threshold: expected `float` < 1"),
        (changed(postprocessing={"fallback_region": "x"}), r"postprocessing\.fallback_region: unknown region 'x'"),
        (changed(postprocessing={"min_volume_region": "x"}), "unknown region 'x'; choose from outer, inner"),
        (changed(postprocessing={"thresholds": {"x": 0.4}}), r"postprocessing\.thresholds: unknown region 'x'"),
        (changed(postprocessing={"min_component_mm3": {"x": 9}}), r"min_component_mm3: unknown region 'x'"),
    ],
)
def test_a_fault_is_one_sentence_with_file_and_field(raw: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        DatasetDescription.from_dict(raw, "mine.toml")
    assert str(caught.value).startswith("mine.toml: ")
    assert "\n" not in str(caught.value)


def test_background_may_be_named() -> None:
    named = DatasetDescription.from_dict(changed(labels={"0": "background", "9": "skin"}))
    assert 0 not in named.scheme.values
    assert named.scheme.values[9] == "skin"


def test_the_worked_example_of_the_documentation() -> None:
    from tunetseg.datasets import find_description

    example = Path(__file__).parents[2] / "docs/examples/four-regions.toml"
    assert len(find_description(example).regions) == 4
