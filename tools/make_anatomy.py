"""Make the packaged anatomy map from the MNI152 tissue maps inside nilearn's wheel (pip install nilearn==0.14.1).

Run once: ``python tools/make_anatomy.py src/tunetseg/datasets/phantom/anatomy.npz``.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

STEPS = 15
"""Tissue fractions are kept in fifteenths: 4 bits."""


def read(kind: str) -> np.ndarray:
    """Return one map of nilearn's MNI152 template, 0 to 1, axes towards left, posterior, superior."""
    spec = find_spec("nilearn")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "datasets/data" / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    # RAS to LPS: left and posterior are the positive directions of BraTS arrays.
    return np.asarray(nib.load(path).dataobj, np.float32)[::-1, ::-1] / 255


def main(target: str) -> None:
    """Write the small map of tissues that the synthetic patient is made from."""
    grey, white, t1 = read("gm"), read("wm"), read("t1")
    brain = ndimage.binary_fill_holes(ndimage.binary_opening(t1 > 0.1, iterations=1)).astype(np.float32)
    box = tuple(slice(max(0, s.start - 3), s.stop + 3) for s in ndimage.find_objects(brain.astype(np.uint8))[0])
    halves = [ndimage.gaussian_filter(part[box], 0.7)[::2, ::2, ::2] for part in (grey, white, brain)]
    np.savez_compressed(
        target,
        **{
            name: np.rint(part * STEPS).clip(0, STEPS).astype(np.uint8)
            for name, part in zip(("grey", "white", "brain"), halves, strict=True)
        },
    )


if __name__ == "__main__":
    main(sys.argv[1])
