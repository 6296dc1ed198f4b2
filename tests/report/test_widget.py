"""A viewer for notebooks."""

import gzip
import importlib.util
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tunetseg.errors import InputError
from tunetseg.inference import segmentation
from tunetseg.inference.segmentation import Segmentation


def test_layers(segmented: Segmentation) -> None:
    pytest.importorskip("ipyniivue", reason="ipyniivue is not installed")
    widget = segmented.viewer()
    assert [volume.name for volume in widget.volumes] == ["t1ce.nii.gz", "regions.nii.gz", "uncertainty.nii.gz"]
    labels = nib.Nifti1Image.from_bytes(gzip.decompress(widget.volumes[1].data))
    nesting = segmented.scheme.nesting(segmented.label_map)
    assert np.bincount(np.asarray(labels.dataobj).ravel())[1:].tolist() == np.bincount(nesting.ravel())[1:].tolist()
    assert "application/vnd.jupyter.widget-view+json" in segmented._repr_mimebundle_()


def test_without_ipyniivue(segmented: Segmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Any = importlib.util.find_spec
    monkeypatch.setattr(segmentation, "find_spec", lambda name: None if name == "ipyniivue" else find(name))
    bundle = segmented._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "data:image/png;base64," in bundle["text/html"]


def test_without_images(segmented: Segmentation) -> None:
    pytest.importorskip("ipyniivue", reason="ipyniivue is not installed")
    bare = replace(segmented, images=None)
    with pytest.raises(InputError, match="has no images to show"):
        bare.viewer()
    assert set(bare._repr_mimebundle_()) == {"text/plain", "text/html"}
