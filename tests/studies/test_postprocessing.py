"""Other post-processing of segmentations that are there."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import Postprocessing, find_cases, find_description
from tunetseg.inference.cohort import segment_cases
from tunetseg.inference.predictor import load_model
from tunetseg.studies.postprocessing import manifests, postprocess_folder

DATASET = find_description("brats2020")
PLAIN, NOTHING = Postprocessing(), Postprocessing(threshold=0.999)


@pytest.fixture(scope="module")
def source(study_cohort: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One segmentation with probability maps."""
    folder = tmp_path_factory.mktemp("source")
    model = load_model(tiny_model, device="cpu", precision="32")
    assert len(list(segment_cases(find_cases(study_cohort)[:1], model, out=folder, probabilities=True))) == 1
    return folder


def voxels(folder: Path) -> int:
    return int(np.count_nonzero(nib.load(next(folder.glob("*[0-9].nii.gz"))).get_fdata()))


def test_a_killed_process_leaves_no_label_map_that_does_not_fit_its_manifest(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postprocess_folder(source, tmp_path, DATASET, lambda case: PLAIN)
    before = voxels(tmp_path)
    assert before > 0

    def killed(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tunetseg.studies.postprocessing.whole_file", killed)
        with pytest.raises(KeyboardInterrupt):
            postprocess_folder(source, tmp_path, DATASET, lambda case: NOTHING)
    assert manifests(tmp_path) == {}
    postprocess_folder(source, tmp_path, DATASET, lambda case: PLAIN)
    assert voxels(tmp_path) == before


def test_cases_without_rules_are_left_out(source: Path, tmp_path: Path) -> None:
    """Such as those of folds that not all networks have been trained on."""
    postprocess_folder(source, tmp_path / "out", DATASET, {}.get)
    assert list((tmp_path / "out").iterdir()) == []


def test_complete_ones_of_the_same_rules_are_skipped(source: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "source")
    postprocess_folder(copy, tmp_path / "out", DATASET, lambda case: PLAIN)
    for path in copy.glob("*_prob_*"):
        path.unlink()
    assert postprocess_folder(copy, tmp_path / "out", DATASET, lambda case: PLAIN) == tmp_path / "out"


def test_segmentations_of_other_images_are_processed_again(source: Path, tmp_path: Path) -> None:
    """Of files with the same names, which the manifest tells apart by their sizes and times."""
    copy = shutil.copytree(source, tmp_path / "source")
    postprocess_folder(copy, tmp_path / "out", DATASET, lambda case: PLAIN)
    assert voxels(tmp_path / "out") > 0
    for path in copy.glob("*_prob_*"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.zeros(image.shape, np.float32), image.affine), path)
    (manifest,) = manifests(copy).values()
    said = json.loads(manifest.read_text())
    said["input_files"]["t1"]["bytes"] += 1
    manifest.write_text(json.dumps(said))
    postprocess_folder(copy, tmp_path / "out", DATASET, lambda case: PLAIN)
    assert voxels(tmp_path / "out") == 0
