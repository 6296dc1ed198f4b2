"""Synthetic patients as files: every dataset finds its own and reads back what was made."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import DatasetDescription, candidate_schemes, find_cases, find_description, packaged_descriptions
from tunetseg.datasets.phantom import make_for, make_nested, make_patient, write_cohort, write_patient
from tunetseg.errors import InputError
from tunetseg.io import Grid, read_label_map
from tunetseg.preparation import read_volume

OTHERS = {"kits19", "brats2024-men-rt"}
"""Datasets whose channels or regions are not those of glioma."""
TINY = {"shape": (24, 24, 16), "spacing": 10.0}


@pytest.mark.parametrize("name", list(packaged_descriptions()))
def test_every_dataset_reads_back_what_was_made(tmp_path: Path, name: str) -> None:
    description = find_description(name)
    patient = make_for(name) if name in OTHERS else make_patient(0, **TINY)
    write_patient(patient, tmp_path, number=7, dataset=name)
    (case,) = find_cases(tmp_path, description)
    volume = read_volume(case, description)
    grid = Grid(patient.affine, patient.label_map.shape)
    for channel, array in zip(description.channel_names, volume.array, strict=True):
        assert np.array_equal(array, grid.to_lps(np.rint(patient.images[channel])))
    reference = read_label_map(case.reference)
    scheme = candidate_schemes(description)[-1]
    assert np.array_equal(scheme.nesting(reference.array), grid.to_lps(patient.scheme.nesting(patient.label_map)))


@pytest.mark.parametrize("name", [name for name, found in packaged_descriptions().items() if found.recognise])
def test_every_dataset_is_recognised(tmp_path: Path, name: str) -> None:
    patient = make_for(name) if name in OTHERS else make_patient(0, **TINY)
    write_patient(patient, tmp_path, number=7, dataset=name)
    (case,) = find_cases(tmp_path)
    assert case.dataset is not None
    assert case.dataset.scheme.name == find_description(name).scheme.name
    assert case.grade == ("HGG" if find_description(name).files.grades else None)


def test_kits_files(tmp_path: Path) -> None:
    (folder,) = write_cohort(tmp_path, cases=1, dataset="kits19")
    assert folder == tmp_path / "case_00000"
    assert sorted(path.name for path in folder.iterdir()) == ["imaging.nii.gz", "segmentation.nii.gz"]
    image = nib.load(folder / "imaging.nii.gz")
    assert image.shape == (28, 36, 48)
    assert nib.aff2axcodes(image.affine) == ("I", "P", "L")
    assert image.get_data_dtype() == np.int16


def test_cohort(tmp_path: Path) -> None:
    assert len(write_cohort(tmp_path, cases=5, dataset="2019", **TINY)) == 5
    cases = find_cases(tmp_path)
    assert sorted(case.grade or "" for case in cases) == ["HGG"] * 4 + ["LGG"]
    assert len({case.patient for case in cases}) == 5


def test_a_description_given_as_an_object(tmp_path: Path, nested_description: DatasetDescription) -> None:
    write_cohort(tmp_path, cases=2, dataset=nested_description)
    cases = find_cases(tmp_path, nested_description)
    assert [case.id for case in cases] == ["case_00000", "case_00001"]
    reference = read_label_map(cases[1].reference).array
    made = make_nested(1, channels=nested_description.channel_names)
    assert np.array_equal(nested_description.scheme.nesting(reference), made.label_map)
    # The values that are written are the description's, not the patient's.
    assert set(np.unique(reference)) == {0, *nested_description.scheme.exclusive_labels}


def test_an_nnunet_folder_takes_the_names_of_its_own_description(tmp_path: Path) -> None:
    raw = {
        "channel_names": {"0": "A", "1": "B"},
        "labels": {"background": 0, "outer": [1, 2], "inner": 2},
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(raw))
    assert write_cohort(tmp_path, cases=2, dataset=tmp_path) == [tmp_path] * 2
    assert sorted(path.name for path in (tmp_path / "imagesTr").iterdir()) == [
        f"case_{case:05d}_{channel:04d}.nii.gz" for case in (0, 1) for channel in (0, 1)
    ]
    assert [case.id for case in find_cases(tmp_path)] == ["case_00000", "case_00001"]


def test_names_that_cannot_be_guessed_are_given(tmp_path: Path, nested_description: DatasetDescription) -> None:
    raw = nested_description.to_dict()
    raw["files"]["case"] = "[xyz]{3}"
    description = DatasetDescription.from_dict(raw)
    patient = make_for(description)
    with pytest.raises(InputError, match="give the name"):
        write_patient(patient, tmp_path, dataset=description)
    write_patient(patient, tmp_path, dataset=description, name="xyz")
    assert [case.id for case in find_cases(tmp_path, description)] == ["xyz"]


def test_a_patient_of_another_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kits19: has the channels ct and 2 regions, but the patient has t1"):
        write_patient(make_patient(0, **TINY), tmp_path, dataset="kits19")
    with pytest.raises(InputError, match="unknown dataset"):
        write_patient(make_patient(0, **TINY), tmp_path, dataset="brats1066")
