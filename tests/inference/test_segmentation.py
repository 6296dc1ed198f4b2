"""The result in memory: volumes by hand, what notebooks show, references that are drawn."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tunetseg.datasets import DatasetDescription, find_description
from tunetseg.errors import InputError
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io import Grid, read_label_map, write_image

DATASET = find_description("brats2020")


def made(**changes: object) -> Segmentation:
    """Nested cubes of 6, 4 and 2 voxels in 8x10x12 of 1x1x2 mm."""
    label_map = np.zeros((8, 10, 12), np.uint8)
    label_map[1:7, 1:7, 1:7] = 2
    label_map[2:6, 2:6, 2:6] = 1
    label_map[3:5, 3:5, 3:5] = 4
    probabilities = np.full((3, 8, 10, 12), 0.25, np.float32)
    grid = Grid.from_spacing((1, 1, 2), label_map.shape)
    images = np.random.default_rng(0).random((4, *label_map.shape), np.float32)
    parts = {"case": "anna", "label_map": label_map, "probabilities": probabilities, "grid": grid, "images": images}
    return Segmentation(**({"scheme": DATASET.scheme, "dataset": DATASET} | parts | changes))  # type: ignore[arg-type]


def test_volumes_and_masks() -> None:
    result = made()
    assert result.volumes_ml == {"whole": 0.432, "core": 0.128, "enhancing": 0.016}
    assert result.regions == ("whole", "core", "enhancing")
    assert [int(mask.sum()) for mask in result.masks] == [216, 64, 8]
    assert result.uncertainty.shape == result.probabilities.shape
    assert np.unique(result.uncertainty).tolist() == [50]
    assert np.array_equal(result.affine, np.diag([-1, -1, 2, 1]))
    assert repr(result) == "Segmentation('anna': whole 0.4 ml, core 0.1 ml, enhancing 0.0 ml)"


def test_volumes_of_nothing() -> None:
    result = made(label_map=np.zeros((8, 10, 12), np.uint8))
    assert result.volumes_ml == {"whole": 0.0, "core": 0.0, "enhancing": 0.0}


def test_volumes_of_four_regions(nested_description: DatasetDescription) -> None:
    label_map = np.array([0, 7, 2, 2, 5, 3, 3, 3], np.uint8).reshape(2, 2, 2)
    grid = Grid.from_spacing(10, (2, 2, 2))
    result = made(label_map=label_map, grid=grid, dataset=nested_description, scheme=nested_description.scheme)
    assert result.volumes_ml == {"peel": 7.0, "skin": 6.0, "flesh": 4.0, "core": 3.0}


def test_volumes_where_a_description_repeats_a_label() -> None:
    raw = DATASET.to_dict()
    raw["regions"][0]["labels"] = [1, 2, 2, 4]
    dataset = DatasetDescription.from_dict(raw)
    assert made(dataset=dataset, scheme=dataset.scheme).volumes_ml == made().volumes_ml


@pytest.mark.parametrize("images", [True, False])
def test_a_notebook_shows_names_as_text(images: bool) -> None:
    """A name, a note or a title of a dataset is never markup."""
    name = '<script>alert("x")</script>'
    dataset = DATASET.to_dict()
    dataset["regions"][0]["title"] = "<b>whole</b>"
    changes = {} if images else {"images": None}
    html = made(case=name, notes=("a < b & c",), dataset=DatasetDescription.from_dict(dataset), **changes)._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in html
    assert "&lt;b&gt;whole&lt;/b&gt;</td><td>0.4 ml" in html
    assert "<p>a &lt; b &amp; c</p>" in html
    assert ('src="data:image/png;base64,' in html) is images
    assert "not a medical device" in html


def test_a_notebook_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    monkeypatch.setattr(Segmentation, "plot", missing)
    html = made()._repr_html_()
    assert "<img" not in html
    assert "0.4 ml" in html


def titles(result: Segmentation, **options: object) -> list[str]:
    return [axes.get_title() for axes in result.plot(**options).axes]  # type: ignore[arg-type]


def test_a_reference_is_a_file_or_an_array(tmp_path: Path) -> None:
    result = made()
    assert "segmentation" in titles(result)
    assert "segmentation, reference as lines" in titles(result, reference=result.label_map.astype(np.int64))
    path = tmp_path / "reference.nii.gz"
    write_image(path, result.label_map, result.grid)
    assert "segmentation, reference as lines" in titles(result, reference=path)


def test_a_reference_file_in_another_order_of_axes(tmp_path: Path) -> None:
    result = made()
    path = tmp_path / "reference.nii.gz"
    image = nib.Nifti1Image(result.label_map, result.affine)
    nib.save(nib.as_closest_canonical(image), path)
    assert nib.aff2axcodes(nib.load(path).affine) == ("R", "A", "S")
    assert np.array_equal(read_label_map(path).array, result.label_map)
    assert np.array_equal(result._read_reference(path), result.label_map)


def test_references_that_do_not_fit(tmp_path: Path) -> None:
    result = made()
    path = tmp_path / "reference.nii.gz"
    with pytest.raises(InputError, match="there is no such file"):
        result.plot(reference=path)
    write_image(path, result.label_map, Grid.from_spacing((1, 1, 3), (8, 10, 12)))
    with pytest.raises(InputError, match="mm away from the segmentation"):
        result.plot(reference=path)
    write_image(path, np.where(result.label_map == 4, 9, result.label_map).astype(np.uint8), result.grid)
    with pytest.raises(InputError, match="label values"):
        result.plot(reference=path)
    with pytest.raises(InputError, match=r"a reference of shape \(8, 10, 4\)"):
        result.plot(reference=result.label_map[..., :4])
