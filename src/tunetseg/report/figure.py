"""One picture of a segmented patient: images, labels and uncertainty in the slice with the most tumour."""

from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
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
from tunetseg.report.slices import BACKGROUND_CHANNEL, display_limits

__all__ = ["draw_segmentation", "save_figure"]


@dataclass(frozen=True)
class _Panel:
    """An axial slice of an image; rows are x, columns y.

    Args:
        title: Heading.
        image: Shape (x, y).
        limits: Values that are drawn black and white.
    """

    title: str
    image: NDArray
    limits: tuple[float, float]


def draw_segmentation(
    result: Segmentation, *, reference: NDArray[np.integer] | None = None, invalid_reference: bool = False
) -> Figure:
    """Draw the axial slice that holds the most tumour, as radiologists look at it: the patient's right on the left.

    The upper row shows the images, the lower one the labels and the uncertainty of each region.

    Args:
        result: What to draw; without its images the labels are drawn on black.
        reference: Label map of a reference segmentation, with the shape, axes and label values of that of the result,
            drawn as white lines.
        invalid_reference: Say in a title that there is a reference that cannot be read.

    Returns:
        A matplotlib figure.
    """
    grid = result.grid.in_lps()
    nesting = result.grid.to_lps(result.scheme.nesting(result.label_map))
    level = int((nesting > 0).sum(axis=(0, 1)).argmax()) if nesting.any() else nesting.shape[2] // 2
    panels = _panels(result, level)
    box = _box(panels)
    aspect = grid.spacing[1] / grid.spacing[0]
    columns = max(len(panels), 1 + len(result.regions))
    width, height = panels[0].image[box].shape
    size = (2.6 * columns, 5.2 * height * aspect / width + 1.3)
    figure = Figure(figsize=size, layout="constrained", facecolor="black")
    upper, lower = figure.subplots(2, columns, squeeze=False)
    for axes in (*upper, *lower):
        axes.axis("off")
    for axes, panel in zip(upper, panels, strict=False):
        _show(axes, panel, box, aspect)
    if result.oriented:
        _write_sides(upper[0])
    title = "segmentation (its reference cannot be read)" if invalid_reference else "segmentation"
    _show(lower[0], replace(_background(panels, result), title=title), box, aspect)
    _draw_labels(lower[0], nesting[:, :, level][box], len(result.regions), aspect)
    if reference is not None:
        _draw_lines(lower[0], result.grid.to_lps(result.scheme.nesting(reference))[:, :, level][box])
    probabilities = result.calibrated(result.grid.to_lps(result.probabilities)[..., level])
    for axes, region, probability in zip(lower[1:], result.regions, probabilities, strict=False):
        panel = _Panel(f"uncertainty of {region}", uncertainty(probability), (0, 100))
        drawn = _show(axes, panel, box, aspect, colours="magma")
    bar = figure.colorbar(drawn, ax=lower[1:], location="bottom", shrink=0.4, aspect=30)
    bar.set_label("0 certain to 100 uncertain", color="white")
    bar.ax.tick_params(colors="white", labelsize=8)
    _write_text(figure, result, f"axial slice {level + 1} of {nesting.shape[2]}, counted from below")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; the file appears only when complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png", metadata={"Software": SIGNATURE})


def _panels(result: Segmentation, level: int) -> list[_Panel]:
    """Return one panel per image; a black one where there are no images."""
    if result.images is None:
        return [_Panel("", np.zeros(result.grid.in_lps().shape[:2], np.float32), (0.0, 1.0))]
    images = result.grid.to_lps(result.images)
    return [
        _Panel(channel.title or channel.name, image[..., level], display_limits(image, channel))
        for channel, image in zip(result.dataset.channels, images, strict=True)
    ]


def _background(panels: list[_Panel], result: Segmentation) -> _Panel:
    names = result.dataset.channel_names
    if result.images is not None and BACKGROUND_CHANNEL in names:
        return panels[names.index(BACKGROUND_CHANNEL)]
    return panels[0]


def _box(panels: list[_Panel], margin: int = 6) -> tuple[slice, slice]:
    """Return where a slice shows anything, with a margin."""
    seen = np.any([panel.image != panel.image.min() for panel in panels], axis=0)
    if not seen.any():
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def _show(axes: Axes, panel: _Panel, box: tuple[slice, slice], aspect: float, *, colours: str = "gray") -> Any:
    """Draw a panel: down is the patient's back, right is the patient's left."""
    _set_title(axes, panel.title)
    low, high = panel.limits
    image = panel.image[box].T
    return axes.imshow(image, cmap=colours, vmin=low, vmax=high, aspect=aspect, interpolation="nearest")


def _set_title(axes: Axes, title: str) -> None:
    axes.set_title(title, color="white", fontsize=9, parse_math=False)


def _write_sides(axes: Axes) -> None:
    """Mark the patient's right and left."""
    for place, side in ((0.02, "R"), (0.98, "L")):
        axes.text(place, 0.5, side, transform=axes.transAxes, color="white", fontsize=9, ha="center", va="center")


def _draw_labels(axes: Axes, nesting: NDArray[np.uint8], regions: int, aspect: float) -> None:
    shown = np.ma.masked_equal(nesting, 0).T
    colours = ListedColormap(region_colours(regions))
    axes.imshow(shown, cmap=colours, vmin=0.5, vmax=regions + 0.5, alpha=0.6, aspect=aspect, interpolation="nearest")


def _draw_lines(axes: Axes, nesting: NDArray[np.uint8]) -> None:
    _set_title(axes, "segmentation, reference as lines")
    if nesting.any():
        axes.contour(nesting.T, levels=np.arange(nesting.max()) + 0.5, colors="white", linewidths=0.6)


def _write_text(figure: Figure, result: Segmentation, slice_shown: str) -> None:
    title = f"{result.case}: {result.summary()}; {slice_shown}"
    figure.suptitle(title, color="white", fontsize=11, parse_math=False)
    said = [line for finding in result.warnings for line in wrap(f"warning: {finding.message}", 150)]
    if said:
        figure.supxlabel("\n".join(said), color="orange", fontsize=8, parse_math=False)
    colours = region_colours(len(result.regions))
    handles = [
        Patch(color=colour, label=result.scheme.values[value])
        for colour, value in zip(colours, result.scheme.exclusive_labels, strict=True)
    ]
    legend = figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=4,
        fontsize=8,
        labelcolor="white",
        facecolor="black",
        edgecolor="black",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.text(0.995, 0.012, NOT_A_DEVICE, color="white", fontsize=8, ha="right")
