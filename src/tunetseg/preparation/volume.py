"""The images of a case as one array."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import Case, DatasetDescription, Missing
from tunetseg.errors import InputError
from tunetseg.io import Grid, Image, check_same_lattice, read_volumes
from tunetseg.limits import check_memory
from tunetseg.preparation.background import Background, clean

__all__ = ["Volume", "read_volume", "stack_images"]


_THREADS = min(4, os.cpu_count() or 1)
"""Files that are read at once."""


@dataclass(frozen=True, eq=False)
class Volume:
    """The images of a case as one array.

    Args:
        array: float32, shape (channel, x, y, z), axes towards left, posterior, superior; 0 where a channel is missing.
        grid: Where its voxels lie, in the same order of axes.
        stored: The same lattice in the order of axes of the first file, in which results are written.
        oriented: False where the first file does not say how the patient lies.
        missing: Names of the channels that the case lacks.
        background: What was found of the background of each channel, which is 0 in ``array``; empty where the
            description says which values are foreground.
    """

    array: NDArray[np.float32]
    grid: Grid
    stored: Grid
    oriented: bool = True
    missing: tuple[str, ...] = ()
    background: tuple[Background, ...] = ()


def read_volume(case: Case, description: DatasetDescription, *, missing: Missing = "raise") -> Volume:
    """Read the images of a case.

    Args:
        case: Says where the files are.
        description: Says which channels are needed, and in which order.
        missing: ``allow`` is content with one channel; zeros stand in place of the others.

    Raises:
        InputError: A file is missing, damaged, not 3-D, constant, not finite, on another lattice than the first, or
            the same as another.
    """
    case.check(description.channel_names, missing=missing)
    channels = [name for name in description.channel_names if name in case.images]
    by_file: dict[Path, list[str]] = {}
    for name in channels:
        by_file.setdefault(case.images[name], []).append(name)

    def read(path: Path, names: list[str]) -> list[Image]:
        found = read_volumes(path, [case.volumes.get(name) for name in names])
        # The images, the volume, and one copy on the way to the network.
        check_memory(path, 3 * 4 * len(description.channels) * found[0].array.size)
        return found

    with ThreadPoolExecutor(min(_THREADS, len(by_file))) as pool:  # decompression does not hold Python's lock
        results = pool.map(read, by_file, by_file.values())
        images = {
            name: image
            for names, several in zip(by_file.values(), results, strict=True)
            for name, image in zip(names, several, strict=True)
        }
    del results  # or it would hold the images while they are stacked
    return _stack(images, description, {name: str(case.images[name]) for name in channels}, missing)


def stack_images(
    images: Mapping[str, Image],
    description: DatasetDescription,
    sources: Mapping[str, str] | None = None,
    *,
    missing: Missing = "raise",
) -> Volume:
    """Return images as one volume; a background that is not 0 is found and set to 0.

    Args:
        images: Channel -> image.
        description: Says which channels are needed, and in which order.
        sources: Channel -> file, for errors; by default the names of the channels.
        missing: ``allow`` is content with one channel; zeros stand in place of the others.

    Raises:
        InputError: An image is missing, constant, on another lattice than the first, or the same as another.
    """
    return _stack(dict(images), description, sources, missing)


def _stack(
    images: dict[str, Image], description: DatasetDescription, sources: Mapping[str, str] | None, missing: Missing
) -> Volume:
    """Do what `stack_images` does, and take each image out of the dictionary as soon as it is copied."""
    every = description.channel_names
    names = [name for name in every if name in images]
    source = {name: f"{name} image" for name in every} | dict(sources or {})
    absent = tuple(name for name in every if name not in images)
    if not names or (absent and missing == "raise"):
        needed = f"all of {', '.join(every)} are" if missing == "raise" else "one of them is"
        raise InputError(f"no {' and no '.join(absent)} image; {needed} needed")
    first = images[names[0]]
    for number, name in enumerate(names):
        image = images[name]
        _check_content(image.array, name, source[name], description)
        check_same_lattice(source[name], image.stored, source[names[0]], first.stored)
        for earlier in names[:number]:
            if _is_the_same(images[earlier].array, image.array):
                raise InputError(
                    f"{source[name]}: the same voxels as {source[earlier]}; {name} and {earlier} must differ"
                )
    # In C order, whatever the order of the files, in which all that follows is faster.
    array = np.zeros((len(every), *first.array.shape), np.float32)
    grid, stored, oriented = first.grid, first.stored, first.oriented
    del first, image
    with ThreadPoolExecutor(min(_THREADS, len(names))) as pool:
        list(pool.map(lambda name: np.copyto(array[every.index(name)], images.pop(name).array), names))
    background: tuple[Background, ...] = ()
    if description.foreground.kind == "nonzero":
        array, background = clean(array)
    return Volume(array, grid, stored, oriented, absent, background)


def _is_the_same(first: NDArray, second: NDArray) -> bool:
    """Return whether two arrays are equal; their middle slices, which are compared first, differ nearly always."""
    middle = first.shape[2] // 2
    return np.array_equal(first[..., middle], second[..., middle]) and np.array_equal(first, second)


def _check_content(array: NDArray, name: str, source: str, description: DatasetDescription) -> None:
    """Raise InputError where an image shows nothing."""
    low, high = float(array.min()), float(array.max())
    if low == high:
        value = "zero" if low == 0 else f"{low:g}"
        raise InputError(f"{source}: every voxel is {value}; the {name} image is missing its content")
    if description.foreground.kind == "nonzero":
        middle = array[..., array.shape[2] // 2]
        inside = middle[middle != 0]
        if len(inside) and inside.min() != inside.max():
            return
        inside = array[array != 0]
        if len(inside) > 1 and inside.min() == inside.max():
            raise InputError(f"{source}: every voxel of the brain is {inside[0]:g}; the {name} image shows nothing")
