"""Faults of images and of results, and that patients without faults are not warned of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tunetseg.checks import THRESHOLDS, check_result, check_volume
from tunetseg.datasets import find_cases, find_description
from tunetseg.datasets.phantom import make_for
from tunetseg.io import Grid
from tunetseg.preparation import Volume, read_volume
from tunetseg.preparation.background import clean

GLIOMA = find_description("glioma")
T1, T1CE, FLAIR, T2 = (GLIOMA.channel_names.index(name) for name in ("t1", "t1ce", "flair", "t2"))


@pytest.fixture(scope="module")
def plain() -> Volume:
    """A patient of 3 mm."""
    patient = make_for("glioma", 1, shape=(80, 80, 52), spacing=3.0)
    array = np.stack([np.asarray(patient.images[name], np.float32) for name in GLIOMA.channel_names])
    grid = Grid.from_spacing((3, 3, 3), (80, 80, 52))
    return Volume(array, grid, grid)


def codes(volume: Volume, level: str = "warning") -> list[str]:
    array, background = clean(volume.array)
    found = check_volume(replace(volume, array=array, background=background), GLIOMA)
    return [finding.code for finding in found if finding.level == level]


def changed(volume: Volume, change: Callable[[NDArray], NDArray | None]) -> Volume:
    array = volume.array.copy()
    result = change(array)
    return replace(volume, array=array if result is None else np.asarray(result, np.float32))


def on_grid(volume: Volume, spacing: tuple[float, float, float]) -> Volume:
    grid = Grid.from_spacing(spacing, volume.grid.shape)
    return replace(volume, grid=grid, stored=grid)


def test_a_plain_patient(plain: Volume) -> None:
    assert codes(plain) == codes(plain, "note") == codes(plain, "refuse") == []


@pytest.mark.needs_cohort
def test_real_patients(real_cohort: Path) -> None:
    for case in find_cases(real_cohort)[::12]:
        volume = read_volume(case, GLIOMA)
        assert [finding for finding in check_volume(volume, GLIOMA) if finding.level != "note"] == []
        assert {one.kind for one in volume.background} == {"zero"}


@pytest.mark.parametrize(
    ("spacing", "code"),
    [((0.05, 1, 1), "voxel-size"), ((1, 1, 25), "voxel-size"), ((15, 15, 15), "field-of-view")],
)
def test_sizes_that_no_head_has(spacing: tuple[float, float, float], code: str, plain: Volume) -> None:
    assert codes(on_grid(plain, spacing), "refuse") == [code]


def test_thick_slices(plain: Volume) -> None:
    assert "thick-slices" in codes(on_grid(plain, (3, 3, 5)))
    assert "thick-slices" not in codes(on_grid(plain, (3, 3, 4)))


def test_a_single_slice(plain: Volume) -> None:
    grid = Grid(plain.grid.affine, (80, 80, 1))
    assert codes(Volume(plain.array[..., 25:26], grid, grid), "refuse") == ["single-slice"]


def test_only_geometry_is_checked_of_other_organs() -> None:
    kits = find_description("kits19")
    grid = Grid.from_spacing((5, 5, 5), (400, 20, 20))
    volume = Volume(np.zeros((1, 400, 20, 20), np.float32), grid, grid)
    assert check_volume(volume, kits) == []
    tiny = Grid.from_spacing((0.01, 1, 1), (400, 20, 20))
    assert [finding.code for finding in check_volume(replace(volume, grid=tiny), kits)] == ["voxel-size"]


def test_unknown_orientation_is_noted(plain: Volume) -> None:
    assert codes(replace(plain, oriented=False), "note") == ["no-orientation"]


@pytest.mark.parametrize("noisy", [False, True])
def test_a_skull(noisy: bool, plain: Volume) -> None:
    def put(array: NDArray) -> None:
        distance = 3 * ndimage.distance_transform_edt(~(array != 0).any(axis=0))
        random = np.random.default_rng(0)
        for image in array:
            median = np.median(image[image != 0])
            image[(distance > 0) & (distance <= 6)] = 0.1 * median
            image[(distance > 6) & (distance <= 12)] = 1.2 * median
            if noisy:
                air = distance > 12
                image[air] = np.hypot(*random.normal(0, 0.02 * median, (2, int(air.sum()))))

    assert "skull" in codes(changed(plain, put))


def test_half_a_head(plain: Volume) -> None:
    def cut(array: NDArray) -> None:
        array[:, :40] = 0

    assert "part-of-head" in codes(changed(plain, cut))


def test_no_background(plain: Volume) -> None:
    grid = Grid.from_spacing((3, 3, 3), (20, 20, 16))
    inner = Volume(np.ascontiguousarray(plain.array[:, 30:50, 30:50, 18:34]), grid, grid)
    assert "no-background" in codes(inner)


def test_a_small_brain(plain: Volume) -> None:
    assert "brain-volume" in codes(on_grid(plain, (2, 2, 2)))


@pytest.mark.parametrize("shift", [(4, 0, 0), (0, -4, 0), (0, 0, 3)])
def test_a_shifted_sequence(shift: tuple[int, int, int], plain: Volume) -> None:
    def move(array: NDArray) -> None:
        array[FLAIR] = np.roll(array[FLAIR], shift, (0, 1, 2))

    assert codes(changed(plain, move)) == ["shifted"]


@pytest.mark.parametrize(("copy", "of", "factor"), [(T1CE, T1, 1.0), (FLAIR, T2, 1.1), (T2, T1, -1.0)])
def test_a_copy(copy: int, of: int, factor: float, plain: Volume) -> None:
    def put(array: NDArray) -> None:
        inside = array[of] != 0
        array[copy] = np.where(inside, factor * array[of] + 2 + 2 * (factor < 0) * array[of].max(), 0)

    found = codes(changed(plain, put))
    assert found == ["copy"]


def test_the_contrasts_of_real_patients_tell_which_are_exchanged(real_contrasts: dict[str, NDArray]) -> None:
    from tunetseg.checks.sequences import _exchanged

    assert _exchanged(real_contrasts) == []
    for pair in (("t1", "t1ce"), ("t1", "t2"), ("t1", "flair"), ("t1ce", "t2"), ("t1ce", "flair"), ("t2", "flair")):
        first, second = pair
        given = real_contrasts | {first: real_contrasts[second], second: real_contrasts[first]}
        (finding,) = _exchanged(given)
        assert finding.code == "exchanged"
        assert set(finding.message.split(" look")[0].split(" and ")) == set(pair)


@pytest.fixture
def real_contrasts() -> dict[str, NDArray]:
    """Grey matter, white matter, fluid, oedema and vessels with the contrasts that the sequences have."""
    random = np.random.default_rng(0)
    tissue = random.choice(5, 20000, p=[0.45, 0.44, 0.05, 0.04, 0.02])
    means = {
        "t1": [0.8, 1.0, 0.3, 0.7, 0.9],
        "t1ce": [0.8, 0.95, 0.3, 0.7, 2.2],
        "t2": [0.9, 0.7, 2.6, 1.5, 0.6],
        "flair": [1.0, 0.8, 0.2, 1.6, 0.9],
    }
    found = {name: np.array(mean)[tissue] + random.normal(0, 0.07, 20000) for name, mean in means.items()}
    return {name: (value - value.mean()) / value.std() for name, value in found.items()}


def test_results() -> None:
    brain = np.ones((10, 10, 10), bool)
    certain = np.zeros(brain.shape, np.float32)
    certain[:5] = 0.95
    masks = np.zeros((3, *brain.shape), bool)
    assert check_result(masks, certain, brain, GLIOMA) == []
    masks[0, :3] = True
    assert check_result(masks, certain, brain, GLIOMA) == []
    unsure = certain.copy()
    unsure[:5] = 1 - (THRESHOLDS.uncertainty + 5) / 200
    assert [finding.code for finding in check_result(masks, unsure, brain, GLIOMA)] == ["unsure"]
    # Whatever the rules have left of it: what a high threshold keeps is always certain.
    unsure[0, :3] = 1
    assert [finding.code for finding in check_result(masks, unsure, brain, GLIOMA)] == ["unsure"]
    masks[0, :4] = True
    assert [finding.code for finding in check_result(masks, certain, brain, GLIOMA)] == ["large-region"]
    assert check_result(masks[:2], unsure, brain, find_description("kits19")) == []
