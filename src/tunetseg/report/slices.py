"""Slices of a patient as small pictures that need no viewer: for print, and for browsers without WebGL."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import Channel
from tunetseg.metrics import Diameters
from tunetseg.report.palette import REFERENCE, UNCERTAINTY_MAP, colour_table, region_colours, rgb
from tunetseg.report.view import PatientView

__all__ = [
    "BACKGROUND_CHANNEL",
    "OPACITY",
    "Cut",
    "Line",
    "Picture",
    "axial_cut",
    "display_limits",
    "encode_picture",
    "grey_slice",
    "labelled_slice",
    "patient_pictures",
    "thumbnail",
]

BACKGROUND_CHANNEL = "t1ce"
"""Drawn under labels where there is one; else the first channel."""

OPACITY = 0.6
"""Of regions over an image."""

_SCALE = 2
"""Pixels per voxel, so that borders of labels stay sharp."""

Plane = Literal["axial", "coronal", "sagittal"]
_AXES: dict[Plane, tuple[int, int, int]] = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}
"""Axis across the plane, axis from left to right, axis from top to bottom (of LPS; the last is turned for z)."""


@dataclass(frozen=True)
class Line:
    """A straight line over a picture, in mm from its upper left corner."""

    x1: float
    y1: float
    x2: float
    y2: float
    dashed: bool = False


@dataclass(frozen=True)
class Picture:
    """One slice.

    Args:
        title: What is shown.
        alt: The same for those who cannot see it.
        data: The image as a data URL.
        width: In mm.
        height: In mm.
        ends: Letters at the left and right edge: R and L, or A and P; empty where nothing says how the patient lies.
        lines: Diameters.
    """

    title: str
    alt: str
    data: str
    width: float
    height: float
    ends: tuple[str, str]
    lines: tuple[Line, ...] = field(default=())


@dataclass(frozen=True, eq=False)
class Cut:
    """A plane through the patient and the part of it that shows anything."""

    plane: Plane
    level: int
    rows: slice
    columns: slice
    mm: tuple[float, float]

    def of(self, array: NDArray) -> NDArray:
        """Return the slice of an array of shape (..., x, y, z), rows from top to bottom."""
        across, _, down = _AXES[self.plane]
        cut = np.take(array, self.level, axis=array.ndim - 3 + across)
        cut = np.swapaxes(cut, -1, -2)
        if down == 2:
            cut = cut[..., ::-1, :]
        return cut[..., self.rows, self.columns]


def patient_pictures(view: PatientView, diameters: Diameters | None) -> list[tuple[str, list[Picture]]]:
    """Return the pictures of a patient in titled rows.

    Args:
        view: What is shown.
        diameters: Drawn over the axial slice of the labels, if that is where they were measured.
    """
    levels = _levels(view, diameters)
    axial = _cut(view, "axial", levels[2])
    rows = []
    if view.images is not None:
        shown = [
            _picture(view, axial, channel.title or channel.name, grey_slice(view, axial, channel.name))
            for channel in view.dataset.channels
            if channel.name not in view.missing
        ]
        rows.append(("Images", shown))
    cuts = (axial, _cut(view, "coronal", levels[1]), _cut(view, "sagittal", levels[0]))
    title = "Segmentation, reference as lines" if view.reference is not None else "Segmentation"
    rows.append((title, [_labelled(view, cut, diameters) for cut in cuts]))
    if view.uncertainty is not None:
        shown = [
            _picture(view, axial, f"uncertainty of {region}", _mapped(view, axial, axial.of(unsure)))
            for region, unsure in zip(view.dataset.region_names, view.uncertainty, strict=True)
        ]
        rows.append(("Uncertainty over the image, 0 certain (nothing) to 100 uncertain (white)", shown))
    return rows


def thumbnail(view: PatientView) -> Picture:
    """Return the axial slice with the most tumour, with labels."""
    return _labelled(view, axial_cut(view), None, scale=1)


def axial_cut(view: PatientView) -> Cut:
    """Return the axial slice with the most tumour."""
    return _cut(view, "axial", _levels(view, None)[2])


def display_limits(image: NDArray[np.float32], channel: Channel) -> tuple[float, float]:
    """Return the intensities that are drawn black and white.

    Args:
        image: Of the channel, any shape.
        channel: Its description, which says the range of CT.
    """
    low, high = channel.normalisation.low, channel.normalisation.high
    if low is not None and high is not None:
        return low, high
    inside = image[image != 0]
    if not inside.size:
        return 0.0, 1.0
    low, high = min(0.0, float(inside.min())), float(np.percentile(inside, 99.5))
    return low, high if high > low else low + 1.0


def _levels(view: PatientView, diameters: Diameters | None) -> tuple[int, int, int]:
    """Return the slices with the most tumour, or those through the middle."""
    nesting = view.nesting > 0
    if not nesting.any():
        x, y, z = (length // 2 for length in nesting.shape)
        return x, y, z
    x, y, z = (int(nesting.sum(axis=tuple(other for other in range(3) if other != axis)).argmax()) for axis in range(3))
    return x, y, z if diameters is None else diameters.slice


def _cut(view: PatientView, plane: Plane, level: int) -> Cut:
    _, right, down = _AXES[plane]
    whole = Cut(plane, level, slice(None), slice(None), (view.grid.spacing[down], view.grid.spacing[right]))
    shown = whole.of(view.seen)
    if not shown.any():
        return whole
    top, left = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(max(0, int(places[0]) - 4), int(places[-1]) + 5) for places in (top, left))
    return replace(whole, rows=rows, columns=columns)


def grey_slice(view: PatientView, cut: Cut, channel: str) -> NDArray[np.float32]:
    """Return a slice of a channel as colours, shape (row, column, 3), 0 to 255."""
    number = view.dataset.channel_names.index(channel)
    assert view.images is not None
    low, high = display_limits(view.images[number], view.dataset.channels[number])
    grey = np.clip((cut.of(view.images[number]) - low) / (high - low), 0, 1) * 255
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)


def _mapped(view: PatientView, cut: Cut, percent: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return uncertainty as colours over a dim image; what is certain covers nothing."""
    colours = np.array(colour_table(UNCERTAINTY_MAP, 101), np.float32)[np.minimum(percent, 100)]
    weight = np.minimum(percent / 20, 1)[..., None].astype(np.float32)
    return _background(view, cut) * 0.45 * (1 - weight) + colours * weight


def _background(view: PatientView, cut: Cut) -> NDArray[np.float32]:
    """Return the slice of the image that is drawn under labels; black where there is none."""
    names = [name for name in view.dataset.channel_names if name not in view.missing]
    if view.images is None or not names:
        return np.zeros((*cut.of(view.nesting).shape, 3), np.float32)
    return grey_slice(view, cut, BACKGROUND_CHANNEL if BACKGROUND_CHANNEL in names else names[0])


def _labelled(view: PatientView, cut: Cut, diameters: Diameters | None, scale: int = _SCALE) -> Picture:
    base = labelled_slice(view, cut, view.nesting)
    lines = (
        None if view.reference is None else _outline(np.kron(cut.of(view.reference), np.ones((scale, scale), np.uint8)))
    )
    drawn = () if diameters is None or cut.plane != "axial" or diameters.slice != cut.level else _lines(diameters, cut)
    return _picture(view, cut, f"{cut.plane} slice", base, outline=lines, lines=drawn, scale=scale)


def labelled_slice(view: PatientView, cut: Cut, nesting: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a slice of regions over the image as colours, shape (row, column, 3), 0 to 255.

    Args:
        view: Whose image.
        cut: Which slice.
        nesting: How many regions hold each voxel, shape (x, y, z).
    """
    shown = cut.of(nesting)
    colours = np.array([(0, 0, 0), *map(rgb, region_colours(len(view.dataset.regions)))], np.float32)
    weight = OPACITY * (shown > 0)[..., None]
    return (_background(view, cut) * (1 - weight) + colours[shown] * weight).astype(np.float32)


def _outline(nesting: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the pixels of an area that touch a pixel of less depth."""
    padded = np.pad(nesting, 1)
    inner = padded[1:-1, 1:-1]
    around = np.minimum.reduce([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
    return around < inner


def _lines(diameters: Diameters, cut: Cut) -> tuple[Line, ...]:
    down, right = cut.mm
    top, left = cut.rows.start or 0, cut.columns.start or 0
    return tuple(
        Line(
            (ends[0][0] - left + 0.5) * right,
            (ends[0][1] - top + 0.5) * down,
            (ends[1][0] - left + 0.5) * right,
            (ends[1][1] - top + 0.5) * down,
            dashed,
        )
        for ends, dashed in ((diameters.longest, False), (diameters.perpendicular, True))
    )


def _picture(
    view: PatientView,
    cut: Cut,
    title: str,
    colours: NDArray[np.float32],
    *,
    outline: NDArray[np.bool_] | None = None,
    lines: Sequence[Line] = (),
    scale: int = _SCALE,
) -> Picture:
    down, right = cut.mm
    height, width, _ = colours.shape
    enlarged = np.kron(colours, np.ones((scale, scale, 1), np.float32))
    if outline is not None:
        enlarged[outline] = rgb(REFERENCE)
    ends = ("A", "P") if cut.plane == "sagittal" else ("R", "L")
    if not view.oriented:
        ends = ("", "")
    place = cut.level + 1
    return Picture(
        title,
        f"{title}: {cut.plane} slice {place} of {view.grid.shape[_AXES[cut.plane][0]]}",
        encode_picture(enlarged),
        width * right,
        height * down,
        ends,
        tuple(lines),
    )


def encode_picture(colours: NDArray[np.float32]) -> str:
    """Return a picture of shape (row, column, 3), 0 to 255, as a data URL."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.rint(colours).astype(np.uint8)).save(buffer, format="WEBP", quality=88, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
