"""Manifests: what is damaged is named, and what is none is left alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunetseg.datasets import find_cases
from tunetseg.errors import InputError
from tunetseg.inference.manifest import read_manifest
from tunetseg.inference.predictor import load_model
from tunetseg.inference.save import is_complete
from tunetseg.inference.segment import segment
from tunetseg.studies.postprocessing import manifests


@pytest.fixture(scope="module")
def written(mri_cohort: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the result of one case."""
    folder = tmp_path_factory.mktemp("written")
    segment(find_cases(mri_cohort)[0], model=load_model(tiny_model, device="cpu")).save(folder)
    return folder


@pytest.fixture
def manifest(written: Path) -> Path:
    (path,) = written.glob("*.json")
    return path


def test_a_manifest_that_was_written_here(manifest: Path) -> None:
    assert read_manifest(manifest) == json.loads(manifest.read_text())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("case", ""),
        ("case", "x" * 300),
        ("volume_ml", {"whole": -1.0}),
        ("volume_ml", [1.0]),
        ("missing", True),
        ("files", [3]),
        ("findings", [{"code": "gap"}]),
        ("label_values", {"x": "oedema"}),
        ("input_files", {"t1": {}}),
        ("series", {"t1": "1.2.3"}),
        ("seconds", None),
    ],
)
def test_a_damaged_manifest(manifest: Path, tmp_path: Path, key: str, value: Any) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(json.loads(manifest.read_text()) | {key: value}))
    with pytest.raises(InputError, match=r"case\.json: a damaged manifest \(.*\); segment the case again"):
        read_manifest(path)


def test_a_manifest_that_lacks_something(manifest: Path, tmp_path: Path) -> None:
    said = json.loads(manifest.read_text())
    for key in ("files", "findings", "labels", "missing", "settings"):
        (tmp_path / "case.json").write_text(json.dumps({name: value for name, value in said.items() if name != key}))
        with pytest.raises(InputError, match=f"missing required field `{key}`"):
            read_manifest(tmp_path / "case.json")
        assert manifests(tmp_path) == {}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"case": 3}', '{"use": "other", "case": 3, "volume_ml": 1}'])
def test_other_files(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    assert read_manifest(tmp_path / "other.json") == {}
    assert read_manifest(tmp_path / "nothing.json") == {}


def test_a_case_with_a_damaged_manifest_is_not_complete(
    written: Path, manifest: Path, mri_cohort: Path, tiny_model: Path
) -> None:
    case, model = find_cases(mri_cohort)[0], load_model(tiny_model, device="cpu")
    said = json.loads(manifest.read_text())
    asked = {key: said["settings"][key] for key in ("calibrated", "grid")}
    assert is_complete(written, case, model, said["labels"], settings=asked)
    before = manifest.read_text()
    manifest.write_text(json.dumps(said | {"files": [3]}))
    try:
        assert not is_complete(written, case, model, said["labels"], settings=asked)
    finally:
        manifest.write_text(before)
