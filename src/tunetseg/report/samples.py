"""The sample slices that training leaves: reference and prediction side by side."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunetseg.io.bounded import open_file
from tunetseg.limits import LIMITS
from tunetseg.report.palette import region_colours, rgb
from tunetseg.report.slices import BACKGROUND_CHANNEL, OPACITY, Picture, encode_picture

__all__ = ["Sample", "read_samples"]

_SCALE = 2


@dataclass(frozen=True)
class Sample:
    """One validation case.

    Args:
        case: Its name.
        pictures: Reference and prediction.
    """

    case: str
    pictures: tuple[Picture, Picture]


def read_samples(path: Path, regions: int) -> list[Sample]:
    """Return the samples of a stage; empty where there are none, or the file is damaged.

    Args:
        path: The file ``samples.npz`` in the folder of a stage.
        regions: Number of regions.
    """
    try:
        arrays = _read(path)
        channels = [str(name) for name in arrays["channels"]]
        shown = channels.index(BACKGROUND_CHANNEL) if BACKGROUND_CHANNEL in channels else 0
        epoch, samples = int(arrays["epoch"]), []
        columns = (arrays[name] for name in ("cases", "image", "reference", "prediction"))
        for case, image, reference, prediction in zip(*columns, strict=True):
            pictures = (
                _picture(f"{case}: reference", image[shown], reference, regions),
                _picture(f"{case}: prediction, epoch {epoch}", image[shown], prediction, regions),
            )
            samples.append(Sample(str(case), pictures))
    except Exception:  # damaged archives and arrays raise errors of many kinds
        return []
    return samples


def _read(path: Path) -> dict[str, NDArray]:
    with open_file(path) as file:
        with zipfile.ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > LIMITS.text_bytes:
                raise ValueError("larger than any samples")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def _picture(title: str, image: NDArray[np.uint8], nesting: NDArray[np.uint8], regions: int) -> Picture:
    """Return a slice, shape (x, y), with regions over it; rows go from front to back, columns from right to left."""
    colours: Sequence[tuple[int, int, int]] = [(0, 0, 0), *map(rgb, region_colours(regions))]
    depth = np.minimum(nesting.T, regions)
    weight = OPACITY * (depth > 0)[..., None]
    grey = np.repeat(image.T[..., None], 3, axis=-1)
    drawn = (grey * (1 - weight) + np.array(colours)[depth] * weight).astype(np.float32)
    height, width = depth.shape
    enlarged = np.kron(drawn, np.ones((_SCALE, _SCALE, 1), np.float32))
    return Picture(title, title, encode_picture(enlarged), width, height, ("", ""))
