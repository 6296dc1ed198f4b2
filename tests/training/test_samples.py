"""The slices of validation cases that training leaves."""

from pathlib import Path

import numpy as np

from tunetseg.preparation.cache import CachedCase
from tunetseg.report.samples import read_samples


def test_a_run_leaves_samples(finished: Path, prepared: Path) -> None:
    names = (finished / "validation.txt").read_text().split()
    for stage in ("stage-0", "stage-1"):
        path = finished / stage / "samples.npz"
        assert path.stat().st_size < 100_000
        with np.load(path, allow_pickle=False) as arrays:
            assert arrays["cases"].tolist() == names
            assert arrays["channels"].tolist() == ["t1", "t1ce", "flair", "t2"]
            assert int(arrays["epoch"]) == 2
            count, channels, *sides = arrays["image"].shape
            assert (count, channels) == (len(names), 4)
            assert arrays["reference"].shape == arrays["prediction"].shape == (count, *sides)
            assert arrays["prediction"].max() <= 3
            # A patch holds a whole volume, so the slice is that with the most tumour of all.
            largest = {
                int((CachedCase("", cached).nesting > 0).sum((0, 1)).max())
                for cached in prepared.rglob("*.safetensors")
            }
            assert {np.count_nonzero(reference) for reference in arrays["reference"]} <= largest
        assert [sample.case for sample in read_samples(path, 3)] == names
