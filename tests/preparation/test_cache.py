"""The cache: built once, keyed by all that decides it, rebuilt when damaged, shared by threads and processes."""

import errno
import hashlib
import json
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tunetseg.datasets import Case, DatasetDescription, find_cases, find_description
from tunetseg.datasets.phantom import make_patient, write_cohort, write_patient
from tunetseg.errors import InputError
from tunetseg.preparation import Preprocessing, cache
from tunetseg.preparation.cache import Cache, is_whole, map_arrays, write_arrays

TINY = {"shape": (24, 24, 16), "spacing": 10.0}
BRATS = find_description("brats2020")
COARSE = Preprocessing(20.0)


def case_in(folder: Path, *, dataset: str = "brats2020", seed: int = 0) -> Case:
    write_patient(make_patient(seed, **TINY), folder, dataset=dataset)
    (case,) = find_cases(folder, find_description(dataset))
    return case


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cases whose images were read."""
    seen: list[str] = []
    read = cache.read_volume

    def noted(case: Case, description: DatasetDescription):
        seen.append(case.id)
        return read(case, description)

    monkeypatch.setattr(cache, "read_volume", noted)
    return seen


@pytest.fixture(scope="module")
def gliomas(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("gliomas")
    write_cohort(folder, cases=5, dataset="brats2020", **TINY)
    return find_cases(folder)


def test_files_are_read_once(gliomas: list[Case], tmp_path: Path, reads: list[str]) -> None:
    first = Cache(tmp_path / "cache", COARSE, BRATS).get(gliomas[0])
    again = Cache(tmp_path / "cache", COARSE, BRATS).get(gliomas[0])
    assert len(reads) == 1
    assert isinstance(again.image, np.memmap)
    assert (again.image.dtype, again.nesting.dtype) == (np.float16, np.uint8)
    assert np.array_equal(first.image, again.image)
    assert first.image.shape == (4, *first.nesting.shape)
    assert first.nesting.max() == 3
    stored = load_file(first.path)
    assert np.array_equal(stored["image"], first.image)
    assert np.array_equal(stored["nesting"], first.nesting)


def test_settings_and_content_make_the_key(tmp_path: Path, reads: list[str]) -> None:
    case, folder = case_in(tmp_path / "cohort"), tmp_path / "cache"
    coarse = Cache(folder, COARSE, BRATS).get(case)
    fine = Cache(folder, Preprocessing(10.0), BRATS).get(case)
    assert fine.nesting.size > coarse.nesting.size
    Cache(folder, Preprocessing(20.0, denoise=True), BRATS).get(case)
    assert len(reads) == 3
    # The same names, another patient's voxels.
    changed = Cache(folder, COARSE, BRATS).get(case_in(tmp_path / "cohort", seed=1))
    assert len(reads) == 4
    assert changed.path != coarse.path


def test_the_description_makes_the_key(gliomas: list[Case], tmp_path: Path, reads: list[str]) -> None:
    raw = BRATS.to_dict()

    def described(**fields: object) -> DatasetDescription:
        return DatasetDescription.from_dict(raw | fields)

    def paths(case: Case, *descriptions: DatasetDescription, labels: str | None = None) -> set[Path]:
        return {Cache(tmp_path / "cache", COARSE, found, labels).get(case).path for found in descriptions}

    case = replace(gliomas[0], dataset=None)
    same = described(title="another title", rules="brats2019", recognise=False)
    assert len(paths(case, BRATS, same)) == 1
    swapped = described(channels=raw["channels"][::-1])
    clipped = described(
        channels=[c | {"normalisation": {"kind": "clip", "low": 0, "high": 900}} for c in raw["channels"]]
    )
    bright = described(foreground={"kind": "above", "value": 100})
    assert len(paths(case, BRATS, swapped, clipped, bright)) == 4
    # Another meaning of the same values.
    own = tmp_path / "own.toml"
    meaning = 'extends = "brats2020"\nname = "own"\n' + "".join(
        f'[[regions]]\nname = "{name}"\nlabels = {labels}\nlabel = {label}\n'
        for name, labels, label in (("whole", [1, 2, 4], 1), ("core", [2, 4], 2), ("enhancing", [4], 4))
    )
    own.write_text(meaning)
    first = paths(case, BRATS, labels=str(own))
    assert first != paths(case, BRATS)
    own.write_text(
        meaning.replace("[2, 4]", "[1, 4]")
        .replace("label = 1", "label = 9")
        .replace("label = 2", "label = 1")
        .replace("label = 9", "label = 2")
    )
    assert first != paths(case, BRATS, labels=str(own)), "the file has changed under its name"


def test_the_volumes_of_a_4d_file_make_the_key(tmp_path: Path) -> None:
    case = case_in(tmp_path / "cohort", dataset="msd")
    store = Cache(tmp_path / "cache", COARSE, find_description("msd"))
    before = store.get(case)
    swapped = store.get(replace(case, volumes=case.volumes | {"t1": case.volumes["t2"], "t2": case.volumes["t1"]}))
    assert swapped.path != before.path
    assert np.array_equal(swapped.image[0], before.image[3])


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "header", "length", "empty", "text"])
def test_a_damaged_entry_is_built_again(gliomas: list[Case], tmp_path: Path, reads: list[str], damage: str) -> None:
    store = Cache(tmp_path / "cache", COARSE, BRATS)
    before = np.array(store.get(gliomas[0]).image)
    (entry,) = entries(tmp_path / "cache")
    assert is_whole(entry)
    content = bytearray(entry.read_bytes())
    match damage:
        case "flip":
            content[-5] ^= 0xFF
        case "cut":
            content = content[: len(content) // 2]
        case "header":
            content[20] ^= 0x10
        case "length":
            content[6] ^= 0x10
        case "empty":
            content = bytearray()
        case "text":
            content = bytearray(b"\x02" + bytes(7) + b"{}")
    if damage == "remove":
        entry.unlink()
    else:
        entry.write_bytes(content)
    assert not is_whole(entry)
    assert np.array_equal(store.get(gliomas[0]).image, before)
    assert len(reads) == 2
    assert is_whole(entry)


def test_an_entry_that_lost_an_array_is_not_whole(tmp_path: Path) -> None:
    write_arrays(
        tmp_path / "a.safetensors", {"x": np.zeros(3, np.uint8), "y": np.ones((2, 2), np.float16)}, {"case": "a"}
    )
    assert is_whole(tmp_path / "a.safetensors")
    assert map_arrays(tmp_path / "a.safetensors")["y"].shape == (2, 2)
    raw = (tmp_path / "a.safetensors").read_bytes()
    assert b'"y"' in raw
    (tmp_path / "a.safetensors").write_bytes(raw.replace(b'"y"', b'"z"'))
    assert not is_whole(tmp_path / "a.safetensors")


def test_the_labels_of_every_year_give_the_same_nesting(tmp_path: Path) -> None:
    found = []
    for year in ("2012", "2017", "2023", "2024", "brats2024-ped", "msd", "nnunet"):
        case = case_in(tmp_path / year, dataset=year)
        found.append(np.array(Cache(tmp_path / "cache", Preprocessing(10.0), BRATS).get(case).nesting))
    assert found[0].max() == 3
    for other in found[1:]:
        assert np.array_equal(other, found[0])


def test_values_decide_where_the_names_do_not(tmp_path: Path) -> None:
    nestings = []
    for year in ("2021", "2023"):
        write_patient(make_patient(0, **TINY), tmp_path / year, dataset=year)
        for path in list((tmp_path / year).rglob("*.nii.gz")):
            suffix = path.name.replace("-", "_").split("_")[-1]
            path.rename(tmp_path / year / f"mine{'-' if year == '2023' else '_'}{suffix}")
        (case,) = find_cases(tmp_path / year)
        assert case.dataset is not None
        assert case.dataset.generic
        nestings.append(np.array(Cache(tmp_path / "cache", Preprocessing(10.0), BRATS).get(case).nesting))
    assert np.array_equal(*nestings)
    with pytest.raises(InputError, match=r"label values \[3\] do not exist in brats2017"):
        Cache(tmp_path / "cache", Preprocessing(10.0), BRATS, labels="2021").get(case)


def test_label_values_that_fit_no_scheme(gliomas: list[Case], tmp_path: Path) -> None:
    for path in (*gliomas[0].images.values(), gliomas[0].reference):
        shutil.copy(path, tmp_path)
    copy = tmp_path / gliomas[0].reference.name
    image = nib.load(copy)
    labels = np.asarray(image.dataobj).copy()
    labels[3, 4, 5] = 7
    nib.save(nib.Nifti1Image(labels, image.affine), copy)
    (case,) = find_cases(tmp_path)
    with pytest.raises(InputError, match=rf"{copy}: label values \[7\] do not exist in brats2017"):
        Cache(tmp_path / "cache", COARSE, BRATS).get(case)
    unknown = replace(case, dataset=find_description("glioma"))
    with pytest.raises(InputError, match=rf"{copy}: label values .*7\] fit none of the conventions"):
        Cache(tmp_path / "cache", COARSE, BRATS).get(unknown)
    kits = replace(case, dataset=find_description("kits19"))
    with pytest.raises(InputError, match=r"\[4, 7\] do not exist in kits19"):
        Cache(tmp_path / "cache", COARSE, BRATS).get(kits)


def test_a_reference_of_other_regions(
    gliomas: list[Case], tmp_path: Path, nested_description: DatasetDescription
) -> None:
    own = nested_description.to_dict() | {"labels": {"1": "x", "4": "y"}}
    case = replace(gliomas[0], dataset=DatasetDescription.from_dict(own))
    with pytest.raises(
        InputError, match=r"has the regions peel, skin, flesh, core \(onions\), but whole, core, enhancing"
    ):
        Cache(tmp_path / "cache", COARSE, BRATS).get(case)


@pytest.mark.parametrize("axes", ["RAS", "PIR"])
def test_a_reference_in_another_order_of_axes(tmp_path: Path, axes: str) -> None:
    case = case_in(tmp_path / "cohort")
    before = np.array(Cache(tmp_path / "cache", COARSE, BRATS).get(case).nesting)
    image = nib.load(case.reference)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(axes))
    nib.save(image.as_reoriented(turn), case.reference)
    assert np.array_equal(Cache(tmp_path / "cache", COARSE, BRATS).get(case).nesting, before)
    assert len(entries(tmp_path / "cache")) == 2
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine + np.eye(4, k=3)), case.reference)
    with pytest.raises(InputError, match=r"_seg\.nii\.gz: lies up to 1 mm away from .*_t1\.nii\.gz"):
        Cache(tmp_path / "cache", COARSE, BRATS).get(case)


def test_ct_and_nested_regions(
    ct_cohort: Path, nested_cohort: Path, nested_description: DatasetDescription, tmp_path: Path
) -> None:
    kits = find_description("kits19")
    found = Cache(tmp_path / "ct", Preprocessing(10.0), kits).get(find_cases(ct_cohort)[0])
    assert (found.image.shape[0], int(found.nesting.max())) == (1, 2)
    case = find_cases(nested_cohort, nested_description)[0]
    found = Cache(tmp_path / "nested", Preprocessing(8.0), nested_description).get(case)
    assert (found.image.shape[0], sorted(np.unique(found.nesting))) == (2, [0, 1, 2, 3, 4])


def test_what_cannot_be_learned_from(gliomas: list[Case], tmp_path: Path) -> None:
    store = Cache(tmp_path / "cache", COARSE, BRATS)
    with pytest.raises(InputError, match="has no reference segmentation"):
        store.get(replace(gliomas[0], reference=None))
    with pytest.raises(InputError, match=r"gone\.nii\.gz: cannot be read"):
        store.get(replace(gliomas[0], reference=tmp_path / "gone.nii.gz"))
    assert not entries(tmp_path / "cache")


# Many cases


def test_all_cases_in_order_with_progress(gliomas: list[Case], tmp_path: Path) -> None:
    told: list[tuple[str, float, float]] = []
    store = Cache(tmp_path / "cache", COARSE, BRATS)
    found = store.get_all(gliomas[::-1], workers=4, progress=lambda *state: told.append(state))
    assert [entry.id for entry in found] == [case.id for case in gliomas[::-1]]
    assert told == [("preparing cases at 20 mm", number, 5) for number in range(1, 6)]
    assert len(entries(tmp_path / "cache")) == 5


def test_broken_cases_are_left_out_or_stop(gliomas: list[Case], tmp_path: Path) -> None:
    cases = [*gliomas[:2], replace(gliomas[2], reference=None), gliomas[3]]
    faults: list[InputError] = []
    told: list[float] = []
    store = Cache(tmp_path / "cache", COARSE, BRATS)
    found = store.get_all(cases, on_fault=faults.append, progress=lambda task, done, total: told.append(done))
    assert [entry.id for entry in found] == [case.id for case in (*gliomas[:2], gliomas[3])]
    assert [str(fault).partition(":")[0] for fault in faults] == [gliomas[2].id]
    assert told == [1, 2, 3, 4]
    with pytest.raises(InputError, match="has no reference segmentation"):
        store.get_all(cases)


def test_progress_can_stop_the_work(gliomas: list[Case], tmp_path: Path) -> None:
    def stop(task: str, completed: float, total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cache(tmp_path / "cache", COARSE, BRATS).get_all(gliomas, workers=1, progress=stop)
    assert len(entries(tmp_path / "cache")) < 5


def test_threads_that_need_one_entry_build_it_once(gliomas: list[Case], tmp_path: Path, reads: list[str]) -> None:
    start = threading.Barrier(4)
    found = []

    def get() -> None:
        start.wait()
        found.append(Cache(tmp_path / "cache", COARSE, BRATS).get(gliomas[0]).path)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(reads) == 1


_BUILDER = """
import os
import sys
from pathlib import Path
from tunetseg.datasets import find_cases, find_description
from tunetseg.preparation import Preprocessing, cache

read = cache.read_volume
def noted(case, description):
    os.write(1, f"{case.id} ".encode())  # at once, as threads write too
    return read(case, description)
cache.read_volume = noted
cache.Cache(sys.argv[2], Preprocessing(20.0), find_description("brats2020")).get_all(find_cases(sys.argv[1]), workers=2)
"""


def test_processes_that_need_the_same_entries_build_each_once(gliomas: list[Case], tmp_path: Path) -> None:
    assert gliomas[0].reference is not None
    cohort = gliomas[0].reference.parents[2]
    command = [sys.executable, "-c", _BUILDER, str(cohort), str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    output = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted("".join(output).split()) == [case.id for case in gliomas]


def test_a_full_disk_is_said(gliomas: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*arguments: object, **options: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(cache, "save_file", short)
    with pytest.raises(OSError, match="is the disk full") as caught:
        Cache(tmp_path / "cache", COARSE, BRATS).get(gliomas[0])
    assert caught.value.errno == errno.ENOSPC
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


# Images of several files


@pytest.mark.parametrize("ending", ["hdr", "mhd", "nhdr"])
def test_voxels_in_a_file_of_their_own_make_the_key(gliomas: list[Case], tmp_path: Path, ending: str) -> None:
    """The header stays as it is when the voxels change."""
    case, images = gliomas[0], dict(gliomas[0].images)
    for name, path in images.items():
        images[name] = tmp_path / f"{name}.{ending}"
        image = nib.load(path)
        if ending == "hdr":
            nib.save(nib.Nifti1Pair(np.asarray(image.dataobj), image.affine), images[name])
        else:
            itk = pytest.importorskip("SimpleITK", reason="the extra formats is not installed")
            itk.WriteImage(itk.ReadImage(str(path)), str(images[name]))
    store = Cache(tmp_path / "cache", COARSE, BRATS)
    before = store.get(replace(case, images=images))
    voxels = tmp_path / ("t2.img" if ending == "hdr" else "t2.raw")
    header = images["t2"].read_bytes()
    voxels.write_bytes(bytes(byte // 2 for byte in voxels.read_bytes()))
    after = store.get(replace(case, images=images))
    assert images["t2"].read_bytes() == header
    assert after.path != before.path
    assert not np.array_equal(after.image, before.image)
    voxels.unlink()
    with pytest.raises(InputError, match=r"t2\.(raw|img): (cannot be read|there is no such file)"):
        store.get(replace(case, images=images))


def test_all_slices_of_a_series_make_the_key(gliomas: list[Case], tmp_path: Path) -> None:
    slices = [tmp_path / f"{number}.dcm" for number in range(3)]
    for path in slices:
        path.write_bytes(path.name.encode())
    frames = tuple(SimpleNamespace(file=SimpleNamespace(path=path)) for path in slices)
    case = replace(gliomas[0], images={**gliomas[0].images, "t2": slices[0]})
    case = replace(case, series={"t2": SimpleNamespace(uid="1.2", key="4", frames=frames)})
    store = Cache(tmp_path / "cache", COARSE, BRATS)
    before = store._key(case)
    other = replace(case, series={"t2": SimpleNamespace(uid="1.2", key="5", frames=frames)})
    assert store._key(other) != before, "another series of the same archive"
    slices[2].write_bytes(b"changed")
    assert store._key(case) != before


def test_the_keys_of_images_of_one_file(gliomas: list[Case], tmp_path: Path) -> None:
    """Caches that are there stay valid."""
    case, store = gliomas[0], Cache(tmp_path / "cache", COARSE, BRATS)
    whole = BRATS.to_dict()
    channels = [(channel["name"], channel["normalisation"], None) for channel in whole["channels"]]
    prepared_by = {"channels": channels, "foreground": whole["foreground"], "regions": BRATS.region_names}
    facts = [cache.FORMAT, {"spacing": 20.0, "denoise": False}, prepared_by, store._conventions(case)]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path in (*(case.images[name] for name in BRATS.channel_names), case.reference):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    assert store._key(case) == digest.hexdigest()[:16]


def test_no_lock_is_left_behind(gliomas: list[Case], tmp_path: Path) -> None:
    entry = Cache(tmp_path / "cache", COARSE, BRATS).get(gliomas[0]).path
    assert list((tmp_path / "cache").iterdir()) == [entry]
