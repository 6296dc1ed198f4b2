"""One picture of a segmented patient: images, labels and uncertainty in the slice with the most tumour."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from tunetseg.inference.segmentation import NOT_A_DEVICE, Segmentation
from tunetseg.inference.uncertainty import uncertainty
from tunetseg.io.files import SIGNATURE, whole_file
from tunetseg.report.palette import region_colours

__all__ = ["draw_segmentation", "save_figure"]

_BACKGROUND_CHANNEL = "t1ce"


def draw_segmentation(
    result: Segmentation, *, reference: NDArray[np.uint8] | None = None, invalid_reference: bool = False
) -> Figure:
    """Draw the axial slice that holds the most tumour, as radiologists look at it: the patient's right on the left.

    The upper row shows the images, the lower one the labels and the uncertainty of each region.

    Args:
        result: What to draw; without its images the labels are drawn on black.
        reference: Nesting of a reference segmentation in the order of axes of the result, drawn as white lines.
        invalid_reference: Say in a title that there is a reference that cannot be read.

    Returns:
        A matplotlib figure.
    """
    grid = result.grid.in_lps()
    nesting = result.grid.to_lps(result.scheme.nesting(result.label_map))
    level = int((nesting > 0).sum(axis=(0, 1)).argmax()) if nesting.any() else nesting.shape[2] // 2
    images = _images(result, level)
    box = _box([image for _, image in images])
    unsure = result.grid.to_lps(result.probabilities)[..., level]
    columns = max(len(images), 1 + len(result.regions))
    wide, high = images[0][1][box].shape
    aspect = grid.spacing[1] / grid.spacing[0]
    figure = Figure(figsize=(2.6 * columns, 5.2 * high * aspect / wide + 1.3), layout="constrained", facecolor="black")
    upper, lower = figure.subplots(2, columns, squeeze=False)
    for axes in (*upper, *lower):
        axes.axis("off")
    for axes, (title, image) in zip(upper, images, strict=False):
        _show(axes, image[box], title, aspect)
    _labels(lower[0], _background(result, images)[box], nesting[:, :, level][box], len(result.regions), aspect)
    if reference is not None:
        _lines(lower[0], result.grid.to_lps(reference)[:, :, level][box])
    elif invalid_reference:
        _title(lower[0], "segmentation (its reference cannot be read)")

    for axes, region, probability in zip(lower[1:], result.regions, unsure, strict=False):
        drawn = _show(axes, uncertainty(probability)[box], f"uncertainty of {region}", aspect, "magma", (0, 100))
    figure.colorbar(drawn, ax=lower[1:], location="bottom", shrink=0.4, aspect=30, label="0 certain to 100 uncertain")
    _words(figure, result)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the file appears only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png", metadata={"Software": SIGNATURE})


def _images(result: Segmentation, level: int) -> list[tuple[str, NDArray]]:
    """Title and slice of each image."""
    if result.images is None:
        return [("", np.zeros(result.grid.in_lps().shape[:2], np.float32))]
    slices = result.grid.to_lps(result.images)[..., level]
    return [
        (channel.title or channel.name, image) for channel, image in zip(result.dataset.channels, slices, strict=True)
    ]


def _background(result: Segmentation, images: list[tuple[str, NDArray]]) -> NDArray:
    names = result.dataset.channel_names
    chosen = names.index(_BACKGROUND_CHANNEL) if _BACKGROUND_CHANNEL in names and len(images) == len(names) else 0
    return images[chosen][1]


def _box(images: list[NDArray], margin: int = 6) -> tuple[slice, slice]:
    """Where anything is to be seen in a slice, with a margin."""
    seen = np.any([image != image.min() for image in images], axis=0)
    if not seen.any():
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def _title(axes: Axes, title: str) -> None:
    axes.set_title(title, color="white", fontsize=9)


def _show(
    axes: Axes,
    image: NDArray,
    title: str,
    aspect: float,
    colours: str = "gray",
    limits: tuple[float, float] | None = None,
) -> Any:
    """Rows run to the back, columns to the patient's left."""
    _title(axes, title)
    if limits is None:
        inside = image[image > image.min()]
        low, high = float(image.min()), float(np.percentile(inside, 99.5)) if inside.size else 1.0
        limits = (min(low, 0.0) if low > -10 else max(low, -200.0), high)
    return axes.imshow(image.T, cmap=colours, vmin=limits[0], vmax=limits[1], aspect=aspect, interpolation="nearest")


def _labels(axes: Axes, background: NDArray, nesting: NDArray[np.uint8], regions: int, aspect: float) -> None:
    _show(axes, background, "segmentation", aspect)
    shown = np.ma.masked_equal(nesting, 0)
    colours = ListedColormap(region_colours(regions))
    axes.imshow(shown.T, cmap=colours, vmin=0.5, vmax=regions + 0.5, alpha=0.6, aspect=aspect, interpolation="nearest")


def _lines(axes: Axes, nesting: NDArray[np.uint8]) -> None:
    if nesting.any():
        axes.contour(nesting.T, levels=np.arange(nesting.max()) + 0.5, colors="white", linewidths=0.6)
    _title(axes, "segmentation, reference as lines")


def _words(figure: Figure, result: Segmentation) -> None:
    figure.suptitle(f"{result.case}: {result.summary()}", color="white", fontsize=11, parse_math=False)
    colours = region_colours(len(result.regions))
    handles = [
        Patch(color=colour, label=result.scheme.values[value])
        for colour, value in zip(colours, result.scheme.exclusive_labels, strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=4,
        fontsize=8,
        labelcolor="white",
        facecolor="black",
        edgecolor="black",
    )
    figure.text(0.995, 0.012, NOT_A_DEVICE, color="white", fontsize=8, ha="right")
    figure.axes[-1].xaxis.label.set_color("white")
    figure.axes[-1].tick_params(colors="white", labelsize=8)
