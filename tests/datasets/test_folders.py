"""Folders that describe themselves by a ``dataset.json``, of nnU-Net or the Decathlon."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tunetseg.datasets import find_cases, find_description
from tunetseg.errors import InputError

NNUNET: dict[str, Any] = {
    "channel_names": {"0": "T1", "1": "T1 Gd"},
    "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing": 3},
    "regions_class_order": [1, 2, 3],
    "numTraining": 2,
    "file_ending": ".nii.gz",
}
TASK01: dict[str, Any] = {
    "name": "BRATS",
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
}


def lay(folder: Path, raw: Any, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(raw if isinstance(raw, str) else json.dumps(raw), encoding="utf-8")
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).touch()
    return folder


def test_nnunet_with_regions(tmp_path: Path) -> None:
    files = [f"imagesTr/case_{case}_000{n}.nii.gz" for case in (1, 2) for n in (0, 1)]
    folder = lay(tmp_path / "Dataset137_BraTS", NNUNET, *files, "labelsTr/case_1.nii.gz", "imagesTs/new_0000.nii.gz")
    described = find_description(folder)
    assert (described.name, described.title) == ("dataset137_brats", "Dataset137_BraTS")
    assert described.channel_names == ("t1", "t1-gd")
    assert described.scheme.regions == {"whole-tumor": (1, 2, 3), "tumor-core": (2, 3), "enhancing": (3,)}
    assert described.scheme.exclusive_labels == (1, 2, 3)
    first, second, test = find_cases(folder)
    assert (first.id, second.id, test.id) == ("case_1", "case_2", "new")
    assert first.reference == folder / "labelsTr/case_1.nii.gz"
    assert second.reference is None
    first.check(described.channel_names)
    with pytest.raises(InputError, match="new: no t1-gd image"):
        test.check(described.channel_names)


def test_a_folder_of_images_is_described_by_the_folder_above(tmp_path: Path) -> None:
    folder = lay(tmp_path / "Dataset1_X", NNUNET, "imagesTs/a_0000.nii.gz", "imagesTs/a_0001.nii.gz")
    (case,) = find_cases(folder / "imagesTs")
    assert (case.id, list(case.images)) == ("a", ["t1", "t1-gd"])


def test_nnunet_without_regions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "tumor": 2, "kidney": 1}}
    with caplog.at_level(logging.WARNING, "tunetseg"):
        described = find_description(lay(tmp_path / "kits", raw))
    assert described.scheme.regions == {"kidney": (1, 2), "tumor": (2,)}
    assert described.scheme.values == {1: "kidney", 2: "tumor"}
    assert described.channels[0].normalisation.kind == "clip"
    assert described.foreground.kind == "above"
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path / 'kits/dataset.json'}: its labels are taken as nested regions: kidney holds the labels [1, 2]; "
        "tumor holds the labels [2]; a TOML file gives others"
    )


def test_regions_and_single_labels_are_not_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    find_description(lay(tmp_path / "a", NNUNET))
    find_description(lay(tmp_path / "b", NNUNET | {"labels": {"background": 0, "tumour": 1}}))
    assert caplog.records == []


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii"])
def test_other_formats_of_nnunet(tmp_path: Path, ending: str) -> None:
    files = [f"imagesTr/case_000{n}{ending}" for n in (0, 1)]
    folder = lay(tmp_path / "x", NNUNET | {"file_ending": ending}, *files, f"labelsTr/case{ending}")
    (case,) = find_cases(folder)
    case.check(("t1", "t1-gd"))
    assert case.reference == folder / f"labelsTr/case{ending}"


def test_names_in_other_scripts_are_numbered(tmp_path: Path) -> None:
    raw = {"channel_names": {"0": "\u9020\u5f71", "1": "\u5e73\u626b"}, "labels": {"\u810f": 1, "\u7624": 2}}
    described = find_description(lay(tmp_path / "\u6570\u636e", raw))
    assert (described.name, described.channel_names) == ("unnamed", ("channel0", "channel1"))
    assert described.scheme.regions == {"region0": (1, 2), "region1": (2,)}
    assert (described.channels[1].title, described.regions[1].title) == ("\u5e73\u626b", "\u7624")


def test_the_order_in_which_nnunet_writes_regions(tmp_path: Path) -> None:
    raw = NNUNET | {
        "labels": {"background": 0, "whole": [1, 2, 3, 4], "core": [1, 3, 4], "enhancing": [4]},
        "regions_class_order": [2, 3, 4],
    }
    assert find_description(lay(tmp_path / "x", raw)).scheme.exclusive_labels == (2, 3, 4)
    del raw["regions_class_order"]
    assert find_description(lay(tmp_path / "x", raw)).scheme.exclusive_labels == (2, 1, 4)


def test_task01_of_the_decathlon(tmp_path: Path) -> None:
    folder = lay(
        tmp_path / "Task01_BrainTumour", TASK01, "imagesTr/BRATS_001.nii.gz", "imagesTr/._BRATS_001.nii.gz",
        "labelsTr/BRATS_001.nii.gz", "imagesTs/BRATS_485.nii.gz",
    )  # fmt: skip
    assert find_description(folder) is find_description("msd-task01")
    first, second = find_cases(folder)
    assert (first.id, second.id) == ("BRATS_001", "BRATS_485")
    assert first.volumes == {"flair": 0, "t1": 1, "t1ce": 2, "t2": 3}
    assert set(first.images.values()) == {folder / "imagesTr/BRATS_001.nii.gz"}
    assert first.reference == folder / "labelsTr/BRATS_001.nii.gz"
    first.check(("t1", "t1ce", "flair", "t2"))
    (folder / "dataset.json").unlink()
    assert [case.volumes for case in find_cases(folder)] == [first.volumes] * 2, "the names say it too"


def test_another_task_of_the_decathlon(tmp_path: Path) -> None:
    raw = {"name": "Prostate", "modality": {"0": "T2", "1": "ADC"}, "labels": {"0": "background", "1": "PZ", "2": "TZ"}}
    folder = lay(tmp_path / "Task05_Prostate", raw, "imagesTr/prostate_00.nii.gz", "labelsTr/prostate_00.nii.gz")
    (case,) = find_cases(folder)
    assert case.dataset is not None
    assert (case.volumes, case.dataset.region_names, case.dataset.title) == (
        {"t2": 0, "adc": 1},
        ("pz", "tz"),
        "Prostate",
    )


def test_one_channel_of_the_decathlon_is_a_3d_file(tmp_path: Path) -> None:
    raw = {"name": "Liver", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "cancer"}}
    (case,) = find_cases(lay(tmp_path / "Task03_Liver", raw, "imagesTr/liver_0.nii.gz"))
    assert (case.id, list(case.images), case.volumes) == ("liver_0", ["ct"], {})


def test_the_first_version_of_nnunet_wrote_the_keys_of_the_decathlon(tmp_path: Path) -> None:
    files = [f"imagesTr/BRATS_001_000{n}.nii.gz" for n in range(4)]
    folder = lay(tmp_path / "Task001_BrainTumour", TASK01, *files, "labelsTr/BRATS_001.nii.gz")
    (case,) = find_cases(folder)
    assert (case.id, case.volumes) == ("BRATS_001", {})
    assert [path.name[-8] for path in case.images.values()] == ["0", "1", "2", "3"]
    assert list(case.images) == ["flair", "t1w", "t1gd", "t2w"]
    assert case.reference is not None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("{", "not the dataset.json of nnU-Net or the Decathlon"),
        ("[1]", "not the dataset.json"),
        ({}, "not the dataset.json"),
        (NNUNET | {"labels": {"a": "one"}}, "not the dataset.json"),
        (NNUNET | {"channel_names": {"first": "T1"}}, "not the dataset.json"),
        (NNUNET | {"channel_names": {"0": 1}}, "not the dataset.json"),
        (NNUNET | {"channel_names": {}}, "channels: expected `array` of length >= 1"),
        (NNUNET | {"channel_names": {"0": "T1", "1": "t1"}}, "channel 't1' is given twice"),
        (NNUNET | {"labels": {"background": 0}}, "regions: expected `array` of length >= 1"),
        (NNUNET | {"labels": {"a": [1, 2], "b": [2, 3]}}, "region 'b' must lie inside region 'a'"),
        (NNUNET | {"labels": {"a": [1, 2], "b": 300}}, "must lie inside|expected `int` <= 255"),
        (NNUNET | {"file_ending": ".png"}, r"file_ending '\.png' cannot be read; convert the images"),
        (NNUNET | {"channel_names": [1024, 1024]}, r"not the dataset.json of nnU-Net or the Decathlon"),
        (NNUNET | {"labels": {"a": 1, "ignore": 2}}, r"the label 'ignore' \(2\), .*, is not supported; give these"),
        (NNUNET | {"file_ending": []}, r"file_ending \[\] cannot be read; convert the images"),
    ],
)
def test_faults(tmp_path: Path, raw: Any, message: str) -> None:
    folder = lay(tmp_path / "x", raw)
    with pytest.raises(InputError, match=message) as caught:
        find_description(folder)
    assert str(caught.value).startswith(f"{folder / 'dataset.json'}: ")
