"""The picture of a segmented patient."""

import json
from pathlib import Path

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import Case, find_cases
from tunetseg.datasets.phantom import make_patient, write_patient
from tunetseg.errors import InputError
from tunetseg.report.figure import draw_segmentation


@pytest.fixture
def segmented(tmp_path: Path) -> tuple[Case, Path]:
    """A patient whose segmentation is the truth, with made-up uncertainty."""
    folder = write_patient(make_patient(0, shape=(48, 48, 31), spacing=5.0), tmp_path / "cohort")
    (case,) = find_cases(folder)
    assert case.segmentation is not None
    truth, out = nib.load(case.segmentation), tmp_path / "out"
    out.mkdir()
    nib.save(truth, out / f"{case.id}.nii.gz")
    unsure = nib.Nifti1Image(np.full(truth.shape, 50, np.uint8), truth.affine)
    names = [f"{case.id}_unc_{region}.nii.gz" for region in ("whole", "core", "enhance")]
    for name in names:
        nib.save(unsure, out / name)
    manifest = {
        "labels": "brats2017",
        "files": names,
        "volume_ml": {"whole": 1.0, "core": 0.5, "enhancing": 0.2},
        "use": "research use, not a medical device",
    }
    (out / f"{case.id}.json").write_text(json.dumps(manifest))
    return case, out


def test_picture_shows_labels_in_colour(segmented: tuple[Case, Path]) -> None:
    case, out = segmented
    picture = matplotlib.image.imread(draw_segmentation(case, out, out / "picture.png"))
    height, width, _ = picture.shape
    assert 400 < height < 2000
    assert 800 < width < 2000
    red, green, blue = (picture[..., channel] for channel in range(3))
    assert (blue - red > 0.2).sum() > 300, "the oedema is blue"
    assert ((red > 0.7) & (green > 0.6) & (blue < 0.6)).sum() > 100, "the enhancing tumour is yellow"
    assert not list(out.glob(".*")), "no half-written file is left"


def test_picture_without_reference_and_without_tumour(segmented: tuple[Case, Path]) -> None:
    case, out = segmented
    label_map = nib.load(out / f"{case.id}.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(label_map.shape, np.uint8), label_map.affine), out / f"{case.id}.nii.gz")
    bare = Case(case.id, case.images)
    assert draw_segmentation(bare, out, out / "picture.png").stat().st_size > 10_000


def test_faults_are_said(segmented: tuple[Case, Path]) -> None:
    case, out = segmented
    (out / f"{case.id}.json").write_text("{")
    with pytest.raises(InputError, match="no manifest can be read"):
        draw_segmentation(case, out, out / "picture.png")
    assert not (out / "picture.png").exists()


@pytest.mark.parametrize("fault", ["cut off", "values", "slices"])
def test_a_reference_at_fault_costs_only_its_lines(segmented: tuple[Case, Path], fault: str) -> None:
    case, out = segmented
    assert case.segmentation is not None
    truth = nib.load(case.segmentation)
    labels = np.asarray(truth.dataobj)
    if fault == "cut off":
        case.segmentation.write_bytes(case.segmentation.read_bytes()[:500])
    else:
        changed = labels[:, :, :4] if fault == "slices" else np.where(labels == 4, 9, labels)
        nib.save(nib.Nifti1Image(changed, truth.affine), case.segmentation)
    drawn = draw_segmentation(case, out, out / "drawn.png").read_bytes()
    bare = draw_segmentation(Case(case.id, case.images), out, out / "bare.png").read_bytes()
    assert drawn != bare, "the title says that there was one"


def test_a_name_is_no_mathematics(segmented: tuple[Case, Path]) -> None:
    case, out = segmented
    for path in list(out.iterdir()):
        path.rename(out / path.name.replace(case.id, "a$_$b"))
    odd = Case("a$_$b", case.images, case.segmentation)
    assert draw_segmentation(odd, out, out / "picture.png").exists()
