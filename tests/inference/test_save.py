"""Files of a result: complete or not there, nobody else's replaced, nothing of the input's header."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import Case, find_cases
from tunetseg.datasets.phantom import make_for, write_patient
from tunetseg.errors import InputError
from tunetseg.inference.cohort import segment_cases
from tunetseg.inference.predictor import Ensemble, load_model
from tunetseg.inference.segment import segment
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io import Grid

WORDS = ("whole", "core", "enhance")
SECRETS = (b"Doe", b"Jane", b"MRN", b"123456", b"Clinic")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Ensemble:
    return load_model(tiny_model, device="cpu", precision="32")


@pytest.fixture(scope="module")
def case(mri_cohort: Path) -> Case:
    return find_cases(mri_cohort)[0]


@pytest.fixture(scope="module")
def result(case: Case, model: Ensemble) -> Segmentation:
    return segment(case, model=model)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written(result: Segmentation, case: Case, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    label_map = result.save(out, probabilities=True, picture=True)
    maps = [f"{case.id}_{kind}_{word}.nii.gz" for kind in ("unc", "prob") for word in WORDS]
    assert names(out) == {*maps, label_map.name, f"{case.id}.json", f"{case.id}.png"}
    assert label_map == out / f"{case.id}.nii.gz"
    given = nib.load(case.images["t1"])
    for path in out.glob("*.nii.gz"):
        image = nib.load(path)
        assert image.shape == given.shape
        assert image.affine == pytest.approx(given.affine, abs=1e-5)
        assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    assert np.array_equal(nib.load(label_map).dataobj, result.label_map)
    probability = nib.load(out / f"{case.id}_prob_core.nii.gz").get_fdata(dtype=np.float32)
    assert np.array_equal(probability, result.probabilities[1])
    unsure = nib.load(out / f"{case.id}_unc_core.nii.gz")
    assert unsure.get_data_dtype() == np.uint8
    assert unsure.get_fdata() == pytest.approx(200 * np.minimum(probability, 1 - probability), abs=0.51)


def test_the_manifest(result: Segmentation, case: Case, model: Ensemble, tmp_path: Path) -> None:
    result.save(tmp_path)
    manifest = json.loads((tmp_path / f"{case.id}.json").read_text())
    assert manifest["case"] == case.id
    assert manifest["labels"] == "brats2017"
    assert manifest["label_values"]["4"] == "enhancing tumour"
    assert manifest["volume_ml"] == result.volumes_ml
    assert manifest["inputs"] == {name: path.name for name, path in case.images.items()}
    assert manifest["models"] == model.describe()["models"]
    assert manifest["settings"]["postprocessing"]["threshold"] == 0.5
    assert manifest["settings"]["device"] == "cpu"
    assert manifest["use"] == "research use, not a medical device"
    assert manifest["seconds"] > 0
    assert {*manifest["files"], f"{case.id}.json"} == names(tmp_path)


def identified_copy(case: Case, folder: Path) -> Path:
    """Write the images of a case with a patient's name and number wherever a converter may have left them."""
    folder = folder / case.id
    folder.mkdir(parents=True)
    for path in case.images.values():
        image = nib.load(path)
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"PatientName=Doe^Jane"))
        image.header["aux_file"] = b"MRN 123456"
        image.header["db_name"] = b"Doe^Jane"
        image.header["descrip"] = b"Clinic of Doe"
        image.header["intent_name"] = b"Jane"
        nib.save(image, folder / path.name)
    return folder


def test_nothing_of_the_input_headers_is_written(case: Case, model: Ensemble, tmp_path: Path) -> None:
    folder = identified_copy(case, tmp_path / "in")
    for path in folder.iterdir():
        assert all(secret in gzip.decompress(path.read_bytes()) for secret in SECRETS), "the test's own copies"
    out = tmp_path / "out"
    segment(folder, model=model).save(out, probabilities=True, picture=True)
    images = {name: nib.load(path) for name, path in find_cases(folder)[0].images.items()}
    segment(images, model=model, name="loaded").save(out, probabilities=True)
    assert len(names(out)) == 17
    for path in out.iterdir():
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert not [secret for secret in SECRETS if secret in content], path.name
        if path.suffix == ".gz":
            header = nib.load(path).header
            assert not header.extensions
            assert bytes(header["descrip"]).rstrip(b"\0") == b"tunetseg"


def test_an_earlier_result_is_replaced_whole(result: Segmentation, case: Case, tmp_path: Path) -> None:
    result.save(tmp_path, probabilities=True, picture=True)
    bystander = tmp_path / f"{case.id}_notes.txt"
    bystander.write_text("mine")
    result.save(tmp_path)
    assert names(tmp_path) == {
        bystander.name,
        f"{case.id}.json",
        f"{case.id}.nii.gz",
        *(f"{case.id}_unc_{word}.nii.gz" for word in WORDS),
    }


def test_what_an_interrupted_run_left_is_removed(result: Segmentation, case: Case, tmp_path: Path) -> None:
    result.save(tmp_path, probabilities=True)
    for ending in (".json", ".nii.gz"):
        (tmp_path / f"{case.id}{ending}").unlink()
    result.save(tmp_path)
    assert not list(tmp_path.glob("*_prob_*"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_a_stop_while_writing_leaves_the_earlier_result(
    stop: type[BaseException], result: Segmentation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result.save(tmp_path, probabilities=True)
    before = contents(tmp_path)
    written: list[str] = []

    def fail(image: nib.Nifti1Image, path: Path) -> None:
        written.append(str(path))
        if len(written) == 3:
            raise stop(28, "No space left on device")
        real(image, path)

    real = nib.save
    monkeypatch.setattr(nib, "save", fail)
    with pytest.raises(stop):
        result.save(tmp_path)
    assert contents(tmp_path) == before


def test_a_stop_while_moving_leaves_no_manifest(
    result: Segmentation, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result.save(tmp_path)
    before = names(tmp_path)

    def stop(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / f"{case.id}_unc_core.nii.gz":
            raise KeyboardInterrupt
        real(source, target)

    real = os.replace
    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        result.save(tmp_path)
    assert names(tmp_path) == before - {f"{case.id}.json"}, "what says that the case is complete"


def test_a_killed_process_leaves_nothing_that_looks_complete(
    mri_cohort: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle of writing: only a hidden folder is left, and the next run works."""
    code = (
        "import os, sys, time, nibabel\n"
        "real = nibabel.save\n"
        "def slow(image, path):\n"
        "    real(image, path)\n"
        "    os.write(1, b'written\\n')  # at once, as files are written side by side\n"
        "    time.sleep(60)\n"
        "nibabel.save = slow\n"
        "import tunetseg\n"
        "case = tunetseg.find_cases(sys.argv[1])[0]\n"
        "tunetseg.segment(case, model=sys.argv[2]).save(sys.argv[3])\n"
    )
    command = [sys.executable, "-c", code, str(mri_cohort), str(tiny_model), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert all(path.name.startswith(".") for path in (tmp_path / "out").iterdir())
    case = find_cases(mri_cohort)[0]
    segment(case, model=tiny_model).save(tmp_path / "out")
    assert (tmp_path / "out" / f"{case.id}.json").exists()


@pytest.mark.parametrize("ending", [".json", ".png", ".nii.gz", "_prob_whole.nii.gz", "_unc_core.nii.gz"])
def test_files_of_other_programs_stay(
    ending: str, result: Segmentation, case: Case, model: Ensemble, tmp_path: Path
) -> None:
    theirs = tmp_path / f"{case.id}{ending}"
    theirs.write_text('{"RepetitionTime": 2.3}')
    with pytest.raises(InputError, match=f"{theirs.name}: exists and was not written by tunetseg; choose another"):
        result.save(tmp_path)
    with pytest.raises(InputError, match="was not written by tunetseg"):
        list(segment_cases([case], model, out=tmp_path))
    assert contents(tmp_path) == {theirs.name: b'{"RepetitionTime": 2.3}'}


def test_a_reference_of_the_same_name_stays(result: Segmentation, case: Case, tmp_path: Path) -> None:
    assert case.reference is not None
    drawn = Path(shutil.copy(case.reference, tmp_path / f"{case.id}.nii.gz"))
    before = drawn.read_bytes()
    with pytest.raises(InputError, match="was not written by tunetseg"):
        result.save(tmp_path)
    assert drawn.read_bytes() == before


def test_the_files_of_the_patient_stay(case: Case, model: Ensemble, tmp_path: Path) -> None:
    """Four files that are named by their channel alone make a case t1, whose label map would replace the T1."""
    images = {name: shutil.copy(path, tmp_path / f"{name}.nii.gz") for name, path in case.images.items()}
    before = contents(tmp_path)
    result = segment(images, model=model, name="t1")
    with pytest.raises(InputError, match=r"t1\.nii\.gz: is a file of the patient"):
        result.save(tmp_path)
    assert contents(tmp_path) == before


def test_results_in_the_folder_of_a_flat_cohort(case: Case, model: Ensemble, tmp_path: Path) -> None:
    """Whatever the cases are called, no image is replaced."""
    for name in ("a", "a_unc_b"):
        for channel, path in case.images.items():
            shutil.copy(path, tmp_path / f"{name}_{channel}.nii.gz")
    (tmp_path / "a_prob_map_from_elsewhere.nii.gz").touch()
    before = contents(tmp_path)
    for _ in range(2):
        assert [result.case for result in segment_cases(find_cases(tmp_path), model, out=tmp_path)] == ["a", "a_unc_b"]
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 10


@pytest.mark.parametrize("name", ["a/b", "../a", "", "/a"])
def test_a_name_that_is_a_folder(name: str, result: Segmentation, tmp_path: Path) -> None:
    parts = {key: getattr(result, key) for key in ("label_map", "probabilities", "grid", "scheme", "dataset")}
    with pytest.raises(InputError, match="it cannot hold a folder"):
        Segmentation(case=name, **parts).save(tmp_path / "out")
    assert names(tmp_path) <= {"out"}
    assert not any((tmp_path / "out").iterdir())


def test_a_folder_that_cannot_be_made(result: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file; choose a folder"):
        result.save(tmp_path / "file" / "sub")


def test_names_of_the_dataset(ct_cohort: Path, make_model: Callable[..., Path], tmp_path: Path) -> None:
    model = load_model(make_model(tmp_path / "m.safetensors", "kits19", spacing=20.0, patch_size=(20, 16, 12)))
    for result in segment_cases(find_cases(ct_cohort)[:1], model, out=tmp_path / "out"):
        assert result.case == "case_00000"
    stem = "prediction_00000"
    assert names(tmp_path / "out") == {
        f"{stem}{end}" for end in (".json", ".nii.gz", "_unc_kidney.nii.gz", "_unc_tumour.nii.gz")
    }


def test_an_array_of_no_known_orientation(tmp_path: Path) -> None:
    """The header of the result says as little as that of the image, and gives the same voxels their place."""
    patient = make_for("brats2020", 0, shape=(24, 24, 16), spacing=10.0)
    folder = write_patient(patient, tmp_path / "in")
    for path in folder.iterdir():
        bare = nib.Nifti1Image(np.asarray(nib.load(path).dataobj), None)
        bare.header.set_zooms((10, 10, 10))
        nib.save(bare, path)
    result = segment(folder)
    assert "no-orientation" in [finding.code for finding in result.findings]
    image = nib.load(result.save(tmp_path / "out"))
    given = nib.load(find_cases(folder)[0].images["t1"])
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (0, 0)
    assert np.array_equal(image.affine, given.affine)
    assert np.array_equal(np.asarray(image.dataobj), result.label_map)


def test_a_result_without_files_or_images(tmp_path: Path, result: Segmentation) -> None:
    plain = Segmentation(
        case="plain",
        label_map=np.zeros((4, 5, 6), np.uint8),
        probabilities=np.zeros((3, 4, 5, 6), np.float32),
        grid=Grid.from_spacing(1, (4, 5, 6)),
        scheme=result.scheme,
        dataset=result.dataset,
    )
    assert nib.load(plain.save(tmp_path, picture=True)).shape == (4, 5, 6)
    manifest = json.loads((tmp_path / "plain.json").read_text())
    assert manifest["inputs"] == {}
    assert manifest["models"] == []


def test_the_hidden_folder_of_a_killed_run_is_not_in_the_way(result: Segmentation, case: Case, tmp_path: Path) -> None:
    (tmp_path / f".{case.id}.old").mkdir()
    result.save(tmp_path)
    assert (tmp_path / f"{case.id}.json").exists()
