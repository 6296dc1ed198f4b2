"""From files to scores with a dataset's description alone: synthetic cases, a trained model, segmentations, scores."""

import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tunetseg
from tunetseg.cli.main import main
from tunetseg.datasets import DatasetDescription, find_cases, find_description
from tunetseg.datasets.phantom import write_cohort

RECIPE = """
name = "tiny"
folds = 2
precision = "32"
bce_weight = 1.0
prior_logit = -2.0
keep = "last"

[suggested_options]
base_filters = 4
levels = 2

[defaults]
whole_volume = true
batch_size = 1
schedule = "cosine"
early_stopping_patience = 0
learning_rate = 1e-2

[[stages]]
spacing = {spacing}
patch_size = [24, 24, 24]
epochs = {epochs}
"""

FOUR_REGIONS = """
name = "onions"

[[channels]]
name = "first"

[[channels]]
name = "second"

[[regions]]
name = "peel"
labels = [7, 2, 5, 3]

[[regions]]
name = "skin"
labels = [2, 5, 3]

[[regions]]
name = "flesh"
labels = [5, 3]

[[regions]]
name = "stone"
labels = [3]

[files]
case = 'case_(?P<patient>\\d+)'
reference = "{case}_labels"

[files.channels]
first = "{case}_a"
second = "{case}_b"
"""


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe(folder: Path, *, spacing: float, epochs: int) -> Path:
    path = folder / "tiny.toml"
    path.write_text(RECIPE.format(spacing=spacing, epochs=epochs))
    return path


def train(cohort: Path, out: Path, recipe: Path, *options: str) -> dict[str, torch.Tensor]:
    assert main(["train", str(cohort), "--recipe", str(recipe), "--out", str(out), *options]) == 0
    return load_file(out / "model.safetensors")


def nnunet_copy(cohort: Path, description: DatasetDescription, folder: Path) -> Path:
    """The same cases as a raw dataset of nnU-Net, with its regions."""
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    for case in find_cases(cohort, description):
        for number, channel in enumerate(description.channel_names):
            nib.save(nib.load(case.images[channel]), folder / f"imagesTr/{case.id}_{number:04d}.nii.gz")
        nib.save(nib.load(case.reference), folder / f"labelsTr/{case.id}.nii.gz")
    raw = {
        "channel_names": {str(n): name for n, name in enumerate(description.channel_names)},
        "labels": {"background": 0, **{region.name: list(region.labels) for region in description.regions}},
        "regions_class_order": [7, 2, 5, 3],
        "numTraining": 4,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(raw))
    return folder


def test_four_regions_of_two_channels_by_one_toml_file(tmp_path, capsys):
    file = tmp_path / "onions.toml"
    file.write_text(FOUR_REGIONS)
    description = find_description(file)
    write_cohort(tmp_path / "cohort", cases=4, dataset=description, shape=(24, 24, 20), spacing=8.0)
    settings = recipe(tmp_path, spacing=8.0, epochs=12)
    weights = train(tmp_path / "cohort", tmp_path / "run", settings, "--dataset", str(file))

    out, scores = tmp_path / "out", tmp_path / "scores.csv"
    command = ["segment", str(tmp_path / "cohort"), "--dataset", str(file), "--model", str(tmp_path / "run")]
    assert main([*command, "--out", str(out), "--picture"]) == 0
    assert (out / "case_00000.png").stat().st_size > 1000
    command = ["evaluate", str(out), str(tmp_path / "cohort"), "--dataset", str(file), "--out", str(scores)]
    assert main(command) == 0
    rows = [line.split(",")[:3] for line in scores.read_text().splitlines()]
    assert rows[0] == ["case", "region", "dice"]
    assert [region for _, region, _ in rows[1:5]] == ["peel", "skin", "flesh", "stone"]
    assert np.mean([float(dice) for _, region, dice in rows[1:] if region == "peel"]) > 0.5

    # The same cases as a raw folder of nnU-Net, which describes itself, give the same weights.
    raw = nnunet_copy(tmp_path / "cohort", description, tmp_path / "Dataset007_onions")
    again = train(raw, tmp_path / "run-nnunet", settings)
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_kidney_tumours_from_ct_to_a_submission(tmp_path):
    cohort = tmp_path / "kits"
    write_cohort(cohort, cases=4, dataset="kits19")
    train(cohort, tmp_path / "run", recipe(tmp_path, spacing=10.0, epochs=15))
    out = tmp_path / "predictions"
    assert main(["segment", str(cohort), "--model", str(tmp_path / "run"), "--out", str(out)]) == 0
    predicted = sorted(path.name for path in out.glob("prediction_*.nii.gz") if "_unc_" not in path.name)
    assert predicted == [f"prediction_{n:05d}.nii.gz" for n in range(4)]

    scores = tunetseg.evaluate(out, cohort)
    assert scores.summary["rules"]["name"] == "kits19"
    dice = {(row["case"], row["region"]): row["dice"] for row in scores.rows}
    assert len(dice) == 8
    assert np.mean([value for (_, region), value in dice.items() if region == "kidney"]) > 0.3
    for case in find_cases(cohort):
        label_map = np.asarray(nib.load(out / f"prediction_{case.id.removeprefix('case_')}.nii.gz").dataobj)
        reference = np.asarray(nib.load(case.reference).dataobj)
        assert label_map.shape == reference.shape
        for region, least in (("kidney", 1), ("tumour", 2)):  # the official code's definition
            both = int(((label_map >= least) & (reference >= least)).sum())
            total = int((label_map >= least).sum() + (reference >= least).sum())
            assert dice[case.id, region] == pytest.approx(2 * both / total)

    archive = tmp_path / "upload.zip"
    assert main(["submission", str(out), "--cohort", str(cohort), "--out", str(archive)]) == 0
    with zipfile.ZipFile(archive) as packed:
        assert sorted(packed.namelist()) == predicted
