"""What a NIfTI or Analyze header says, as it is stored: checked before anything is read, and without repairs."""

import math
from pathlib import Path
from typing import Any

import nibabel as nib

from tunetseg.errors import InputError
from tunetseg.limits import LIMITS, check_memory

__all__ = ["announced_bytes", "check_place", "check_sizes", "stored_header"]

_FORM_CODES = range(6)
"""From unknown to any other template."""


def stored_header(image: nib.AnalyzeImage) -> Any:
    """Return the header of a file as it is stored, without the repairs of nibabel; of the class that nibabel chose."""
    kind = type(image.header)
    with (image.file_map.get("header") or image.file_map["image"]).get_prepare_fileobj("rb") as file:
        return kind(file.read(kind.template_dtype.itemsize), check=False)


def check_place(path: Path, header: nib.Nifti1Header) -> None:
    """Raise InputError where a header leaves open where the voxels lie; nibabel would take another affine, or 1 mm."""
    codes = {name: int(header[name]) for name in ("sform_code", "qform_code")}
    for name, code in codes.items():
        if code not in _FORM_CODES:
            raise InputError(
                f"{path}: its header's {name} is {code}, which NIfTI does not define, so the place of the voxels is "
                "unclear; copy it again, or correct the header"
            )
        if code:
            break  # the first affine counts
    if not codes["sform_code"]:
        check_sizes(path, header)


def check_sizes(path: Path, header: nib.AnalyzeHeader) -> None:
    """Raise InputError where a header as it is stored has voxels of zero or negative size, which nibabel repairs."""
    sizes = header["pixdim"][1 : 1 + min(max(int(header["dim"][0]), 0), 3)]
    if (sizes <= 0).any():
        said = " x ".join(f"{size:g}" for size in sizes)
        raise InputError(f"{path}: its header gives voxels of {said} mm; copy it again, or correct the header")


def announced_bytes(path: Path, header: nib.Nifti1Header) -> int:
    """Return the bytes that a header says the image has, up to its last voxel.

    Raises:
        InputError: It contradicts itself, or asks for more than any image has or memory holds.
    """
    shape = header.get_data_shape()
    voxels = math.prod(shape)
    if math.prod(shape[:3]) > LIMITS.image_voxels:
        raise InputError(f"{path}: its header asks for {shape} voxels, more than any image has; copy it again")
    kind = header.get_data_dtype()
    bits = int(header["bitpix"])
    if bits not in {0, 8 * kind.itemsize}:
        raise InputError(
            f"{path}: its header says {bits} bits per voxel, but {kind} has {8 * kind.itemsize}; copy it again"
        )
    begin, least = int(header["vox_offset"]), header.single_vox_offset if header.is_single else 0
    if begin < least:  # nibabel would take the header itself for voxels where it says 0
        raise InputError(
            f"{path}: its header says that the voxels begin at byte {begin}, before {least}; copy it again"
        )
    announced = begin + voxels * kind.itemsize
    # The file's own bytes, and one volume as it is stored and as float32.
    check_memory(path, announced + (kind.itemsize + 4) * math.prod(shape[:3]))
    return announced
