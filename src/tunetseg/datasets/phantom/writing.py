"""Writing synthetic patients as the files of any dataset."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets.catalogue import find_description
from tunetseg.datasets.description import DatasetDescription
from tunetseg.datasets.phantom.ct import make_ct_patient
from tunetseg.datasets.phantom.mri import make_patient
from tunetseg.datasets.phantom.nested import make_nested
from tunetseg.datasets.phantom.phantom import Phantom
from tunetseg.errors import InputError

__all__ = ["make_for", "write_cohort", "write_patient"]

_CASES = (  # names of cases, of which the first that fits a dataset's pattern is taken
    "case_{:05d}",
    "BraTS20_Training_{:03d}",
    "BraTS2021_{:05d}",
    "VSD.Brain.{}",
    "Brats17_PHA_{}_1",
    "Brats18_PHA_{}_1",
    "BraTS19_PHA_{}_1",
    "BraTS-GLI-{:05d}-000",
    "BraTS-MEN-{:05d}-000",
    "BraTS-MEN-RT-{:04d}-1",
    "BraTS-MET-{:05d}-000",
    "BraTS-PED-{:05d}-000",
    "BraTS-SSA-{:05d}-000",
    "BRATS_{:03d}",
    "sub-{:03d}",
)


def _description(dataset: str | Path | DatasetDescription) -> DatasetDescription:
    return dataset if isinstance(dataset, DatasetDescription) else find_description(dataset)


def make_for(dataset: str | Path | DatasetDescription, seed: int = 0, **options: Any) -> Phantom:
    """Make a small patient that has a dataset's channels and regions.

    Args:
        dataset: Description, or a name that `find_description` knows. With the channels of BraTS a glioma is made,
            with the channel ``ct`` and two regions a kidney tumour, with any others nested regions without anatomy.
        seed: The same seed gives the same patient.
        **options: ``shape`` and ``spacing``, in place of the small default; ``grade`` of a glioma.

    Examples:
        >>> make_for("kits19").images["ct"].shape
        (28, 36, 48)
    """
    description = _description(dataset)
    if _is_glioma(description):
        return make_patient(seed, **{"shape": (48, 48, 32), "spacing": 5.0, **options})
    channels, regions = description.channel_names, description.region_names
    if channels == ("ct",) and len(regions) == 2:
        return make_ct_patient(seed, **{"shape": (28, 36, 48), "spacing": (7.0, 8.0, 8.0), **options})
    return make_nested(seed, channels=channels, regions=len(regions), **options)


def _is_glioma(description: DatasetDescription) -> bool:
    return set(description.channel_names) <= {"t1", "t1ce", "flair", "t2"} and len(description.regions) == 3


def write_patient(
    patient: Phantom,
    folder: str | Path,
    *,
    number: int = 0,
    dataset: str | Path | DatasetDescription = "brats2020",
    name: str | None = None,
) -> Path:
    """Write a patient with the file names and label values of a dataset.

    Args:
        patient: What to write; images are stored as int16, labels as uint8.
        folder: The cohort's folder.
        number: Number of the case.
        dataset: Description, or a name that `find_description` knows.
        name: Name of the case; by default made from its number as the dataset names cases.

    Returns:
        The folder of the case; of a dataset whose cases share folders, the cohort's.

    Raises:
        InputError: There is no such dataset, it has other channels or regions than the patient, or its names of cases
            are unusual and ``name`` is not given.
    """
    description = _description(dataset)
    layout, scheme = description.files, description.scheme
    missing = [channel for channel in layout.channels if channel not in patient.images]
    if missing or len(scheme.regions) != len(patient.scheme.regions):
        raise InputError(
            f"{description.name}: has the channels {', '.join(description.channel_names)} and {len(scheme.regions)} "
            f"regions, but the patient has {', '.join(patient.images)} and {len(patient.scheme.regions)} regions"
        )
    case = name or _case_name(number, description)
    top = Path(folder) / (patient.grade if patient.grade in layout.grades else "")
    labels = scheme.label_map(patient.scheme.nesting(patient.label_map))
    volumes: dict[Path, dict[int, NDArray]] = {}
    for channel, template in layout.channels.items():
        path, volume = _place(template, case, top)
        volumes.setdefault(path, {})[volume] = np.rint(patient.images[channel]).astype(np.int16)
    reference, _ = _place(layout.reference, case, top)
    _save(reference, labels, patient.affine)
    for path, arrays in volumes.items():
        ordered = [array for _, array in sorted(arrays.items())]
        _save(path, ordered[0] if len(ordered) == 1 else np.stack(ordered, axis=-1), patient.affine)
    return top / case if (top / case).is_dir() else top


def _case_name(number: int, description: DatasetDescription) -> str:
    for template in _CASES:
        name = template.format(number)
        if description.files.case_pattern.fullmatch(name):
            return name
    raise InputError(f"{description.name}: no usual name of a case fits {description.files.case!r}; give the name")


def _place(templates: str | tuple[str, ...], case: str, top: Path) -> tuple[Path, int]:
    """Path of a file by its first template, and the volume in it."""
    template, _, volume = (templates if isinstance(templates, str) else templates[0]).partition("#")
    # Stars stand for any characters, such as the agent's name in sub-001_ce-*_T1w.
    name = template.replace("-*", "-x").replace("*", "").replace("{case}", case)
    folder = top if "/" in template else top / case
    return folder / f"{name}.nii.gz", int(volume or 0)


def _save(path: Path, array: NDArray, affine: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def write_cohort(
    folder: str | Path,
    *,
    cases: int,
    seed: int = 0,
    dataset: str | Path | DatasetDescription = "brats2020",
    **options: Any,
) -> list[Path]:
    """Write a cohort of different small patients; every fourth glioma is of low grade.

    Args:
        folder: The cohort's folder.
        cases: How many, numbered from 0.
        seed: Of the first patient; the others have the seeds that follow.
        dataset: Description, or a name that `find_description` knows.
        **options: ``shape`` and ``spacing``, as for `make_for`.

    Returns:
        The folder of each case.
    """
    description = _description(dataset)
    written = []
    for number in range(cases):
        low = {"grade": "LGG"} if number % 4 == 3 and _is_glioma(description) else {}
        patient = make_for(description, seed + number, **low, **options)
        written.append(write_patient(patient, folder, number=number, dataset=description))
    return written
