"""The images of a case as one array."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import Case, DatasetDescription, Missing
from tunetseg.errors import InputError
from tunetseg.findings import listed
from tunetseg.io import Grid, Image, check_same_lattice, read_volumes
from tunetseg.io.grid import check_voxel_size
from tunetseg.limits import check_memory, processors
from tunetseg.preparation.background import Background, clean
from tunetseg.preparation.regrid import regrid
from tunetseg.preparation.sparse import sparse_zeros

__all__ = ["Grids", "Regridded", "Volume", "read_volume", "stack_images"]

Grids = Literal["one", "any"]
"""Whether the images of a case must lie on one grid, or are brought to one."""

_REFERENCE = "t1ce"
"""Channel to whose grid the others are brought, where there is one of this name: mostly the finest."""


@dataclass(frozen=True)
class Regridded:
    """A channel that was brought to the grid of another.

    Args:
        channel: Its name.
        lost: Share of what it shows that lies outside of that grid.
        covered: Share of what the reference shows that lies within its field of view.
    """

    channel: str
    lost: float
    covered: float


_THREADS = min(4, processors())
"""Files that are read at once."""

_SLAB = 8
"""Planes that are copied at once, which the cache of a processor holds."""


@dataclass(frozen=True, eq=False)
class Volume:
    """The images of a case as one array.

    Args:
        array: float32, shape (channel, x, y, z), axes towards left, posterior, superior; 0 where a channel is missing.
        grid: Where its voxels lie, in the same order of axes.
        stored: The same lattice in the order of axes of the reference's file, in which results are written.
        oriented: False where the reference's file does not say how the patient lies.
        missing: Names of the channels that the case lacks.
        background: What was found of the background of each channel, which is 0 in ``array``; empty where the
            description says which values are foreground.
        reference: The channel whose grid this is.
        regridded: The channels that were brought to it.
    """

    array: NDArray[np.float32]
    grid: Grid
    stored: Grid
    oriented: bool = True
    missing: tuple[str, ...] = ()
    background: tuple[Background, ...] = ()
    reference: str = ""
    regridded: tuple[Regridded, ...] = ()


def read_volume(
    case: Case,
    description: DatasetDescription,
    *,
    missing: Missing = "raise",
    grids: Grids = "one",
    reference: str | None = None,
) -> Volume:
    """Read the images of a case.

    Args:
        case: Says where the files are.
        description: Says which channels are needed, and in which order.
        missing: ``allow`` accepts one channel; the others are replaced by zeros.
        grids: ``any`` brings images on other grids to that of the reference; ``one`` refuses them.
        reference: As for `stack_images`.

    Raises:
        InputError: A file is missing, damaged, not 3-D, constant, not finite, on another lattice than the reference, or
            the same as another.
    """
    case.check(description.channel_names, missing=missing)
    channels = [name for name in description.channel_names if name in case.images]
    by_file: dict[Path, list[str]] = {}
    for name in channels:
        if name not in case.series:
            by_file.setdefault(case.images[name], []).append(name)

    def read(path: Path, names: list[str]) -> list[tuple[str, Image]]:
        several = read_volumes(path, [case.volumes.get(name) for name in names])
        # The images, the volume, and one copy on the way to the network.
        check_memory(path, 3 * 4 * len(description.channels) * several[0].array.size)
        return list(zip(names, several, strict=True))

    images = {name: case.series[name].read() for name in channels if name in case.series}
    with ThreadPoolExecutor(_THREADS) as pool:  # decompression does not hold Python's lock
        images |= (pair for pairs in pool.map(read, by_file, by_file.values()) for pair in pairs)
    sources = {name: case.source(name) for name in channels}
    return _stack(images, description, sources, missing, grids, reference)


def stack_images(
    images: Mapping[str, Image],
    description: DatasetDescription,
    *,
    missing: Missing = "raise",
    grids: Grids = "one",
    reference: str | None = None,
) -> Volume:
    """Return images as one volume; a background that is not 0 is found and set to 0.

    Args:
        images: Channel -> image.
        description: Says which channels are needed, and in which order.
        missing: ``allow`` accepts one channel; the others are replaced by zeros.
        grids: ``any`` brings images on other grids to that of the reference; ``one`` refuses them.
        reference: Channel on whose grid the volume lies; by default the first, and T1ce where the grids differ.

    Raises:
        InputError: An image is missing, constant, the same as another, on another lattice than the reference, or far
            away from it.
    """
    return _stack(dict(images), description, {}, missing, grids, reference)


def _stack(
    images: dict[str, Image],
    description: DatasetDescription,
    sources: Mapping[str, str],
    missing: Missing,
    grids: Grids,
    reference: str | None,
) -> Volume:
    """Do what `stack_images` does, and take each image out of the dictionary as soon as it is copied."""
    every = description.channel_names
    names = [name for name in every if name in images]
    source = {name: f"{name} image" for name in every} | dict(sources)
    absent = tuple(name for name in every if name not in images)
    if not names or (absent and missing == "raise"):
        needed = f"all of {', '.join(every)} are" if missing == "raise" else "one of them is"
        way_out = ', unless missing="allow"' if names else ""
        raise InputError(f"no {listed(absent, 'or')} image; {needed} needed{way_out}")
    chosen = _reference(images, names, reference, grids)
    first = images[chosen]
    grid, stored, oriented = first.grid, first.stored, first.oriented
    del first
    for number, name in enumerate(names):
        _check_content(images[name].array, name, source[name], description)
        if grids == "one":
            check_same_lattice(source[name], images[name].stored, source[chosen], stored)
        for earlier in names[:number]:
            if _is_the_same(images[earlier].array, images[name].array):
                raise InputError(
                    f"{source[name]}: the same voxels as {source[earlier]}; {name} and {earlier} must differ"
                )
    array, brought = _place(images, description, source, chosen)
    background: tuple[Background, ...] = ()
    if description.foreground.kind == "nonzero":
        array, cleaned = clean(array)
        before = {name: found for name, (_, found) in brought.items() if found is not None}
        background = tuple(before.get(name, one) for name, one in zip(every, cleaned, strict=True))
    moved = tuple(replace(one, channel=name) for name, (one, _) in brought.items())
    return Volume(array, grid, stored, oriented, absent, background, chosen, moved)


def _place(
    images: dict[str, Image], description: DatasetDescription, source: Mapping[str, str], chosen: str
) -> tuple[NDArray[np.float32], dict[str, tuple[Regridded, Background | None]]]:
    """Return images on the grid of the chosen one as one array, and what was brought there; empty the dictionary."""
    first = images[chosen]
    # In C order, whatever the order of the files, in which all that follows is faster.
    array = sparse_zeros((len(description.channel_names), *first.array.shape))

    def place(name: str) -> tuple[Regridded, Background | None] | None:
        image, here = images.pop(name), array[description.channel_names.index(name)]
        if not image.stored.same_lattice(first.stored):
            return _bring(image, here, first, description, (source[name], source[chosen]))
        _copy_content(image.array, here)
        return None

    names = [name for name in description.channel_names if name in images]
    with ThreadPoolExecutor(min(_THREADS, len(names))) as pool:
        found = dict(zip(names, pool.map(place, names), strict=True))
    return array, {name: one for name, one in found.items() if one is not None}


def _copy_content(source: NDArray, target: NDArray[np.float32]) -> None:
    """Copy an image into zeros, shape (x, y, z); what is 0 around its content is not written."""
    for begin in range(0, len(source), _SLAB):
        slab = np.array(source[begin : begin + _SLAB], np.float32, order="C")
        rows = np.flatnonzero(slab.any(axis=(0, 2)))
        if rows.size:
            inside = slice(rows[0], rows[-1] + 1)
            target[begin : begin + _SLAB, inside] = slab[:, inside]


def _is_the_same(first: NDArray, second: NDArray) -> bool:
    """Return whether two arrays are equal; their middle slices, which are compared first, differ nearly always."""
    if first.shape != second.shape:
        return False
    middle = first.shape[2] // 2
    return np.array_equal(first[..., middle], second[..., middle]) and np.array_equal(first, second)


def _reference(images: Mapping[str, Image], names: Sequence[str], asked: str | None, grids: Grids) -> str:
    """Return the channel whose grid is used."""
    if asked is not None:
        if asked not in names:
            raise InputError(f"reference {asked!r}: there is no such image; choose from {', '.join(names)}")
        return asked
    first = images[names[0]].stored
    same = grids == "one" or all(images[name].stored.same_lattice(first) for name in names)
    return names[0] if same or _REFERENCE not in names else _REFERENCE


def _bring(
    image: Image, here: NDArray[np.float32], first: Image, description: DatasetDescription, sources: tuple[str, str]
) -> tuple[Regridded, Background | None]:
    """Write an image, brought to the grid of another, into an array; what is not seen of it stays background."""
    for source, one in zip(sources, (image, first), strict=True):
        if not one.oriented:
            raise InputError(
                f"{source}: does not say how the patient lies, so that {sources[0]} cannot be brought to the grid of "
                f"{sources[1]}; bring both to one grid first"
            )
        check_voxel_size(source, one.grid)
    values, found = image.array.astype(np.float32, copy=False), None
    masked = description.foreground.kind == "nonzero"
    if masked:
        cleaned, (found,) = clean(values[None])
        values = cleaned[0]
    here[...] = regrid(values, image.grid, first.grid, masked=masked, outside=0 if masked else float(values.min()))
    view = regrid(np.ones(values.shape, np.float32), image.grid, first.grid) > 0
    if not view.any() or here.min() == here.max():
        fault = f"{sources[0]}: shows no place that {sources[1]} shows"
        if image.stored.shape == first.stored.shape:
            raise InputError(
                f"{fault}, though both have the shape {image.stored.shape}; if they show the same voxels, copy the "
                "header of one to the other, else register them"
            )
        raise InputError(f"{fault}; register one to the other, or check that both are of one patient")
    if not masked:
        return Regridded("", 0.0, float(view.mean())), None
    ml = float((values != 0).sum()) * image.grid.voxel_ml
    kept = float((here != 0).sum()) * first.grid.voxel_ml
    shown = clean(first.array.astype(np.float32, copy=False)[None])[0][0] != 0
    return Regridded("", max(0.0, 1 - kept / ml), float(view[shown].mean()) if shown.any() else 1.0), found


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
