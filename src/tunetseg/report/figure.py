"""One picture of a segmented patient: contrasts, labels and uncertainty in the slice with the most tumour."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from tunetseg.datasets import FILE_WORDS, LabelScheme, recognise_labels, scheme_named
from tunetseg.datasets.case import MODALITIES, Case
from tunetseg.errors import InputError
from tunetseg.io.files import SIGNATURE, whole_file
from tunetseg.io.volume import Grid, check_same_grid, read_image, read_label_map

__all__ = ["draw_segmentation"]

_COLOURS = ("#56B4E9", "#D55E00", "#F0E442")
"""Of the shells, outermost first; told apart by colour-blind people too (Okabe and Ito)."""

_TITLES = {"t1": "T1", "t1ce": "T1 after contrast", "t2": "T2", "flair": "FLAIR"}


def draw_segmentation(case: Case, folder: str | Path, out: str | Path) -> Path:
    """Draw the axial slice that holds the most tumour, as radiologists look at it: the patient's right on the left.

    The upper row shows the images, the lower one the labels over T1 after contrast and the uncertainty of each
    region. If the case has a segmentation of its own, white lines show that reference's regions; one that cannot be
    read or lies on another grid is left out, and the title says so.

    Args:
        case: The patient.
        folder: Where ``tunet segment`` wrote the results of this case.
        out: PNG file; appears only when complete.

    Returns:
        The file.

    Raises:
        InputError: A file is missing or does not fit.
    """
    folder, out = Path(folder), Path(out)
    manifest = _manifest(folder / f"{case.id}.json")
    scheme = scheme_named(manifest["labels"])
    label_map = read_label_map(folder / f"{case.id}.nii.gz")
    depth = scheme.depth(label_map.grid.into_lps(label_map.array))
    level = int((depth > 0).sum(axis=(0, 1)).argmax()) if depth.any() else depth.shape[2] // 2
    images = {modality: _slice(case.images[modality], level) for modality in MODALITIES if modality in case.images}
    box = _brain_box(list(images.values()))
    images = {modality: image[box] for modality, image in images.items()}
    maps = {region: f"{case.id}_unc_{FILE_WORDS.get(region, region)}.nii.gz" for region in scheme.region_names}
    columns = max(len(images), 1 + len(maps))
    x_mm, y_mm, _ = label_map.grid.lps_spacing
    wide, high = next(iter(images.values())).shape
    figure = Figure(
        figsize=(2.6 * columns, 5.2 * high * y_mm / (wide * x_mm) + 1.3), layout="constrained", facecolor="black"
    )
    upper, lower = figure.subplots(2, columns)
    for axes in (*upper, *lower):
        axes.axis("off")
    for axes, (modality, image) in zip(upper, images.items(), strict=False):
        _show(axes, image, _TITLES.get(modality, modality), y_mm / x_mm)
    background = images.get("t1ce", next(iter(images.values())))
    _labels(lower[0], background, depth[:, :, level][box], y_mm / x_mm)
    if case.segmentation is not None:
        _reference(lower[0], case, label_map.grid, level, box)
    for axes, (region, name) in zip(lower[1:], maps.items(), strict=False):
        drawn = _show(axes, _slice(folder / name, level)[box], f"uncertainty of {region}", y_mm / x_mm, "magma", 100.0)
    figure.colorbar(drawn, ax=lower[1:], location="bottom", shrink=0.4, aspect=30, label="0 certain to 100 uncertain")
    _words(figure, case, manifest, scheme)
    _save(figure, out)
    return out


def _manifest(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        raise InputError(f"{path}: no manifest can be read there; segment the patient first") from None


def _slice(path: Path, level: int) -> NDArray[np.float32]:
    array, grid = read_image(path)
    turned = grid.into_lps(array)
    if level >= turned.shape[2]:
        raise InputError(f"{path}: has {turned.shape[2]} slices, so it is not of the same patient as the segmentation")
    return turned[:, :, level]


def _brain_box(images: list[NDArray[np.float32]], margin: int = 6) -> tuple[slice, slice]:
    """Where anything is to be seen in a slice, with some room around."""
    seen = np.any([image != 0 for image in images], axis=0)
    if not seen.any():
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def _show(
    axes: Axes, image: NDArray, title: str, aspect: float, colours: str = "gray", top: float | None = None
) -> Any:
    """Rows run to the back, columns to the patient's left."""
    axes.set_title(title, color="white", fontsize=9)
    inside = image[image > 0]
    limit = top or (float(np.percentile(inside, 99.5)) if inside.size else 1.0)
    return axes.imshow(image.T, cmap=colours, vmin=0, vmax=limit, aspect=aspect, interpolation="nearest")


def _labels(axes: Axes, background: NDArray, depth: NDArray[np.uint8], aspect: float) -> None:
    _show(axes, background, "segmentation", aspect)
    shown = np.ma.masked_equal(depth, 0)
    axes.imshow(
        shown.T, cmap=ListedColormap(_COLOURS), vmin=1, vmax=3, alpha=0.6, aspect=aspect, interpolation="nearest"
    )


def _reference(axes: Axes, case: Case, grid: Grid, level: int, box: tuple[slice, slice]) -> None:
    assert case.segmentation is not None
    try:
        reference = read_label_map(case.segmentation)
        check_same_grid(case.segmentation, reference.grid, case.images[MODALITIES[0]], grid)
        values = np.unique(reference.array).tolist()
        scheme = scheme_named(case.labels) if case.labels else recognise_labels(values, str(case.segmentation))
        depth = scheme.depth(reference.grid.into_lps(reference.array)[:, :, level][box])
    except InputError:
        axes.set_title("segmentation (its reference is at fault)", color="white", fontsize=9)
        return
    if depth.any():
        axes.contour(depth.T, levels=np.arange(depth.max()) + 0.5, colors="white", linewidths=0.6)
    axes.set_title("segmentation, reference as lines", color="white", fontsize=9)


def _words(figure: Figure, case: Case, manifest: dict[str, Any], scheme: LabelScheme) -> None:
    volumes = ", ".join(f"{region} {ml:.1f} ml" for region, ml in manifest["volume_ml"].items())
    figure.suptitle(f"{case.id}: {volumes}", color="white", fontsize=11, parse_math=False)
    handles = [Patch(color=colour, label=scheme.values[v]) for colour, v in zip(_COLOURS, scheme.shells, strict=False)]
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=3,
        fontsize=8,
        labelcolor="white",
        facecolor="black",
        edgecolor="black",
    )
    figure.text(0.995, 0.012, manifest["use"], color="white", fontsize=8, ha="right")
    figure.axes[-1].xaxis.label.set_color("white")
    figure.axes[-1].tick_params(colors="white", labelsize=8)


def _save(figure: Figure, out: Path) -> None:
    FigureCanvasAgg(figure)
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as partial:
        figure.savefig(partial, dpi=110, format="png", metadata={"Software": SIGNATURE})
