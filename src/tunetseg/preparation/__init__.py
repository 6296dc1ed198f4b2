"""From files to the arrays that networks see: volumes, normalisation, resampling, cache."""

from tunetseg.preparation.prepare import (
    Prepared,
    Preprocessing,
    WorkingGrid,
    find_working_grid,
    foreground_mask,
    prepare,
)
from tunetseg.preparation.volume import Grids, Regridded, Volume, read_volume, stack_images

__all__ = [
    "Grids",
    "Prepared",
    "Preprocessing",
    "Regridded",
    "Volume",
    "WorkingGrid",
    "find_working_grid",
    "foreground_mask",
    "prepare",
    "read_volume",
    "stack_images",
]
