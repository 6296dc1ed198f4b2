"""The picture of a segmented patient."""

import io
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from tunetseg.datasets import DatasetDescription, find_description
from tunetseg.datasets.phantom import Phantom, make_for
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io import Grid
from tunetseg.report.figure import draw_segmentation, save_figure
from tunetseg.report.palette import region_colours


def result_of(patient: Phantom, dataset: DatasetDescription, **changes: object) -> Segmentation:
    """The reference of a patient as its segmentation, half as uncertain as can be."""
    label_map = dataset.scheme.label_map(patient.scheme.nesting(patient.label_map))
    parts = {
        "case": "anna",
        "label_map": label_map,
        "probabilities": np.full((len(dataset.regions), *label_map.shape), 0.25, np.float32),
        "grid": Grid(patient.affine, label_map.shape),
        "scheme": dataset.scheme,
        "dataset": dataset,
        "images": np.stack([patient.images[name] for name in dataset.channel_names]),
    }
    return Segmentation(**(parts | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def glioma() -> Segmentation:
    return result_of(make_for("brats2020", 0, shape=(48, 48, 31)), find_description("brats2020"))


def pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    buffer.seek(0)
    return matplotlib.image.imread(buffer)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def legend(figure: Figure) -> list[tuple[str, tuple[float, ...]]]:
    """Words and colours."""
    (found,) = figure.legends
    colours = [patch.get_facecolor()[:3] for patch in found.get_patches()]
    return list(zip((text.get_text() for text in found.get_texts()), colours, strict=True))


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))


def drawn_colours(figure: Figure, colours: tuple[str, ...]) -> list[str]:
    """Which colours lie over the panel of the labels, at full strength of its mixture."""
    panel = next(axes for axes in figure.axes if axes.get_title().startswith("segmentation"))
    shown = panel.images[1].get_array()
    values = np.unique(shown.compressed()).astype(int)
    return [colours[value - 1] for value in values]


def test_the_slice_with_the_most_tumour_in_colour(glioma: Segmentation) -> None:
    picture = pixels(draw_segmentation(glioma))
    height, width, _ = picture.shape
    assert 400 < height < 2000
    assert 800 < width < 2000
    red, green, blue = (picture[..., channel] for channel in range(3))
    assert (blue - red > 0.2).sum() > 300, "the oedema is blue"
    assert ((red > 0.7) & (green > 0.6) & (blue < 0.6)).sum() > 100, "the enhancing tumour is yellow"


def test_panels(glioma: Segmentation) -> None:
    figure = draw_segmentation(glioma)
    assert titles(figure) == [
        *(channel.title for channel in glioma.dataset.channels),
        "segmentation",
        *(f"uncertainty of {region}" for region in glioma.regions),
    ]
    level = int((glioma.label_map > 0).sum(axis=(0, 1)).argmax())
    assert glioma.images is not None
    shown = next(axes for axes in figure.axes if axes.get_title() == glioma.dataset.channels[0].title).images[0]
    rows, columns = shown.get_array().shape
    assert np.isin(shown.get_array(), glioma.images[0, :, :, level]).all()
    assert rows <= 48
    assert columns <= 48
    unsure = next(axes for axes in figure.axes if axes.get_title() == "uncertainty of core").images[0]
    assert np.unique(unsure.get_array()).tolist() == [50]
    assert unsure.get_clim() == (0, 100)


def test_the_patients_right_is_on_the_left_and_the_front_on_top(glioma: Segmentation) -> None:
    """Whatever the order of axes of the result is."""
    pictures = [pixels(draw_segmentation(glioma))]
    grid = glioma.grid
    for axes in ((2, 0, 1), (1, 2, 0)):
        flipped = Grid(grid.affine[:, [*axes, 3]] @ np.diag([1, 1, 1, 1.0]), tuple(grid.shape[n] for n in axes))
        moved = {
            name: np.moveaxis(getattr(glioma, name), [n - 3 for n in axes], (-3, -2, -1))
            for name in ("label_map", "probabilities", "images")
        }
        parts = {name: getattr(glioma, name) for name in ("case", "scheme", "dataset")}
        pictures.append(pixels(draw_segmentation(Segmentation(grid=flipped, **parts, **moved))))
    assert all(np.array_equal(pictures[0], other) for other in pictures[1:])
    panel = draw_segmentation(glioma).axes[0].images[0].get_array()
    assert glioma.images is not None
    level = int((glioma.label_map > 0).sum(axis=(0, 1)).argmax())
    slice_ = glioma.images[0, :, :, level]
    first = tuple(int(n) for n in np.argwhere(slice_ == panel[len(panel) // 2, panel.shape[1] // 3])[0])
    later = tuple(int(n) for n in np.argwhere(slice_ == panel[len(panel) // 2, 2 * panel.shape[1] // 3])[0])
    assert first[0] < later[0], "towards the patient's left"
    assert first[1] == later[1]


def test_one_channel_and_two_regions() -> None:
    """There is no T1ce under the labels, and CT is shown in the window that the network sees."""
    dataset = find_description("kits19")
    figure = draw_segmentation(result_of(make_for("kits19", 0), dataset))
    assert titles(figure) == ["CT", "segmentation", "uncertainty of kidney", "uncertainty of tumour"]
    assert [word for word, _ in legend(figure)] == ["kidney", "tumour"]
    assert figure.axes[0].images[0].get_clim() == (-79, 304)
    assert len(drawn_colours(figure, region_colours(2))) == 2


def test_two_channels_and_four_regions(nested_description: DatasetDescription) -> None:
    """A fourth region took the third's colour, and the legend was cut off."""
    patient = make_for(nested_description, 0, shape=(24, 24, 20), spacing=8.0)
    figure = draw_segmentation(result_of(patient, nested_description))
    assert titles(figure)[:3] == ["first", "second", "segmentation"]
    assert titles(figure)[3:] == [f"uncertainty of {name}" for name in ("peel", "skin", "flesh", "core")]
    words = legend(figure)
    assert [word for word, _ in words] == [
        "peel outside skin", "skin outside flesh", "flesh outside core", "core",
    ]  # fmt: skip
    assert np.allclose([colour for _, colour in words], [rgb(colour) for colour in region_colours(4)])
    assert len({colour for _, colour in words}) == 4
    assert len(drawn_colours(figure, region_colours(4))) == 4


def test_nothing_found(glioma: Segmentation) -> None:
    figure = draw_segmentation(
        result_of(make_for("brats2020", 0), glioma.dataset, label_map=np.zeros((48, 48, 32), np.uint8))
    )
    assert drawn_colours(figure, region_colours(3)) == []
    assert "whole 0.0 ml" in figure.get_suptitle()


def test_without_images(glioma: Segmentation) -> None:
    figure = draw_segmentation(result_of(make_for("brats2020", 0), glioma.dataset, images=None))
    assert titles(figure)[0] == "segmentation"
    assert len(drawn_colours(figure, region_colours(3))) > 1
    assert pixels(figure).std() > 0


def test_a_reference_is_drawn_as_lines(glioma: Segmentation) -> None:
    bare, drawn, empty, invalid = (
        draw_segmentation(glioma, **options)  # type: ignore[arg-type]
        for options in (
            {},
            {"reference": glioma.label_map},
            {"reference": np.zeros_like(glioma.label_map)},
            {"invalid_reference": True},
        )
    )
    assert "segmentation, reference as lines" in titles(drawn)
    assert "segmentation, reference as lines" in titles(empty)
    assert "segmentation (its reference cannot be read)" in titles(invalid)
    panel = next(axes for axes in drawn.axes if "lines" in axes.get_title())
    assert len(panel.collections) == 1
    assert not np.array_equal(pixels(bare), pixels(drawn))


def test_names_and_titles_are_no_formulas(glioma: Segmentation, tmp_path: Path) -> None:
    """A dollar sign begins mathematics in matplotlib, which fails where it makes none."""
    raw = glioma.dataset.to_dict()
    raw["channels"][0]["title"] = "$_$"
    raw["labels"] = {1: "$^$", 2: "a$_$b", 4: "$$x_"}
    dataset = DatasetDescription.from_dict(raw)
    result = result_of(make_for("brats2020", 0), dataset, case="a$_$b")
    save_figure(draw_segmentation(result), tmp_path / "sub" / "picture.png")
    assert (tmp_path / "sub" / "picture.png").stat().st_size > 10_000


def test_a_figure_is_whole_or_not_there(glioma: Segmentation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    figure = draw_segmentation(glioma)
    save_figure(figure, path)
    before = path.read_bytes()
    assert b"tunetseg" in before[:256]

    def stop(target: Path, **_: object) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(figure, "savefig", stop)
    with pytest.raises(KeyboardInterrupt):
        save_figure(figure, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_state_of_pyplot(glioma: Segmentation) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    draw_segmentation(glioma)
    assert plt.get_fignums() == before
