"""Tuning from files: nested folds, what is written, and what a model then does."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from tunetseg.datasets import Postprocessing, find_cases, find_description
from tunetseg.datasets.phantom import write_cohort
from tunetseg.errors import InputError
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.pairing import Pair, pair_files
from tunetseg.inference.postprocess import find_postprocessing
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io import read_image, read_label_map
from tunetseg.models.calibration import Calibration
from tunetseg.models.store import read_spec
from tunetseg.tuning import cohort as tuning
from tunetseg.tuning.cohort import Tuning, tune
from tunetseg.tuning.search import Candidates

BRATS = find_description("brats2020")
CANDIDATES = Candidates(thresholds=(0.3, 0.5), components_mm3=(0, 1.2e4), volumes_mm3=(0, 500))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Predictions and references: six patients whose predictions are too certain, and have an island each."""
    folder = tmp_path_factory.mktemp("tuning")
    write_cohort(folder / "cohort", cases=6, shape=(24, 24, 16), spacing=10.0)
    generator = np.random.default_rng(0)
    for case in find_cases(folder / "cohort"):
        reference, image = read_label_map(case.reference), read_image(case.images["t1"])
        masks = BRATS.scheme.masks(reference.array) if reference.array.max() < 5 else None
        blurred = np.stack([ndimage.gaussian_filter(mask.astype(np.float32), 0.9) for mask in masks])
        probabilities = np.clip(blurred + generator.normal(0, 0.15, blurred.shape) * (blurred > 0.02), 0, 1)
        brain = np.argwhere(image.array != 0)
        x, y, z = brain[len(brain) // 20]
        probabilities[0, x : x + 2, y : y + 2, z : z + 2] = 0.95
        probabilities = (probabilities * (image.array != 0)).astype(np.float32)
        result = Segmentation(
            case.id,
            BRATS.scheme.merge(probabilities >= 0.5),
            reference.stored.from_lps(probabilities),
            reference.stored,
            BRATS.scheme,
            BRATS,
        )
        result = replace(result, label_map=reference.stored.from_lps(result.label_map))
        result.save(folder / "predictions", probabilities=True)
    return folder / "predictions", folder / "cohort"


@pytest.fixture(scope="module")
def pairs(files: tuple[Path, Path]) -> tuple[Pair, ...]:
    return pair_files(*files).pairs


@pytest.fixture(scope="module")
def found(pairs: tuple[Pair, ...]) -> Tuning:
    return tune(pairs, candidates=CANDIDATES, folds=3)


def test_islands_are_removed_and_scores_rise(found: Tuning) -> None:
    assert found.cases == 6
    assert found.postprocessing.min_component_mm3["whole"] == 1.2e4
    before, nested, chosen = (found.scores[name]["whole"]["lesion_dice"] for name in ("before", "nested", "chosen"))
    assert before + 0.1 < nested <= chosen
    assert len(found.folds) == 3


def test_no_tuning_is_what_the_evaluator_says(files: tuple[Path, Path], found: Tuning, tmp_path: Path) -> None:
    """The label maps were made with a threshold of one half alone."""
    scores = evaluate(*files, rules="brats2023")
    for region, values in found.scores["none"].items():
        rows = [row for row in scores.rows if row["region"] == region]
        assert np.mean([row["lesion_dice"] for row in rows]) == pytest.approx(values["lesion_dice"], abs=2e-3)
        assert np.mean([row["dice"] for row in rows]) == pytest.approx(values["dice"], abs=2e-3)


@pytest.mark.parametrize("kind", ["temperature", "isotonic"])
def test_calibration_is_scored_on_cases_that_it_was_not_fitted_to(pairs: tuple[Pair, ...], kind) -> None:
    found = tune(pairs, candidates=CANDIDATES, folds=3, calibration=kind)
    assert set(found.calibration) == {"whole", "core", "enhancing"}
    before, after = found.reliability["before"]["whole"], found.reliability["nested"]["whole"]
    assert after["brier"] < before["brier"]
    assert 0 < after["qu_score"] <= 1


def test_each_patient_is_left_out_once(pairs: tuple[Pair, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    plain = tuning.choose_rules
    monkeypatch.setattr(tuning, "choose_rules", lambda tables, *rest: seen.append(len(tables)) or plain(tables, *rest))
    found = tune(pairs, candidates=CANDIDATES, folds=3, calibration="none")
    assert seen == [6, 4, 4, 4]
    assert found.reliability == {}
    assert found.calibration == {}


def test_the_file_and_the_model(found: Tuning, tiny_model: Path, tmp_path: Path) -> None:
    path = found.save(tmp_path / "new" / "rules.toml")
    assert find_postprocessing(path, BRATS) == found.postprocessing
    curves = tomllib.loads(path.read_text())["calibration"]
    assert curves["core"]["temperature"] == found.calibration["core"].temperature
    model = tmp_path / "model.safetensors"
    model.write_bytes(tiny_model.read_bytes())
    found.store([model])
    spec = read_spec(model)
    assert spec.dataset.postprocessing == found.postprocessing
    assert spec.calibration == found.calibration
    assert spec.network == read_spec(tiny_model).network
    with pytest.raises(InputError, match=r"must end in \.toml"):
        found.save(tmp_path / "rules.json")


def test_a_model_of_other_regions_changes_nothing(found: Tuning, tiny_model: Path, make_model, tmp_path: Path) -> None:
    own, other = tmp_path / "own.safetensors", make_model(tmp_path / "kits.safetensors", "kits19")
    own.write_bytes(tiny_model.read_bytes())
    with pytest.raises(InputError, match="its regions kidney, tumour are not those that are tuned"):
        found.store([own, other])
    assert own.read_bytes() == tiny_model.read_bytes()


def test_calibration_is_kept_where_none_was_fitted(found: Tuning, tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(tiny_model.read_bytes())
    found.store([model])
    replace(found, calibration={}, postprocessing=Postprocessing()).store([model])
    assert read_spec(model).calibration == found.calibration
    assert read_spec(model).dataset.postprocessing == Postprocessing()


def test_what_cannot_be_tuned(pairs: tuple[Pair, ...]) -> None:
    with pytest.raises(InputError, match="do not count lesions; choose such as brats2023"):
        tune(pairs, rules="brats2020")
    for name in ("brats2024-gli", "brats2024-men-rt"):
        with pytest.raises(InputError, match="which is not searched; choose such as brats2023"):
            tune(pairs, rules=name)
    with pytest.raises(InputError, match="cannot be split into 9 folds"):
        tune(pairs, folds=9)
    with pytest.raises(InputError, match="has no prediction"):
        tune([replace(pairs[0], prediction=None), *pairs[1:]], folds=3)
    first = pairs[0]
    assert first.prediction is not None
    moved = replace(first.prediction, path=first.reference.path)
    with pytest.raises(InputError, match="no probability map of whole next to it"):
        tune([replace(first, prediction=moved), *pairs[1:]], folds=3)
    nameless = [replace(pair, reference=replace(pair.reference, dataset=None)) for pair in pairs]
    with pytest.raises(InputError, match="dataset of the references is not recognised"):
        tune(nameless, folds=3)


def test_uncertainty_follows_from_the_calibration(tmp_path: Path, mri_patient, tiny_model: Path) -> None:
    """Labels and probabilities stay; uncertainty maps change, unless plain ones are asked for."""
    from tunetseg.inference.predictor import load_model
    from tunetseg.inference.segment import segment
    from tunetseg.models.store import replace_spec

    path = tmp_path / "model.safetensors"
    path.write_bytes(tiny_model.read_bytes())
    spec = read_spec(path)
    replace_spec(path, replace(spec, calibration=dict.fromkeys(spec.dataset.region_names, Calibration(temperature=3))))
    given = {"affine": mri_patient.affine, "model": load_model(path, device="cpu", precision="32")}
    calibrated = segment(mri_patient.images, **given)
    plain = segment(mri_patient.images, **given, calibrated=False)
    assert np.array_equal(calibrated.label_map, plain.label_map)
    assert np.array_equal(calibrated.probabilities, plain.probabilities)
    inside = (plain.probabilities > 0.02) & (plain.probabilities < 0.98) & (abs(plain.probabilities - 0.5) > 1e-3)
    assert (calibrated.uncertainty > plain.uncertainty)[inside].all()
    assert (calibrated.facts["calibrated"], plain.facts["calibrated"]) == (True, False)
    calibrated.save(tmp_path / "out")
    stored = read_image(tmp_path / "out/patient_unc_whole.nii.gz").array
    assert stored == pytest.approx(np.rint(calibrated.grid.to_lps(calibrated.uncertainty[0])))
