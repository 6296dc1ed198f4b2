"""``tunet convert``: results as other programs read them."""

import gzip
import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.cli.main import main
from tunetseg.datasets import find_cases
from tunetseg.report.palette import region_colours, rgb


@pytest.fixture(scope="module")
def result(mri_cohort: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The label map of a segmented patient, on an oblique grid with axes in another order."""
    folder = tmp_path_factory.mktemp("oblique")
    case = find_cases(mri_cohort)[0]
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    for name, path in case.images.items():
        image = nib.load(path)
        array = np.moveaxis(np.asarray(image.dataobj), 0, 2)
        nib.save(nib.Nifti1Image(array, turn @ image.affine[:, [1, 2, 0, 3]]), folder / f"{name}.nii.gz")
    out = folder / "out"
    command = ["segment", str(folder), "--model", str(tiny_model), "--name", "sub-7_ses-b", "--out", str(out)]
    flags = [f"--{name}={folder / name}.nii.gz" for name in case.images]
    assert main([command[0], *command[2:], *flags, "--probabilities"]) == 0
    return out / "sub-7_ses-b.nii.gz"


def test_slicer(result: Path, tmp_path: Path) -> None:
    """The same voxels at the same places, by another reader."""
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    assert main(["convert", str(result), "--to", "slicer", "--out", str(tmp_path)]) == 0
    image = sitk.ReadImage(str(tmp_path / "sub-7_ses-b.seg.nrrd"))
    found = sitk.GetArrayFromImage(image).T
    label_map = nib.load(result)
    array = np.asarray(label_map.dataobj)
    assert np.bincount(found.ravel()).tolist() == np.bincount(array.ravel()).tolist()
    to_ras = np.diag([-1, -1, 1])
    for value in np.unique(array)[1:]:
        middle = np.argwhere(found == value).mean(axis=0).tolist()
        world = to_ras @ np.array(image.TransformContinuousIndexToPhysicalPoint(middle))
        expected = label_map.affine @ [*np.argwhere(array == value).mean(axis=0), 1]
        assert world == pytest.approx(expected[:3], abs=1e-3)
    names = {image.GetMetaData(f"Segment{n}_Name"): image.GetMetaData(f"Segment{n}_LabelValue") for n in range(3)}
    assert names == {"oedema": "2", "necrosis and non-enhancing core": "1", "enhancing tumour": "4"}
    colour = [float(part) for part in image.GetMetaData("Segment0_Color").split()]
    assert colour == pytest.approx([part / 255 for part in rgb(region_colours(3)[0])], abs=1e-5)


def test_a_correction_that_was_saved_in_slicer_stays(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["convert", str(result), "--to", "slicer", "--out", str(tmp_path)]
    assert main(words) == 0
    path = tmp_path / "sub-7_ses-b.seg.nrrd"
    written = path.read_bytes()
    assert main(words) == 0
    assert path.read_bytes() == written
    head, _, body = written.partition(b"\n\n")
    voxels = bytearray(gzip.decompress(body))
    voxels[7] ^= 1
    for changed in (head + b"\n\n" + gzip.compress(bytes(voxels)), b"NRRD0005\n\nx"):
        path.write_bytes(changed)
        assert main(words) == 2
        assert "was changed by another program; move it, or choose another folder" in capsys.readouterr().err
        assert path.read_bytes() == changed


def test_two_patients_of_one_name_in_bids(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of BIDS have letters and digits only."""
    for name in ("p_1_12", "p_11_2"):
        said = json.loads(result.with_name("sub-7_ses-b.json").read_text())
        text = json.dumps(said | {"case": name}).replace("sub-7_ses-b", name)
        (tmp_path / f"{name}.json").write_text(text)
        for path in result.parent.glob("*.nii.gz"):
            shutil.copy(path, tmp_path / path.name.replace("sub-7_ses-b", name))
    out = tmp_path / "bids"
    assert main(["convert", str(tmp_path / "p_1_12.json"), "--to", "bids", "--out", str(out)]) == 0
    assert main(["convert", str(tmp_path / "p_1_12.json"), "--to", "bids", "--out", str(out)]) == 0, "again"
    assert main(["convert", str(tmp_path / "p_11_2.json"), "--to", "bids", "--out", str(out)]) == 2
    assert "holds the result of p_1_12, whose name in BIDS is the same" in capsys.readouterr().err


def test_colour_tables(result: Path, tmp_path: Path) -> None:
    assert main(["convert", str(result), "--to", "itksnap", "fsleyes", "--out", str(tmp_path)]) == 0
    snap = (tmp_path / "sub-7_ses-b.itksnap.txt").read_text().splitlines()
    rows = [
        re.fullmatch(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([01])\s+([01])\s+([01])\s+"(.+)"', line) for line in snap
    ]
    found = {int(row[1]): row[8] for row in rows if row}
    assert found == {0: "Clear Label", 1: "necrosis and non-enhancing core", 2: "oedema", 4: "enhancing tumour"}
    lines = (tmp_path / "sub-7_ses-b.lut").read_text().splitlines()
    assert lines[1].split(maxsplit=4) == ["2", "0.3373", "0.7059", "0.9137", "oedema"]


def test_bids(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(result), "--to", "bids", "--out", str(tmp_path)]) == 0
    place = tmp_path / "sub-7/ses-b/anat"
    names = {path.name for path in place.glob("*.nii.gz")}
    stem = "sub-7_ses-b_space-orig"
    labels = [
        f"{stem}_label-{word}{desc}_probseg.nii.gz" for word in ("WT", "TC", "ET") for desc in ("", "_desc-uncertainty")
    ]
    (dseg,) = names - set(labels)
    assert set(labels) < names
    assert re.fullmatch(rf"{stem}_seg-[a-z0-9]+_dseg\.nii\.gz", dseg)
    written, before = nib.load(place / dseg), nib.load(result)
    assert np.array_equal(written.dataobj, before.dataobj)
    assert np.allclose(written.affine, before.affine)
    table = (place / dseg.replace(".nii.gz", ".tsv")).read_text().splitlines()
    assert table[:2] == ["index\tname\tcolor", "1\tnecrosis and non-enhancing core\t#D55E00"]
    assert all((place / name.replace(".nii.gz", ".json")).is_file() for name in names)
    assert json.loads((tmp_path / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    (tmp_path / "dataset_description.json").write_text("{}")
    assert main(["convert", str(result), "--to", "bids", "--out", str(tmp_path)]) == 2
    assert "was not written by tunetseg" in capsys.readouterr().err
