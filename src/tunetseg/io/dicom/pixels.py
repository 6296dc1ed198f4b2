"""The pixels of slices: read, rescaled, compared."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.io.dicom.files import StoredFile, opened, quiet, read_dataset
from tunetseg.io.dicom.headers import Frame, value_of
from tunetseg.limits import LIMITS, check_memory

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["read_voxels", "without_copies"]

_PLAIN = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
    (True, False): "1.2.840.10008.1.2",
}
"""Transfer syntax by (implicit types, little endian)."""


def without_copies(frames: Sequence[Frame]) -> list[Frame]:
    """Drop slices in one place that have the same pixels under other UIDs."""
    places: dict[tuple[float, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        plane = frame.plane
        assert plane is not None
        places[plane.place].append(frame)
    doubtful = [frame for group in places.values() if len(group) > 1 for frame in group]
    # Only single-frame files: frames of one file are never copies of each other by accident.
    hashes = _pixel_hashes({frame.file for frame in doubtful})
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for frame in frames:
        mark = hashes.get(frame.file)
        copy = (frame.plane.place, mark, frame.number) if mark and frame.plane is not None else None
        if copy is not None and copy in seen:
            continue
        if copy is not None:
            seen.add(copy)
        kept.append(frame)
    return kept


def _pixel_hashes(files: set[StoredFile]) -> dict[StoredFile, bytes]:
    """Digest of the stored pixels of each file that can be read."""
    hashes = {}
    for file, stream in opened(sorted(files, key=lambda file: (str(file.path), file.member))):
        dataset = None if stream is None else read_dataset(stream, voxels=True, tags=["PixelData"])
        pixels = value_of(dataset, "PixelData")
        if pixels:
            hashes[file] = hashlib.sha256(pixels).digest()
    return hashes


def read_voxels(frames: Sequence[Frame], name: str) -> NDArray[np.float32]:
    """All slices, shape (column, row, slice)."""
    plane = frames[0].plane
    assert plane is not None
    rows, columns = plane.shape
    voxels = rows * columns * len(frames)
    if not 0 < voxels <= LIMITS.image_voxels:
        raise InputError(f"{name}: {columns} x {rows} x {len(frames)} voxels, which no image has; export it again")
    check_memory(name, 4 * voxels)
    array = np.empty((columns, rows, len(frames)), np.float32)
    numbers: dict[StoredFile, list[int]] = defaultdict(list)
    for number, frame in enumerate(frames):
        numbers[frame.file].append(number)
    for file, stream in opened(numbers):
        dataset = None if stream is None else read_dataset(stream, voxels=True)
        if dataset is None:
            raise InputError(f"{name}: a file can no longer be read; export the series again")
        pixels = _pixels(dataset, name)
        if pixels.shape[-2:] != (rows, columns) or pixels.ndim not in {2, 3}:
            raise InputError(f"{name}: a file holds pixels of another shape than its header says; export it again")
        pixels = pixels.reshape(-1, rows, columns)
        for number in numbers[file]:
            frame = frames[number]
            if frame.number >= len(pixels):
                raise InputError(f"{name}: a file is cut off; copy the examination again")
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found below
                array[..., number] = pixels[frame.number].T * np.float32(frame.slope) + np.float32(frame.intercept)
    if not np.isfinite(array).all():
        raise InputError(f"{name}: holds values that are not finite or beyond float32; export it again")
    return array


def _pixels(dataset: "Dataset", name: str) -> NDArray:
    """Stored values of a file, in the range that its header gives."""
    from pydicom.uid import UID

    syntax = value_of(getattr(dataset, "file_meta", None), "TransferSyntaxUID")
    if syntax is None:
        # Files without a preamble are not compressed.
        implicit, little = dataset.original_encoding
        syntax = UID(_PLAIN[bool(implicit), bool(little)])
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = syntax
    _check_pixels(dataset, name)
    with quiet():
        try:
            return np.asarray(dataset.pixel_array)
        except Exception:
            # Every decoder has errors of its own; what they quote may name the patient.
            if not _can_decode(syntax):
                message = f"{name}: is compressed ({syntax.name}); install python-gdcm, or export it uncompressed"
            else:
                message = f"{name}: the pixels of a file are damaged or cut off; copy the examination again"
            raise InputError(message) from None


def _check_pixels(dataset: "Dataset", name: str) -> None:
    """Raise InputError where a header promises more pixels than any image has, before a decoder makes room for them."""
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames = int(dataset.get("NumberOfFrames") or 1)
        size = rows * columns * frames * max(1, int(dataset.get("BitsAllocated") or 16) // 8)
    except Exception:  # pydicom decodes a value when it is asked for, and raises errors of many kinds
        raise InputError(f"{name}: the size of a file's pixels cannot be read; export the series again") from None
    if not 0 < rows * columns * frames <= LIMITS.image_voxels:
        raise InputError(f"{name}: {columns} x {rows} x {frames} voxels, which no image has; export it again")
    check_memory(name, size)


def _can_decode(syntax: Any) -> bool:
    from pydicom.pixels import get_decoder

    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False
