"""The paper's Figures 1, 4 and 5, drawn from a network and from results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from numpy.typing import NDArray
from torch import nn

from tunetseg.datasets import DatasetDescription
from tunetseg.errors import InputError
from tunetseg.inference.segmentation import NOT_A_DEVICE
from tunetseg.io.files import SIGNATURE, whole_file
from tunetseg.networks import SegmentationNetwork
from tunetseg.networks.cascade import Cascade
from tunetseg.report.palette import PROBABILITY_MAP, UNCERTAINTY_MAP, region_colours
from tunetseg.report.slices import axial_cut, grey_slice, labelled_slice
from tunetseg.report.view import PatientView

__all__ = ["draw_cascade", "draw_results", "draw_uncertainty", "save_paper_figure"]

_INK = "#37474F"


def save_paper_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as ``.png``, ``.svg`` or ``.pdf``; the file appears only when complete and is always the same."""
    kind = path.suffix.removeprefix(".")
    metadata: dict[str, Any] = {
        "png": {"Software": SIGNATURE},
        "svg": {"Creator": SIGNATURE, "Date": None},
        "pdf": {"Creator": SIGNATURE, "CreationDate": None},
    }
    if kind not in metadata:
        raise InputError(f"{path}: a figure is a .png, .svg or .pdf file; choose such a name")
    with whole_file(path) as partial:
        figure.savefig(partial, format=kind, dpi=200, metadata=metadata[kind])
    return path


def draw_cascade(network: SegmentationNetwork, dataset: DatasetDescription, title: str) -> Figure:
    """Draw the paper's Figure 1: what each sub-network sees and gives, and its levels.

    Args:
        network: A cascade; filters, levels and weights are those of its layers.
        dataset: Titles of channels and regions.
        title: Line above.

    Raises:
        InputError: The network is not a cascade.
    """
    if not isinstance(network, Cascade):
        raise InputError(f"{title}: is not a cascade of sub-networks, so there is nothing to draw")
    regions = dataset.region_names
    count = len(regions)
    figure = Figure(figsize=(3.0 + 3.3 * count, 4.6), facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 0.92))
    axes.set_xlim(0, 3.0 + 3.3 * count)
    axes.set_ylim(0, 4.2)
    axes.axis("off")
    channels = "\n".join(channel.title or channel.name for channel in dataset.channels)
    _box(axes, 0.15, 1.55, 1.75, 1.1, f"images\n{channels}", "#ECEFF1")
    _arrow(axes, (1.0, 1.55), (1.0, 0.35), head=False)
    colours = region_colours(count)
    for number, (name, subnetwork) in enumerate(network.subnetworks.items()):
        left = 2.3 + 3.3 * number
        _draw_subnetwork(axes, left, subnetwork, f"{name[0].upper()}-Net", colours[number])
        _arrow(axes, (1.0, 0.35), (left + 0.25, 0.35), head=False)
        _arrow(axes, (left + 0.25, 0.35), (left + 0.25, 0.9))
        _box(axes, left + 0.45, 3.35, 1.9, 0.45, f"p({dataset.region(name).title or name})", "white")
        _arrow(axes, (left + 1.95, 2.75), (left + 1.95, 3.35))
        if number + 1 < count:
            target = left + 3.3 + 0.25
            _arrow(axes, (left + 2.35, 3.57), (target, 3.57), head=False)
            _arrow(axes, (target, 3.57), (target, 2.75))
    # What the inner sub-networks see of the regions further out comes with what they see of the nearest.
    words = "each sub-network sees the images, max-pooled at each level, and the probabilities of all regions outside"
    gradients = "; gradients flow back along every arrow" if network.coupling == "joint" else ""
    axes.text(2.4, 0.08, words + gradients, fontsize=8, color=_INK)
    figure.suptitle(title, fontsize=11, color=_INK)
    FigureCanvasAgg(figure)
    return figure


def _draw_subnetwork(axes: Axes, left: float, subnetwork: nn.Module, name: str, colour: str) -> None:
    """Draw encoder bars that become lower, decoder bars that become higher, with their filters."""
    widths = [_last_filters(encoder) for encoder in subnetwork.encoders]  # type: ignore[union-attr]
    levels = [*range(len(widths)), *reversed(range(len(widths) - 1))]
    step = 2.2 / len(levels)
    for place, level in enumerate(levels):
        height = 1.5 / 1.55**level
        x = left + 0.1 + step * place
        bar = Rectangle((x, 1.85 - height / 2), step * 0.62, height, facecolor=colour, edgecolor=_INK, linewidth=0.8)
        axes.add_patch(bar)
        axes.text(x + step * 0.31, 1.85 - height / 2 - 0.14, str(widths[level]), fontsize=6.5, ha="center", color=_INK)
    weights = sum(parameter.numel() for parameter in subnetwork.parameters())
    axes.text(left + 1.15, 2.72, name, fontsize=11, ha="center", weight="bold", color=_INK)
    axes.text(left + 1.3, 0.62, f"{weights:,} weights", fontsize=8, ha="center", color=_INK)


def _last_filters(block: nn.Module) -> int:
    return [module.out_channels for module in block.modules() if isinstance(module, nn.Conv3d)][-1]


def _box(axes: Axes, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    style = "round,pad=0.02,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=colour, edgecolor=_INK))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8, parse_math=False, color=_INK)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], *, head: bool = True) -> None:
    style = "-|>" if head else "-"
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=11, color=_INK, shrinkA=0, shrinkB=0))


def draw_results(views: Sequence[PatientView]) -> Figure:
    """Draw the paper's Figure 4: one row per patient with images, reference and result, in the axial slice.

    Args:
        views: Patients with their images; a reference that is missing leaves its place empty.
    """
    first = views[0].dataset
    usual = [channel for channel in first.channels if channel.name in {"flair", "t1ce"}]
    channels = usual or list(first.channels[:2])
    columns = len(channels) + 2
    figure = Figure(figsize=(2.1 * columns, 2.5 * len(views) + 0.7), layout="constrained", facecolor="white")
    for row, (axes, view) in enumerate(zip(figure.subplots(len(views), columns, squeeze=False), views, strict=True)):
        cut = axial_cut(view)
        shown: list[tuple[str, NDArray[np.float32] | None]] = [
            (channel.title or channel.name, _image(view, channel.name)) for channel in channels
        ]
        shown.append(("reference", None if view.reference is None else labelled_slice(view, cut, view.reference)))
        shown.append(("result", labelled_slice(view, cut, view.nesting)))
        for one, (title, colours) in zip(axes, shown, strict=True):
            _show(one, colours, cut.mm, title if row == 0 else "")
        axes[0].text(-0.04, 0.5, view.case, rotation=90, transform=axes[0].transAxes, fontsize=7, ha="right",
                     va="center", parse_math=False)  # fmt: skip
    _legend(figure, first)
    FigureCanvasAgg(figure)
    return figure


def draw_uncertainty(view: PatientView) -> Figure:
    """Draw the paper's Figure 5: probability and uncertainty of each region, in the axial slice.

    Args:
        view: A patient with probability and uncertainty maps.

    Raises:
        InputError: A map is missing.
    """
    if view.probabilities is None or view.uncertainty is None:
        raise InputError(f"{view.case}: has no probability maps; segment with --probabilities")
    cut = axial_cut(view)
    rows = len(view.dataset.regions)
    figure = Figure(figsize=(7.2, 2.2 * rows + 0.9), layout="constrained", facecolor="white")
    grid = figure.subplots(rows, 3, squeeze=False)
    for level, (region, axes) in enumerate(zip(view.dataset.regions, grid, strict=True)):
        own = np.where(view.nesting > level, level + 1, 0).astype(np.uint8)
        _show(axes[0], labelled_slice(view, cut, own), cut.mm, "result" if level == 0 else "")
        axes[0].text(-0.04, 0.5, region.title or region.name, rotation=90, transform=axes[0].transAxes, fontsize=8,
                     ha="right", va="center", parse_math=False)  # fmt: skip
        maps = (
            (view.probabilities[level], PROBABILITY_MAP, 1.0, "probability"),
            (view.uncertainty[level], UNCERTAINTY_MAP, 100.0, "uncertainty"),
        )
        for one, (values, colours, high, title) in zip(axes[1:], maps, strict=True):
            drawn = one.imshow(cut.of(values), cmap=colours, vmin=0, vmax=high, aspect=cut.mm[0] / cut.mm[1])
            one.axis("off")
            if level == 0:
                one.set_title(title, fontsize=9)
            if level == rows - 1:
                figure.colorbar(
                    drawn, ax=list(grid[:, 1 if high == 1 else 2]), location="bottom", shrink=0.8, aspect=30
                )
    figure.supxlabel(f"{view.case}; {NOT_A_DEVICE}", fontsize=6, x=0.995, ha="right", parse_math=False)
    FigureCanvasAgg(figure)
    return figure


def _image(view: PatientView, channel: str) -> NDArray[np.float32] | None:
    if view.images is None or channel in view.missing:
        return None
    return grey_slice(view, axial_cut(view), channel)


def _show(axes: Axes, colours: NDArray[np.float32] | None, mm: tuple[float, float], title: str) -> None:
    axes.axis("off")
    if title:
        axes.set_title(title, fontsize=9, parse_math=False)
    if colours is None:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", fontsize=8)
    else:
        axes.imshow(np.rint(colours).astype(np.uint8), aspect=mm[0] / mm[1], interpolation="nearest")


def _legend(figure: Figure, dataset: DatasetDescription) -> None:
    scheme = dataset.scheme
    colours = region_colours(len(dataset.regions))
    words = [scheme.values[value] for value in scheme.exclusive_labels]
    handles = [Patch(color=colour, label=word) for colour, word in zip(colours, words, strict=True)]
    legend = figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=7, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.text(0.995, 0.005, NOT_A_DEVICE, fontsize=6, ha="right")
