"""Which files are label maps, by name."""

from pathlib import Path

import pytest

from tunetseg.datasets import find_description
from tunetseg.evaluation.naming import described_above, is_map_name, names_of_folder, region_words


def label_maps(folder: Path, *names: str, dataset=None) -> dict[str, tuple[str, bool]]:
    paths = [folder / f"{name}.nii.gz" for name in names]
    found = names_of_folder(folder, dataset).label_maps(paths)
    return {path.name.removesuffix(".nii.gz"): value for path, value in found.items()}


@pytest.mark.parametrize(
    ("stem", "is_map"),
    [
        ("p_unc_whole", True),
        ("p_unc_enhance", True),
        ("p_prob_enhancing", True),
        ("p_unc_kidney", True),
        ("p_unc_01", False),
        ("unc_whole_1", False),
        ("p_unc_peel", False),
    ],
)
def test_names_of_maps(stem, is_map):
    assert is_map_name(stem) == is_map


def test_regions_of_a_users_own_dataset_have_maps(nested_description):
    assert is_map_name("p_unc_peel", nested_description)
    assert is_map_name("p_unc_whole", nested_description)
    assert region_words("peel", nested_description) == ("peel",)
    assert region_words("anything") == ("anything",)


def test_sure_and_unsure_images(tmp_path):
    assert label_maps(tmp_path, "BraTS2021_00001_t1", "sub-1_T1w", "BraTS-GLI-00001-000-t2f") == {}
    times = ("p_t1", "p_t2")
    assert list(label_maps(tmp_path, *times)) == [*times]
    assert list(label_maps(tmp_path, *times, "p_flair")) == []
    assert list(label_maps(tmp_path, *times, "p")) == ["p"]


def test_roles(tmp_path):
    assert label_maps(tmp_path, "BraTS2021_00001_seg", "BraTS2021_00002", "prediction_00003", "own-seg") == {
        "BraTS2021_00001_seg": ("BraTS2021_00001", True),
        "BraTS2021_00002": ("BraTS2021_00002", False),
        "prediction_00003": ("case_00003", False),
        "own-seg": ("own", True),
    }


def test_names_of_one_dataset(tmp_path):
    kits = find_description("kits19")
    assert label_maps(tmp_path, "prediction_00003", "x_seg", dataset=kits) == {
        "prediction_00003": ("case_00003", False),
        "x_seg": ("x_seg", False),
    }
    names = names_of_folder(tmp_path, kits)
    assert names.is_case("case_00003")
    assert not names.is_case("BraTS2021_00001")
    assert names_of_folder(tmp_path).is_case("BraTS2021_00001")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"labels": {}}'])
def test_other_programs_dataset_json(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    assert names_of_folder(tmp_path).of_folder is None
    assert described_above(tmp_path / "labelsTr") is None
