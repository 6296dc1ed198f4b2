"""From raw scans to images that a model can see: registered to one of them, without skull, on one grid."""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import Case, DatasetDescription
from tunetseg.errors import InputError
from tunetseg.io import Grid, Image, read_image, write_image
from tunetseg.io.files import make_folder
from tunetseg.io.nifti import was_written_here
from tunetseg.preparation.record import RECORD, RawScan, Record, is_record
from tunetseg.preparation.registration import register
from tunetseg.preparation.regrid import regrid, regrid_masks
from tunetseg.progress import Progress, silent

__all__ = ["PreparedCase", "check_free", "prepare_case", "read_mask"]

_LOG = logging.getLogger(__name__)
_MASK = "brain_mask.nii.gz"


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """Images that a model can see, in memory.

    Args:
        images: Channel -> float32, all on ``grid``; 0 outside of the brain.
        mask: The brain, the same shape.
        grid: That of the reference's scan, in its order of axes; arrays are in LPS order.
        record: How they were made.
        inputs: Files that they were made of.
        oriented: False where the reference's scan does not say how the patient lies.
    """

    images: dict[str, NDArray[np.float32]]
    mask: NDArray[np.bool_]
    grid: Grid
    record: Record
    inputs: tuple[Path, ...] = ()
    oriented: bool = True

    def save(self, folder: Path) -> None:
        """Write an image per channel, the mask of the brain, and the record.

        Raises:
            InputError: An input, or a file that was not written by tunetseg, would be replaced.
        """
        names = {f"{channel}.nii.gz": array for channel, array in self.images.items()}
        names[_MASK] = self.mask.astype(np.uint8)
        make_folder(folder)
        check_free(folder, [*self.images], self.inputs)
        (folder / RECORD).unlink(missing_ok=True)
        for name, array in names.items():
            write_image(folder / name, array, self.grid, oriented=self.oriented)
        self.record.save(folder)


def check_free(folder: Path, channels: Iterable[str], inputs: Iterable[Path]) -> None:
    """Check that preparing a case replaces nothing but an earlier preparation.

    Args:
        folder: Where the case is to be saved; need not exist.
        channels: Names of its channels.
        inputs: Files that it is made of.

    Raises:
        InputError: An input, or a file that was not written by tunetseg, would be replaced.
    """
    given = {os.path.realpath(path) for path in inputs}
    for target in (*(folder / f"{name}.nii.gz" for name in channels), folder / _MASK, folder / RECORD):
        if os.path.realpath(target) in given:
            raise InputError(f"{target}: is a file that the case is made of; choose another folder")
        ours = is_record if target.name == RECORD else was_written_here
        if os.path.lexists(target) and not ours(target):
            raise InputError(f"{target}: exists and was not written by tunetseg; choose another folder")


def prepare_case(
    case: Case,
    description: DatasetDescription,
    find_brain: Callable[[Image], NDArray[np.bool_]] | None,
    *,
    brain: str,
    reference: str = "t1ce",
    registered: bool = False,
    progress: Progress = silent,
) -> PreparedCase:
    """Register the scans of a case to one of them, find the brain, and bring all to that one's grid.

    The reference is not interpolated: its voxels stay what they are.

    Args:
        case: Its scans.
        description: Channels that are needed.
        find_brain: Returns the brain's mask in the reference; None if the skull has been removed, so that 0 is outside
            of the brain.
        brain: How the brain is found, for the record.
        reference: Channel that the others are registered to.
        registered: The scans are already registered; only grid and skull are changed.
        progress: Called after every scan.

    Raises:
        InputError: A scan is missing, damaged, or does not fit, or does not say how the patient lies and would have to
            be moved, or no brain was found.
    """
    case.check(description.channel_names)
    if reference not in case.images:
        raise InputError(f"{case.id}: no {reference} image; register to one of {', '.join(case.images)}")
    images = {name: _read(case, name) for name in description.channel_names}
    first = images[reference]
    _check_orientation(case, images, reference, registered)
    steps = len(images) + 1
    mask = first.array != 0 if find_brain is None else find_brain(first)
    progress(case.id, 1, steps)
    scans, found = {}, {}
    for number, (name, image) in enumerate(images.items()):
        move = np.eye(4) if registered or name == reference else _register(case, first, reference, image, name)
        scans[name] = _scan(case, name, image, move)
        found[name] = first.array
        if name != reference:
            found[name] = regrid(image.array, image.grid, first.grid, move=move, masked=find_brain is None)
        progress(case.id, number + 2, steps)
    prepared = {name: np.where(mask, array, 0).astype(np.float32) for name, array in found.items()}
    record, inputs = Record(reference, scans, brain), tuple(case.images.values())
    return PreparedCase(prepared, mask, first.stored, record, inputs, first.oriented)


def read_mask(path: Path, image: Image) -> NDArray[np.bool_]:
    """Read a mask of the brain in the world space of an image, on any grid.

    Args:
        path: Its file; what is not 0 is brain.
        image: Where it is wanted.

    Returns:
        Booleans, shape of ``image.array``.

    Raises:
        InputError: The file cannot be read, marks nothing that the image shows, or is on another grid and one of the
            two does not say how the patient lies.
    """
    given = read_image(path)
    mask = given.array != 0
    if not given.grid.same_lattice(image.grid):
        if not (given.oriented and image.oriented):
            raise InputError(
                f"{path}: is on another grid than the image, and one of them does not say how the patient lies; give a "
                "mask on the grid of the image"
            )
        mask = regrid_masks(mask[None], given.grid, image.grid)[0]
    if not mask.any() or mask.all():
        raise InputError(f"{path}: marks {'everything' if mask.all() else 'nothing'} in the image; a mask is needed")
    return mask


def _read(case: Case, name: str) -> Image:
    if name in case.series:
        return case.series[name].read()
    return read_image(case.images[name], volume=case.volumes.get(name))


def _check_orientation(case: Case, images: dict[str, Image], reference: str, registered: bool) -> None:
    """Raise InputError where a scan would be moved by an affine that is a guess."""
    first = images[reference]
    for name, image in images.items():
        same = image.grid.same_lattice(first.grid)
        if name == reference or (image.oriented and first.oriented) or (registered and same):
            continue
        unsaid = reference if image.oriented else name
        hint = ", or choose --registered if the voxels of both show the same places" if same else ""
        raise InputError(
            f"{case.source(unsaid)}: does not say how the patient lies, so that {case.source(name)} cannot be brought "
            f"to the grid of {case.source(reference)}; set the orientation in its header{hint}"
        )


def _register(case: Case, first: Image, reference: str, image: Image, name: str) -> NDArray[np.float64]:
    try:
        move = register(first, image)
    except InputError as fault:
        raise InputError(f"{case.id}: {name} cannot be registered to {reference}: {fault}") from None
    centre = image.grid.affine @ [*(np.array(image.grid.shape) - 1) / 2, 1]
    degrees = np.degrees(np.arccos(np.clip((np.trace(move[:3, :3]) - 1) / 2, -1, 1)))
    shift = np.linalg.norm((move @ centre - centre)[:3])
    _LOG.info("%s: %s was moved by %.1f mm and turned by %.1f degrees", case.id, name, shift, degrees)
    return move


def _scan(case: Case, name: str, image: Image, move: NDArray[np.float64]) -> RawScan:
    series = case.series.get(name)
    if series is None:
        return RawScan(case.images[name].name, image.stored, move)
    files = [frame.file for frame in series.frames]
    place = files[0].path if files[0].member else Path(os.path.commonpath([file.path.parent for file in files]))
    return RawScan(series.name, series.grid, move, str(place.resolve()), series.uid, series.key)
