"""Folders of small synthetic data under the names that the documentation uses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import find_description
from tunetseg.datasets.phantom import make_for, make_patient, write_cohort, write_patient

ROOT = Path(__file__).resolve().parents[2]


def _patient(folder: Path) -> None:
    """One patient whose files are named by sequence alone."""
    patient = make_for("glioma", 1)
    folder.mkdir()
    for name, image in patient.images.items():
        nib.save(nib.Nifti1Image(image.astype(np.int16), patient.affine), folder / f"{name}.nii.gz")


def _cohort(folder: Path) -> None:
    write_cohort(folder, cases=5, dataset="brats2021")


def _four_regions(folder: Path) -> None:
    description = find_description(ROOT / "docs/examples/four-regions.toml")
    for number in range(5):
        write_patient(make_for(description, number), folder, dataset=description, name=f"p{number:03d}")


def _kits(folder: Path) -> None:
    write_cohort(folder, cases=5, dataset="kits19")


def _validation(folder: Path) -> None:
    """A case of the size that the challenge demands, without a reference."""
    patient = make_patient(0, shape=(240, 240, 155), spacing=1.0)
    case = write_patient(patient, folder, number=1, dataset="brats2020")
    for reference in case.glob("*_seg.nii.gz"):
        reference.unlink()


def _label_maps(shift: int) -> Callable[[Path], None]:
    """Label maps of five cases of BraTS 2023 in one folder, moved by some voxels."""

    def write(folder: Path) -> None:
        folder.mkdir()
        for number in range(5):
            patient = make_for("brats2023", number)
            labels = np.roll(find_description("brats2023").scheme.label_map(_nesting(patient)), shift, axis=0)
            name = f"BraTS-GLI-{number:05d}-000.nii.gz"
            nib.save(nib.Nifti1Image(labels, patient.affine), folder / name)

    return write


def _nesting(patient: Any) -> Any:
    return patient.scheme.nesting(patient.label_map)


MATERIALS: dict[str, Callable[[Path], None]] = {
    "PATIENT": _patient,
    "COHORT": _cohort,
    "COHORT4": _four_regions,
    "KITS": _kits,
    "VALIDATION": _validation,
    "REFERENCES": _label_maps(0),
    "PREDICTIONS": _label_maps(1),
    "OTHER-PREDICTIONS": _label_maps(2),
}


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a name in the documentation; each is made once."""
    top = tmp_path_factory.mktemp("materials")

    def find(name: str) -> Path:
        folder = top / name
        if not folder.exists():
            MATERIALS[name](folder)
        return folder

    return find
