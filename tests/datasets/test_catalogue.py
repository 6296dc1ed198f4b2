"""Packaged datasets by name, users' own by file, and what the packaged files must say."""

from pathlib import Path

import numpy as np
import pytest

from tunetseg.datasets import (
    DatasetDescription,
    candidate_schemes,
    catalogue,
    find_cases,
    find_description,
    find_scheme,
    packaged_descriptions,
)
from tunetseg.errors import InputError
from tunetseg.metrics import find_rules

TWO_CHANNELS = """
name = "onions"

[[channels]]
name = "first"

[[channels]]
name = "second"
normalisation = {kind = "clip", low = 0, high = 500, scale = 100}

[[regions]]
name = "peel"
labels = [7, 2, 5, 3]

[[regions]]
name = "skin"
labels = [3, 2, 5]

[[regions]]
name = "flesh"
labels = [5, 3]

[[regions]]
name = "core"
labels = [3]

[files]
case = 'p\\d+'
reference = "{case}_labels"

[files.channels]
first = "{case}_a"
second = "{case}_b"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("2012", "brats2012"), ("2016", "brats2012"), ("2017", "brats2017"), ("2019", "brats2019"),
        ("2022", "brats2021"), ("BraTS2021", "brats2021"), ("2023", "brats2023"), ("2024", "brats2024"),
        ("2025", "brats2024"), ("ped", "brats2024-ped"), ("msd", "msd-task01"), ("nnunet", "nnunet-brats"),
        ("kits", "kits19"),
    ],
)  # fmt: skip
def test_names_and_years(name: str, found: str) -> None:
    assert find_description(name).name == found


def test_unknown_names() -> None:
    with pytest.raises(InputError, match=r"unknown dataset '2011'; choose from bids, brats2012, .*, or name a \.toml"):
        find_description("2011")
    with pytest.raises(InputError, match="unknown label values 'brats1066'; choose a year such as 2023"):
        find_scheme("brats1066")


def test_aliases_are_unique() -> None:
    names = [name for found in packaged_descriptions().values() for name in (found.name, *found.aliases)]
    assert len(names) == len(set(names))


def test_what_fits_anyones_files_is_tried_last() -> None:
    generic = [found.generic for found in packaged_descriptions().values()]
    assert generic == sorted(generic)
    assert sum(generic) == 1


@pytest.mark.parametrize(
    ("dataset", "whole", "core", "enhancing", "written"),
    [
        ("2015", {1, 2, 3, 4}, {1, 3, 4}, {4}, (2, 1, 4)),
        ("2017", {1, 2, 4}, {1, 4}, {4}, (2, 1, 4)),
        ("2018", {1, 2, 4}, {1, 4}, {4}, (2, 1, 4)),
        ("2019", {1, 2, 4}, {1, 4}, {4}, (2, 1, 4)),
        ("2020", {1, 2, 4}, {1, 4}, {4}, (2, 1, 4)),
        ("2022", {1, 2, 4}, {1, 4}, {4}, (2, 1, 4)),
        ("2023", {1, 2, 3}, {1, 3}, {3}, (2, 1, 3)),
        ("brats2023-men", {1, 2, 3}, {1, 3}, {3}, (2, 1, 3)),
        ("brats2023-met", {1, 2, 3}, {1, 3}, {3}, (2, 1, 3)),
        ("brats2023-ssa", {1, 2, 3}, {1, 3}, {3}, (2, 1, 3)),
        ("brats2023-ped", {1, 2, 3}, {1, 3}, {3}, (2, 1, 3)),
        ("2024", {1, 2, 3}, {1, 3}, {3}, (2, 1, 3)),
        ("brats2025-met", {1, 2, 3}, {1, 3}, {3}, (2, 1, 3)),
        ("brats2024-cavity", {1, 2, 3, 4}, {1, 3, 4}, {3}, (2, 1, 3)),
        # Paediatric tumours since 2024: enhancing 1, non-enhancing 2, cysts 3, oedema 4.
        ("brats2024-ped", {1, 2, 3, 4}, {1, 2, 3}, {1}, (4, 2, 1)),
        ("msd", {1, 2, 3}, {2, 3}, {3}, (1, 2, 3)),
        ("nnunet", {1, 2, 3}, {2, 3}, {3}, (1, 2, 3)),
        ("glioma", {1, 2, 3}, {1, 3}, {3}, (2, 1, 3)),
        ("bids", {1, 2, 3}, {1, 3}, {3}, (2, 1, 3)),
    ],
)  # fmt: skip
def test_regions_of_brain_tumours(
    dataset: str, whole: set[int], core: set[int], enhancing: set[int], written: tuple[int, ...]
) -> None:
    scheme = find_scheme(dataset)
    assert [set(values) for values in scheme.regions.values()] == [whole, core, enhancing]
    assert scheme.region_names == ("whole", "core", "enhancing")
    assert scheme.exclusive_labels == written


def test_the_cavity_of_2024_is_a_label_of_no_region() -> None:
    scheme = find_scheme("2024")
    assert scheme.values[4] == "resection cavity"
    assert not scheme.masks(np.array([[[4]]])).any()


def test_kits() -> None:
    kits = find_description("kits19")
    assert kits.scheme.regions == {"kidney": (1, 2, 3), "tumour": (2, 3)}
    assert kits.scheme.exclusive_labels == (1, 2)
    assert kits.channels[0].normalisation.kind == "clip"
    assert (kits.foreground.kind, kits.foreground.value) == ("above", -500)


@pytest.mark.parametrize("description", packaged_descriptions().values(), ids=packaged_descriptions())
def test_a_packaged_description_names_what_exists(description: DatasetDescription) -> None:
    find_rules(description.rules)
    for scheme in candidate_schemes(description):
        assert scheme.region_names == description.region_names
    assert set(description.files.channels) == set(description.channel_names)
    assert description.title
    # A release fixes the size of its images; what fits anyone's files does not.
    anyone = description.name in {"glioma", "bids", "kits19", "brats2024-men-rt"}
    assert description.files.shape == (None if anyone else (240, 240, 155))


def test_a_scheme_by_its_own_name() -> None:
    assert find_scheme("msd").name == "msd"
    assert find_scheme("2022") == find_scheme("brats2017")
    assert find_scheme("brats2025-met").name == find_scheme("2024").name == "brats2024"


def test_ones_own_file(tmp_path: Path) -> None:
    onions = find_description(written(tmp_path, TWO_CHANNELS))
    assert onions.channel_names == ("first", "second")
    assert onions.scheme.exclusive_labels == (7, 2, 5, 3)
    for name in ("p1_a", "p1_b", "p1_labels", "p2_a", "other_a"):
        (tmp_path / f"{name}.nii.gz").touch()
    cases = find_cases(tmp_path, onions)
    assert [case.id for case in cases] == ["p1", "p2"]
    cases[0].check(onions.channel_names)
    with pytest.raises(InputError, match="p2: no second image in"):
        cases[1].check(onions.channel_names)


def test_a_file_that_extends_a_dataset(tmp_path: Path) -> None:
    mine = find_description(
        written(tmp_path, 'extends = "brats2021"\nname = "mine"\nrules = "brats2019"\n[files]\ncase = "m[0-9]+"\n')
    )
    base = find_description("brats2021")
    assert (mine.channels, mine.regions, mine.postprocessing) == (base.channels, base.regions, base.postprocessing)
    assert (mine.files.case, mine.files.channels, mine.rules) == ("m[0-9]+", base.files.channels, "brats2019")
    assert mine.scheme.name == base.scheme.name, "the same label values"
    assert (mine.title, mine.aliases) == ("", ()), "its own, not that of the base"


def test_regions_of_ones_own_do_not_keep_the_rules_of_others(tmp_path: Path) -> None:
    regions = "".join(
        f'[[regions]]\nname = "{name}"\nlabels = {labels}\n' for name, labels in (("outer", [1, 2]), ("core", [2]))
    )
    mine = find_description(written(tmp_path, f'extends = "glioma"\nname = "mine"\nlabels = {{}}\n{regions}'))
    assert mine.region_names == ("outer", "core")
    assert mine.postprocessing.fallback_region == "core"
    assert mine.postprocessing.min_volume_region is None
    assert [scheme.name for scheme in candidate_schemes(mine)] == ["mine"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "invalid TOML"),
        ('extends = "brats1066"', "extends: unknown dataset 'brats1066'; choose from bids"),
        ("extends = [1]", r"extends: unknown dataset \[1\]"),
        ('extends = "brats2021"', "missing field `name`"),
        ('extends = "brats2021"\nname = "x"\nfiles = 3', "files: expected `object`, got `int`"),
        ('extends = "brats2021"\nname = "x"\nlabels = 3', "labels: expected `object`, got `int`"),
        ('extends = "brats2021"\nname = "x"\nregions = 3', "regions: expected `array`, got `int`"),
        ('extends = "brats2021"\nname = "x"\n[[channels]]\nname = "ct"', "files.channels: unknown channel"),
    ],
)
def test_faults_name_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        find_description(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.toml: there is no such file"):
        find_description(tmp_path / "gone.toml")
    (tmp_path / "mine.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(InputError, match="is not a text file in UTF-8"):
        find_description(tmp_path / "mine.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="is a folder, not a file"):
        find_description(tmp_path / "folder.toml")


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("\ufeff" + TWO_CHANNELS, encoding="utf-8")
    assert find_description(path).name == "onions"


def test_rules_per_region_are_inherited_for_the_regions_that_are_left() -> None:
    rules = {"min_component_mm3": {"whole": 9, "core": 5}, "threshold": 0.4, "fallback_region": "core"}
    kept = catalogue._of_regions(rules, [{"name": "whole", "labels": [1]}])
    assert kept == {"min_component_mm3": {"whole": 9}, "threshold": 0.4}
