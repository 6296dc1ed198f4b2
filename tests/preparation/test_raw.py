"""From raw scans to images that a model can see: what is interpolated, and what is refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import Case, case_from_files, find_description
from tunetseg.errors import InputError
from tunetseg.io import read_image
from tunetseg.preparation.raw import prepare_case, read_mask

GLIOMA = find_description("glioma")
SHAPE = (16, 16, 16)
BRAIN = ((np.indices(SHAPE) - 7.5) ** 2).sum(axis=0) < 36


def scans(folder: Path, shift: float = 0.0, *, unsaid: tuple[str, ...] = ()) -> Case:
    """Brains without skull at 2 mm, all but the T1ce shifted by some mm.

    Args:
        folder: Where the files go.
        shift: In mm along every axis.
        unsaid: Channels whose header does not say how the patient lies.
    """
    paths = {}
    for number, name in enumerate(GLIOMA.channel_names):
        values = np.random.default_rng(number).integers(1000, 1020, SHAPE)
        affine = np.diag([-2.0, 2, 2, 1])
        affine[:3, 3] = np.array([15, -15, -15]) + (0 if name == "t1ce" else shift)
        image = nib.Nifti1Image(np.where(BRAIN, values, 0).astype(np.float32), affine)
        if name in unsaid:
            image.set_qform(None, 0)
            image.set_sform(None, 0)
        paths[name] = folder / f"{name}.nii.gz"
        nib.save(image, paths[name])
    return case_from_files(paths, GLIOMA)


def test_what_is_outside_of_the_brain_does_not_darken_its_edge(tmp_path: Path) -> None:
    made = prepare_case(scans(tmp_path, 0.9), GLIOMA, None, brain="removed before", registered=True)
    for array in made.images.values():
        assert array[array != 0].min() > 999


def test_a_head_with_its_skull_is_interpolated_as_it_is(tmp_path: Path) -> None:
    """Zeros are values like others, where a program has found the brain."""
    made = prepare_case(scans(tmp_path, 0.9), GLIOMA, lambda image: image.array >= 0, brain="all", registered=True)
    assert 0 < made.images["t1"][made.images["t1"] != 0].min() < 900


@pytest.mark.parametrize("unsaid", [(), GLIOMA.channel_names])
def test_what_is_saved_says_no_more_of_the_orientation(tmp_path: Path, unsaid: tuple[str, ...]) -> None:
    made = prepare_case(scans(tmp_path, unsaid=unsaid), GLIOMA, None, brain="removed before", registered=True)
    made.save(tmp_path / "out")
    for name in ("t1", "t1ce", "brain_mask"):
        image = read_image(tmp_path / f"out/{name}.nii.gz")
        assert image.oriented == made.oriented == (not unsaid)
        assert image.grid.same_lattice(made.grid)


def test_scans_without_orientation_are_not_moved(tmp_path: Path) -> None:
    case = scans(tmp_path, 0.9, unsaid=("t2",))
    with pytest.raises(
        InputError, match=r"t2\.nii\.gz: does not say how the patient lies, .*; set the orientation"
    ) as fault:
        prepare_case(case, GLIOMA, None, brain="", reference="t1", registered=True)
    assert "--registered" not in str(fault.value)
    case = scans(tmp_path, unsaid=("t1ce",))
    with pytest.raises(InputError, match=r"t1ce\.nii\.gz: does not say .*, or choose --registered"):
        prepare_case(case, GLIOMA, None, brain="")
    assert not prepare_case(case, GLIOMA, None, brain="", registered=True).oriented


def test_a_mask_is_not_placed_by_a_guess(tmp_path: Path) -> None:
    images = scans(tmp_path, 0.9, unsaid=("t1ce",)).images
    with pytest.raises(
        InputError, match=r"t1\.nii\.gz: is on another grid than the image, and one of them does not say"
    ):
        read_mask(images["t1"], read_image(images["t1ce"]))
    assert np.array_equal(read_mask(images["t1ce"], read_image(images["t1ce"])), read_image(images["t1ce"]).array != 0)
