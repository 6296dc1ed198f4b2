"""Geometry, readers and writers."""

from tunetseg.io.grid import Grid, check_same_lattice
from tunetseg.io.nifti import (
    Image,
    image_from_array,
    image_from_nibabel,
    labels_of,
    read_image,
    read_label_map,
    read_volumes,
    write_image,
)

__all__ = [
    "Grid",
    "Image",
    "check_same_lattice",
    "image_from_array",
    "image_from_nibabel",
    "labels_of",
    "read_image",
    "read_label_map",
    "read_volumes",
    "write_image",
]
