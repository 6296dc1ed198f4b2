"""From images to a result: any kind of image, any order of axes, any network; one patient or a cohort."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform

import tunetseg
from tunetseg.datasets import Case, DatasetDescription, Postprocessing, find_cases, find_description
from tunetseg.datasets.phantom import Phantom, make_for, make_patient, write_patient
from tunetseg.errors import InputError
from tunetseg.inference import cohort, predictor
from tunetseg.inference.cohort import segment_cases
from tunetseg.inference.predictor import Ensemble, load_model
from tunetseg.inference.segment import segment
from tunetseg.inference.segmentation import Segmentation
from tunetseg.networks import missing_packages, network_names

COSINE, SINE = np.cos(np.radians(4)), np.sin(np.radians(4))
OBLIQUE = np.array([[COSINE, -SINE, 0, 3], [SINE, COSINE, 0, -7], [0, 0, 1, 11], [0, 0, 0, 1]])
"""A world that is turned by four degrees and moved."""


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Ensemble:
    return load_model(tiny_model, device="cpu", precision="32")


@pytest.fixture(scope="module")
def case(mri_cohort: Path) -> Case:
    return find_cases(mri_cohort)[0]


@pytest.fixture(scope="module")
def expected(case: Case, model: Ensemble) -> Segmentation:
    """The result of the files as they are: axes to the left, back and up."""
    return segment(case, model=model)


def images_of(case: Case) -> dict[str, nib.Nifti1Image]:
    return {name: nib.load(path) for name, path in case.images.items()}


def turned(image: nib.Nifti1Image, codes: str) -> nib.Nifti1Image:
    """Return the same voxels in the same places, stored along other axes."""
    turn = ornt_transform(axcodes2ornt(nib.aff2axcodes(image.affine)), axcodes2ornt(tuple(codes)))
    moved = image.as_reoriented(turn)
    return nib.Nifti1Image(np.asarray(moved.dataobj), moved.affine)


def in_lps(result: Segmentation) -> np.ndarray:
    return result.grid.to_lps(result.label_map)


# One patient, given in many ways.


def test_the_packaged_model_finds_the_synthetic_tumour() -> None:
    patient = make_patient(2, shape=(80, 80, 52), spacing=3.0)
    result = tunetseg.segment(patient.images, affine=patient.affine)
    truth = patient.label_map > 0
    found = result.label_map > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


@pytest.mark.parametrize("kind", ["folder", "str", "mapping of paths", "mapping of str", "images", "arrays", "mixed"])
def test_any_kind_of_image_gives_the_same_result(
    kind: str, case: Case, model: Ensemble, expected: Segmentation
) -> None:
    images = images_of(case)
    arrays = {name: image.get_fdata(dtype=np.float32) for name, image in images.items()}
    affine = images["t1"].affine
    folder = case.images["t1"].parent
    given: Any = {
        "folder": folder,
        "str": str(folder),
        "mapping of paths": case.images,
        "mapping of str": {name: str(path) for name, path in case.images.items()},
        "images": images,
        "arrays": arrays,
        "mixed": {"t1": arrays["t1"], "t1ce": images["t1ce"], "flair": case.images["flair"], "t2": arrays["t2"]},
    }[kind]
    options = {"affine": affine} if kind in {"arrays", "mixed"} else {}
    result = segment(given, model=model, **options)
    assert len(np.unique(expected.label_map)) == 4, "every label, or nothing is compared"
    assert np.array_equal(result.label_map, expected.label_map)
    assert np.array_equal(result.probabilities, expected.probabilities)
    assert np.array_equal(result.affine, expected.affine)
    assert result.volumes_ml == expected.volumes_ml
    assert result.case == (case.id if kind not in {"images", "arrays", "mixed"} else "patient")


@pytest.mark.parametrize("codes", ["RAS", "PSL", "IAR"])
@pytest.mark.parametrize("oblique", [False, True])
def test_the_order_of_axes_makes_no_difference(
    codes: str, oblique: bool, case: Case, model: Ensemble, expected: Segmentation, tmp_path: Path
) -> None:
    """By files, images and arrays: identical labels in world space, in the order of axes that was given."""
    world = OBLIQUE if oblique else np.eye(4)
    copies = {}
    for name, image in images_of(case).items():
        copy = turned(image, codes)
        copies[name] = nib.Nifti1Image(np.asarray(copy.dataobj), world @ copy.affine)
        nib.save(copies[name], tmp_path / f"{case.id}_{name}.nii.gz")
    arrays = {name: np.asarray(image.dataobj) for name, image in copies.items()}
    results = [
        segment(tmp_path, model=model),
        segment(copies, model=model),
        segment(arrays, affine=copies["t1"].affine, model=model),
    ]
    for result in results:
        assert result.label_map.shape == result.probabilities.shape[1:] == copies["t1"].shape
        assert result.affine == pytest.approx(copies["t1"].affine, abs=1e-5)
        assert np.array_equal(in_lps(result), expected.label_map)
    written = nib.load(results[0].save(tmp_path / "out"))
    back = np.linalg.inv(world) @ written.affine
    restored = turned(nib.Nifti1Image(np.asarray(written.dataobj), back), "LPS")
    assert np.array_equal(np.asarray(restored.dataobj), in_lps(results[0]))
    assert restored.affine == pytest.approx(expected.affine, abs=1e-3)


def test_a_channel_may_lie_in_another_order_of_axes(
    case: Case, model: Ensemble, expected: Segmentation, tmp_path: Path
) -> None:
    """A T1 stored RAS while the others are LPS; the result follows the first channel."""
    images = images_of(case)
    for channel in ("t1", "flair"):
        mixed = images | {channel: turned(images[channel], "RAS")}
        folder = tmp_path / channel
        folder.mkdir()
        for name, image in mixed.items():
            nib.save(image, folder / f"{case.id}_{name}.nii.gz")
        for result in (segment(mixed, model=model), segment(folder, model=model)):
            assert result.grid.axes == ("RAS" if channel == "t1" else "LPS")
            assert np.array_equal(in_lps(result), expected.label_map)


def test_arrays_with_a_spacing(case: Case, model: Ensemble, expected: Segmentation) -> None:
    arrays = {name: image.get_fdata(dtype=np.float32) for name, image in images_of(case).items()}
    for spacing in (10, (10, 10, 10), np.full(3, 10.0)):
        result = segment(arrays, spacing=spacing, model=model, name="anna")
        assert np.array_equal(result.label_map, expected.label_map)
        assert result.grid.axes == "LPS"
        assert result.grid.spacing == (10, 10, 10)
        assert result.case == "anna"


def test_arrays_are_not_changed(mri_patient: Phantom, model: Ensemble) -> None:
    before = {name: image.copy() for name, image in mri_patient.images.items()}
    segment(mri_patient.images, affine=mri_patient.affine, model=model)
    assert all(np.array_equal(before[name], image) for name, image in mri_patient.images.items())


def test_channels_of_one_4d_file(tmp_path: Path, model: Ensemble) -> None:
    """As the Medical Segmentation Decathlon has them: FLAIR, T1, T1ce, T2."""
    patient = make_for("brats2020", 0, shape=(24, 24, 16), spacing=10.0)
    folder = write_patient(patient, tmp_path / "msd", dataset="msd-task01", number=3)
    assert nib.load(folder / "imagesTr/BRATS_003.nii.gz").shape == (24, 24, 16, 4)
    result = segment(folder, model=model)
    rounded = {name: np.rint(image) for name, image in patient.images.items()}
    plain = segment(rounded, affine=patient.affine, model=model)
    assert result.case == "BRATS_003"
    assert np.array_equal(result.masks, plain.masks)
    assert result.scheme.name == "msd"
    assert np.array_equal(result.label_map == 1, plain.label_map == 2), "oedema is 1 there"


def test_a_name_instead_of_that_of_the_files(case: Case, model: Ensemble) -> None:
    for given in (case, case.images, case.images["t1"].parent):
        assert segment(given, model=model, name="anna").case == "anna"
    for name in ("a/b", ""):
        with pytest.raises(InputError, match="cannot hold a folder"):
            segment(case, model=model, name=name)


# Faults.


def test_folders_that_cannot_be_used(mri_cohort: Path, model: Ensemble, tmp_path: Path) -> None:
    for given, reason in (
        ("", "the name of the folder is empty"),
        (tmp_path / "nothing", "there is no such folder"),
        (tmp_path, "no case found"),
        (mri_cohort, "holds 4 cases; name the folder of one"),
    ):
        with pytest.raises(InputError, match=reason):
            segment(given, model=model)


def test_an_empty_name_does_not_search_the_current_folder(
    case: Case, model: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case.images["t1"].parent)
    with pytest.raises(InputError, match="the name of the folder is empty"):
        segment("", model=model)
    with pytest.raises(InputError, match="the name of the model is empty"):
        segment(".", model="")


def test_images_that_cannot_be_used(mri_patient: Phantom, case: Case, model: Ensemble) -> None:
    images, affine = mri_patient.images, mri_patient.affine
    t1 = images["t1"]
    broken: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({}, {}, "no t1, t1ce"),
        ({"ct": t1}, {"affine": affine}, "unknown channel 'ct'; choose from t1, t1ce, flair, t2"),
        ({"t1": t1}, {"affine": affine}, "no t1ce, flair or t2 image"),
        (images, {}, "t1 image: an array needs either an affine or a spacing in mm"),
        (images, {"affine": affine, "spacing": 1}, "needs either an affine or a spacing"),
        (images, {"affine": np.zeros((4, 4))}, "the affine cannot be inverted"),
        (images, {"affine": np.eye(3)}, "the affine cannot be inverted"),
        (images, {"spacing": (1, 1)}, r"invalid spacing \[1.0, 1.0\]; give one positive number of mm, or three"),
        (images, {"spacing": -1}, "invalid spacing"),
        (images, {"spacing": (1, 1, np.nan)}, "invalid spacing"),
        (images | {"t1": t1[0]}, {"affine": affine}, r"t1 image: an array of shape \(24, 16\)"),
        (images | {"t1": t1[:0]}, {"affine": affine}, "t1 image: an array of shape"),
        (images | {"t2": t1.astype(complex)}, {"affine": affine}, "t2 image: an array of complex128"),
        (images | {"t2": np.where(t1 > 0, np.nan, t1)}, {"affine": affine}, "t2 image: holds values that are NaN"),
        (images | {"t2": t1.astype(np.float64) * 1e300}, {"affine": affine}, "beyond float32"),
        (images | {"t2": t1}, {"affine": affine}, "t2 image: the same voxels as t1 image"),
        (images | {"t2": t1[:-1]}, {"affine": affine}, r"t2 image: shape \(23, 24, 16\), but t1 image has"),
        (images | {"t2": t1 * 0}, {"affine": affine}, "every voxel is zero"),
        (dict(case.images), {"affine": affine}, "affine and spacing are for arrays; files have their own"),
        (dict(case.images), {"spacing": 1}, "files have their own"),
    ]
    for given, options, reason in broken:
        with pytest.raises(InputError, match=reason):
            segment(given, model=model, **options)


def test_images_as_other_tools_have_them(mri_patient: Phantom, case: Case, model: Ensemble) -> None:
    expected = segment(mri_patient.images, model=model, affine=mri_patient.affine)
    names = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}
    renamed = {names[name]: image for name, image in mri_patient.images.items()}
    found = segment(renamed, model=model, affine=mri_patient.affine)
    assert np.array_equal(found.probabilities, expected.probabilities)
    with pytest.raises(InputError, match="channel 't1' is given twice, also as 't1n'"):
        segment({"t1": case.images["t1"], "t1n": case.images["t1"]}, model=model)
    for wrong in ([*mri_patient.images.values()], np.zeros((4, 8, 8, 8)), None):
        with pytest.raises(InputError, match="give a folder, or channel -> image, with the channels t1, t1ce"):
            segment(wrong, model=model)  # type: ignore[arg-type]
    itk = pytest.importorskip("SimpleITK")
    images = {name: itk.ReadImage(str(path)) for name, path in case.images.items()}
    stored = segment(case, model=model)
    memory = segment(images, model=model)
    assert memory.grid.to_lps(memory.probabilities) == pytest.approx(stored.grid.to_lps(stored.probabilities), abs=1e-5)
    with pytest.raises(InputError, match="t1 image: 2-D, or of several numbers per voxel"):
        segment({**images, "t1": images["t1"][:, :, 0]}, model=model)


def test_models_and_labels_that_do_not_exist(case: Case, model: Ensemble) -> None:
    with pytest.raises(InputError, match="model 'nothing': not a packaged model"):
        segment(case, model="nothing")
    with pytest.raises(InputError, match="unknown label values '1999'"):
        segment(case, model=model, labels="1999")
    with pytest.raises(InputError, match="labels kits19: its regions kidney, tumour are not those of the model, whole"):
        segment(case, model=model, labels="kits19")


# Labels, rules, notes.


def test_label_values_follow_the_case_or_the_request(case: Case, model: Ensemble, expected: Segmentation) -> None:
    asked = segment(case, model=model, labels="2023")
    assert expected.scheme.name == "brats2017"
    assert asked.scheme.name == "brats2023"
    assert (expected.label_map == 4).any()
    assert np.array_equal(expected.label_map == 4, asked.label_map == 3)
    for value in (1, 2):
        assert np.array_equal(expected.label_map == value, asked.label_map == value)


def test_label_values_of_unknown_files_are_those_of_the_model(
    case: Case, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    for name, path in case.images.items():
        shutil.copy(path, tmp_path / f"{name}.nii.gz")
    for dataset, scheme in (("brats2020", "brats2017"), ("brats2023", "brats2023")):
        trained = make_model(tmp_path / f"{dataset}.safetensors", dataset)
        assert segment(tmp_path, model=trained).scheme.name == scheme
        assert segment(images_of(case), model=trained).scheme.name == scheme
        assert segment(case, model=trained).scheme.name == "brats2017", "the case's own"


def test_rules_of_post_processing(case: Case, model: Ensemble) -> None:
    plain = segment(case, model=model, postprocessing=Postprocessing())
    assert plain.notes == ()
    removed = segment(
        case,
        model=model,
        postprocessing=Postprocessing(min_volume_region="enhancing", min_volume_mm3=1e9),
    )
    assert plain.volumes_ml["enhancing"] > 0
    assert removed.volumes_ml["enhancing"] == 0
    assert [note.split(" of ")[0] for note in removed.notes] == ["enhancing"]
    assert np.array_equal(plain.probabilities, removed.probabilities)
    assert removed.facts["postprocessing"].min_volume_mm3 == 1e9


def test_another_background_changes_nothing_and_is_noted(mri_patient: Phantom, model: Ensemble) -> None:
    images = mri_patient.images | {"t1ce": mri_patient.images["t1ce"] - 1024}
    plain, moved = (segment(given, affine=mri_patient.affine, model=model) for given in (mri_patient.images, images))
    assert np.array_equal(moved.label_map, plain.label_map)
    codes = [finding.code for finding in moved.findings if finding.level == "note"]
    assert codes == ["background-constant"]
    assert "background-constant" not in [finding.code for finding in plain.findings]
    assert "thick-slices" in [finding.code for finding in moved.warnings]


def test_images_that_a_check_refuses(mri_patient: Phantom, model: Ensemble) -> None:
    with pytest.raises(InputError, match=r"patient: voxels of 30 x 30 x 30 mm, but 0\.1 to 20 mm are possible"):
        segment(mri_patient.images, spacing=(30, 30, 30), model=model)


# Any dataset and any network.


def test_computed_tomography(ct_cohort: Path, make_model: Callable[..., Path], tmp_path: Path) -> None:
    """One channel, two regions, files with slices first; -500 HU, not 0, is the background."""
    model = make_model(tmp_path / "m.safetensors", "kits19", spacing=20.0, patch_size=(20, 20, 12))
    case = find_cases(ct_cohort)[0]
    result = segment(case, model=model)
    assert result.regions == ("kidney", "tumour")
    assert result.probabilities.shape == (2, 28, 36, 48)
    assert result.grid.axes == "IPL"
    assert not [note for note in result.notes if "skull" in note]
    image = nib.load(case.images["ct"])
    again = segment({"ct": image.get_fdata(dtype=np.float32)}, affine=image.affine, model=model)
    assert np.array_equal(result.label_map, again.label_map)


def test_a_dataset_of_a_toml_file(
    nested_cohort: Path, nested_description: DatasetDescription, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    model = make_model(tmp_path / "m.safetensors", nested_description, spacing=8.0, patch_size=(24, 24, 20))
    case = find_cases(nested_cohort, nested_description)[0]
    result = segment(case, model=model)
    assert result.probabilities.shape[0] == 4
    assert set(np.unique(result.label_map)) <= {0, 2, 3, 5, 7}
    assert not (result.masks[1:] & ~result.masks[:-1]).any()


SMALL: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "unet": ({"base_filters": 4}, (32, 32, 32)),
    "segresnet-vae": ({"base_filters": 8, "input_size": (16, 16, 16)}, (16, 16, 16)),
    "anisotropic-cascade": ({"base_filters": 4}, (16, 16, 16)),
    "dynunet": ({"base_filters": 4, "max_filters": 16, "levels": 4}, (16, 16, 16)),
    "swin-unetr": ({"base_filters": 12}, (64, 64, 64)),
}
"""Options and a patch size that leaves more than one voxel at the lowest resolution."""


@pytest.mark.parametrize("network", network_names())
def test_every_network_is_stored_and_segments(
    network: str, mri_patient: Phantom, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    if missing := missing_packages(network):
        pytest.skip(f"network {network!r} needs {' and '.join(missing)}")
    options, patch_size = SMALL.get(network, (None, (16, 16, 16)))
    path = make_model(tmp_path / "m.safetensors", network=network, options=options, patch_size=patch_size)
    results = [
        segment(mri_patient.images, affine=mri_patient.affine, model=load_model(path, device="cpu", precision="32"))
        for _ in range(2)
    ]
    found = results[0].probabilities
    assert found.shape == (3, 24, 24, 16)
    assert np.array_equal(found, results[1].probabilities), "no dropout, no random latent variables"
    inside = found[:, mri_patient.images["t1"] > 0]
    assert inside.std() > 1e-4
    assert 0 <= inside.min() < inside.max() <= 1
    assert results[0].facts["models"][0]["network"] == network


# Cohorts.


def test_a_cohort_one_case_after_another(mri_cohort: Path, model: Ensemble, tmp_path: Path) -> None:
    cases = find_cases(mri_cohort)[:3]
    results = segment_cases(cases, model, out=tmp_path / "out")
    assert (tmp_path / "out").is_dir()
    first = next(results)
    assert {path.name.split(".")[0] for path in (tmp_path / "out").glob("*.json")} == {cases[0].id}, "not before asked"
    rest = list(results)
    assert [result.case for result in (first, *rest)] == [case.id for case in cases]
    for case, result in zip(cases, (first, *rest), strict=True):
        alone = segment(case, model=model)
        assert np.array_equal(result.label_map, alone.label_map)
        assert np.array_equal(nib.load(tmp_path / f"out/{case.id}.nii.gz").dataobj, alone.label_map)


def test_networks_kept_or_loaded_again_give_the_same(
    mri_cohort: Path, tiny_model: Path, make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = find_cases(mri_cohort)[:2]
    second = make_model(tmp_path / "m.safetensors", seed=1, spacing=12.0)
    kept = [r.probabilities for r in segment_cases(cases, load_model(tiny_model, second, precision="32"))]
    monkeypatch.setattr(predictor, "_KEPT_BYTES", 0)
    again = [r.probabilities for r in segment_cases(cases, load_model(tiny_model, second, precision="32"))]
    assert all(np.array_equal(*both) for both in zip(kept, again, strict=True))


def broken_cohort(mri_cohort: Path, folder: Path) -> list[Case]:
    """Three cases, of which the second has a damaged T2."""
    shutil.copytree(mri_cohort, folder)
    cases = find_cases(folder)[:3]
    cases[1].images["t2"].write_bytes(b"damaged")
    return cases


def test_a_broken_case_stops_a_cohort(mri_cohort: Path, model: Ensemble, tmp_path: Path) -> None:
    cases = broken_cohort(mri_cohort, tmp_path / "cohort")
    results = segment_cases(cases, model, out=tmp_path / "out")
    assert next(results).case == cases[0].id
    with pytest.raises(InputError, match=f"{cases[1].images['t2'].name}: not a NIfTI image"):
        next(results)
    assert not list((tmp_path / "out").glob(f"*{cases[1].id}*"))


def test_the_next_case_is_read_while_one_is_at_work(mri_cohort: Path, model: Ensemble) -> None:
    """And no more than that."""
    begun: list[str] = []

    def cases() -> Iterator[Case]:
        for case in find_cases(mri_cohort):
            begun.append(case.id)
            yield case

    results = segment_cases(cases(), model)
    assert begun == []
    names = [case.id for case in find_cases(mri_cohort)]
    assert next(results).case == names[0]
    assert begun == names[:2]
    assert next(results).case == names[1]
    assert begun == names[:3]
    results.close()


def test_results_that_are_not_asked_for_are_left_without_waiting(
    mri_cohort: Path, model: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector may close the results in any thread, also where no thread can be waited for."""
    cases, read, go_on = find_cases(mri_cohort)[:2], cohort.read_case, threading.Event()

    def read_slowly(case: Case, *rest: Any) -> Any:
        assert case is cases[0] or go_on.wait(60)
        return read(case, *rest)

    monkeypatch.setattr(cohort, "read_case", read_slowly)
    results = segment_cases(cases, model)
    assert next(results).case == cases[0].id
    closing = threading.Thread(target=results.close)
    closing.start()
    closing.join(20)
    waits = closing.is_alive()
    go_on.set()
    closing.join(20)
    assert not waits


def test_a_fault_leaves_no_thread(mri_cohort: Path, model: Ensemble, tmp_path: Path) -> None:
    """Even while the error is held, and with it what the functions knew."""
    cases = broken_cohort(mri_cohort, tmp_path / "cohort")
    before = set(threading.enumerate())

    def workers() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one not in before and one.name.startswith("ThreadPool")]

    with pytest.raises(InputError) as caught:
        list(segment_cases(cases[1:], model))
    end = time.monotonic() + 20  # the case that was being read ahead may start threads of its own
    while workers() and time.monotonic() < end:
        time.sleep(0.01)
    assert not workers()
    assert caught.value.__traceback__ is not None


def test_a_broken_case_is_left_out(mri_cohort: Path, model: Ensemble, tmp_path: Path) -> None:
    cases = broken_cohort(mri_cohort, tmp_path / "cohort")
    cases.append(replace(cases[0], id="missing", images={}))
    faults: list[tuple[str, str]] = []

    def note(case: Case, fault: InputError) -> None:
        faults.append((case.id, str(fault).split(":")[0]))

    done = [r.case for r in segment_cases(cases, model, out=tmp_path / "out", on_fault=note)]
    assert done == [cases[0].id, cases[2].id]
    assert faults == [(cases[1].id, str(cases[1].images["t2"])), ("missing", "missing")]
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} == set(done)


def test_a_lack_of_memory_is_no_bug(mri_cohort: Path, model: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("std::bad_alloc")

    monkeypatch.setattr(Ensemble, "predict", fail)
    faults: list[str] = []
    calls: list[tuple[str, float, float]] = []
    case = find_cases(mri_cohort)[0]
    results = segment_cases(
        [case],
        model,
        on_fault=lambda _, fault: faults.append(str(fault)),
        progress=lambda *call: calls.append(call),
    )
    assert list(results) == []
    assert len(faults) == 1
    assert "there is not enough memory" in faults[0]
    assert calls[-1] == (case.id, 1, 1), "so that no bar stays"


def test_each_case_is_announced_before_it_is_segmented(mri_cohort: Path, model: Ensemble) -> None:
    """Not when it is read ahead."""
    begun: list[str] = []
    names = [case.id for case in find_cases(mri_cohort)]
    results = segment_cases(find_cases(mri_cohort), model, on_begin=lambda case: begun.append(case.id))
    for number, result in enumerate(results, start=1):
        assert (result.case, begun) == (names[number - 1], names[:number])


def test_faults_of_a_call_are_found_before_the_work(mri_cohort: Path, model: Ensemble, tmp_path: Path) -> None:
    """Without asking for a result."""
    (tmp_path / "file").touch()
    for options, reason in (
        ({"labels": "1999"}, "unknown label values '1999'"),
        ({"labels": "kits19"}, "are not those of the model"),
        ({"out": tmp_path / "file"}, "is a file; choose a folder"),
    ):
        with pytest.raises(InputError, match=reason):
            segment_cases(find_cases(mri_cohort), model, **options)


def test_pictures_of_a_cohort(mri_cohort: Path, model: Ensemble, tmp_path: Path) -> None:
    cases = broken_cohort(mri_cohort, tmp_path / "cohort")[:1]
    pictures = []
    for reference in ("good", "bad"):
        if reference == "bad":
            assert cases[0].reference is not None
            cases[0].reference.write_bytes(b"damaged")
        list(segment_cases(cases, model, out=tmp_path / reference, picture=True, probabilities=True))
        assert len(list((tmp_path / reference).iterdir())) == 9
        pictures.append((tmp_path / reference / f"{cases[0].id}.png").read_bytes())
    assert pictures[0] != pictures[1], "lines, or a title that says that there was a reference"


# What a library call shows.


def test_progress_rises_to_its_total(mri_cohort: Path, model: Ensemble, case: Case) -> None:
    calls: list[tuple[str, float, float]] = []
    cases = find_cases(mri_cohort)[:2]
    list(segment_cases(cases, model, progress=lambda *call: calls.append(call)))
    for name in (first.id for first in cases):
        shares = [completed / total for task, completed, total in calls if task == name]
        assert shares[0] == 0
        assert shares[-1] == 1
        assert shares == sorted(set(shares))
    assert {task for task, _, _ in calls} == {first.id for first in cases}


def test_an_exception_in_progress_cancels_and_nothing_is_written(
    mri_cohort: Path, model: Ensemble, tmp_path: Path
) -> None:
    def cancel(task: str, completed: float, total: float, /) -> None:
        if completed:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(segment_cases(find_cases(mri_cohort), model, out=tmp_path, progress=cancel))
    assert not list(tmp_path.iterdir())


def test_library_calls_print_nothing(
    case: Case, model: Ensemble, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    segment(case, model=model).save(tmp_path, picture=True, probabilities=True)
    list(segment_cases([case], model, out=tmp_path, picture=True))
    segment(case, model=model)._repr_html_()
    assert capfd.readouterr() == ("", "")
    ours = [record for record in caplog.records if not record.name.startswith("matplotlib")]
    assert ours
    assert all(record.name.startswith("tunetseg.") for record in ours)


def test_time_includes_reading(case: Case, model: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    assert segment(case, model=model).seconds == 2


def test_a_result_holds_what_it_was_made_of(case: Case, expected: Segmentation) -> None:
    assert expected.dataset == find_description("brats2020")
    assert expected.source == case
    assert expected.images is not None
    assert np.array_equal(expected.images[0], nib.load(case.images["t1"]).get_fdata(dtype=np.float32))


@pytest.mark.parametrize(
    ("dataset", "convention"), [("bids", "brats2017"), ("glioma", "brats2017"), ("2023", "brats2023")]
)
def test_labels_of_the_model_where_the_dataset_does_not_fix_them(
    tmp_path: Path, model: Ensemble, mri_patient: Phantom, dataset: str, convention: str
) -> None:
    folder = write_patient(mri_patient, tmp_path, dataset=dataset)
    assert segment(folder, model=model).scheme.name == convention
