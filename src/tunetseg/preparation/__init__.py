"""From files to the arrays that networks see: volumes, normalisation, resampling, cache."""

from tunetseg.preparation.prepare import Prepared, Preprocessing, foreground_mask, prepare
from tunetseg.preparation.volume import Volume, read_volume, stack_images

__all__ = ["Prepared", "Preprocessing", "Volume", "foreground_mask", "prepare", "read_volume", "stack_images"]
