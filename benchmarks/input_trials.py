"""Wrongly prepared images of real patients: what the checks say, and what the model makes of them.

Every patient is checked as it is, which must give no warning. Of some patients each fault of the table ``FAULTS`` is
made in memory. A fault passes if a finding of its code is given; one without a code if nothing is warned of and the
background is found again, so that the brain's mask agrees with that of the untouched patient.

    python benchmarks/input_trials.py COHORT --patients 12
    python benchmarks/input_trials.py COHORT --patients 0 --segment BraTS2021_00005
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tunetseg.checks import check_volume
from tunetseg.datasets import find_cases, find_description
from tunetseg.findings import Finding
from tunetseg.inference.predictor import load_model
from tunetseg.inference.segment import segment_volume
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io import Grid
from tunetseg.preparation import Volume, read_volume
from tunetseg.preparation.background import clean

GLIOMA = find_description("glioma")
T1, T1CE, FLAIR, T2 = (GLIOMA.channel_names.index(name) for name in ("t1", "t1ce", "flair", "t2"))

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Fault:
    """One way in which images are wrong.

    Args:
        make: From the volume and that of another patient to the faulty volume.
        code: Of the finding that is expected; empty where the program is to cope by itself.
    """

    make: Callable[[Volume, Volume], Volume]
    code: str = ""


def of_array(change: Callable[[Array], Array]) -> Callable[[Volume, Volume], Volume]:
    """Return a fault that changes the voxels alone."""
    return lambda volume, _: replace(volume, array=change(volume.array.copy()).astype(np.float32))


def swap(first: int, second: int) -> Callable[[Volume, Volume], Volume]:
    """Return the fault of two exchanged channels."""

    def change(array: Array) -> Array:
        array[[first, second]] = array[[second, first]]
        return array

    return of_array(change)


def put(channel: int, value: Callable[[Array], Array]) -> Callable[[Volume, Volume], Volume]:
    """Return the fault of one channel that is replaced."""

    def change(array: Array) -> Array:
        array[channel] = value(array)
        return array

    return of_array(change)


def shifted(array: Array, *shift: int) -> Array:
    """Move an image by voxels; the field of view of BraTS is wide enough."""
    return np.roll(array, shift, (0, 1, 2))


def ring(array: Array, order: int, *, whole: bool = False) -> Array:
    """Resample by a third of a voxel and back with splines, which ring as those of SimpleITK do."""
    images = []
    for image in array:
        once = ndimage.shift(image.astype(np.float64), (0.4, -0.35, 0.3), order=order, mode="constant")
        images.append(ndimage.shift(once, (-0.4, 0.35, -0.3), order=order, mode="constant"))
    result = np.stack(images).astype(np.float32)
    return np.rint(result) if whole else result


def lanczos(array: Array, radius: int = 5) -> Array:
    """Resample by a third of a voxel and back with the window of SimpleITK's Lanczos interpolation, axis by axis."""
    result = array.astype(np.float64)
    for sign in (1, -1):
        for axis, shift in enumerate((0.4, -0.35, 0.3), start=1):
            places = np.arange(-radius, radius + 1) - sign * shift
            weights = np.where(abs(places) < radius, np.sinc(places) * np.sinc(places / radius), 0)
            result = ndimage.correlate1d(result, weights, axis, mode="nearest")
    return result.astype(np.float32)


def noise(array: Array, share: float) -> Array:
    """Put Rician noise around the brain, into a share of its voxels."""
    random = np.random.default_rng(0)
    result = array.copy()
    for image in result:
        outside = (image == 0) & (random.random(image.shape) < share)
        sigma = 0.03 * np.percentile(image, 99.5)
        image[outside] = np.hypot(*random.normal(0, sigma, (2, int(outside.sum()))))
    return result


def skull(array: Array, channels: tuple[int, ...] = (0, 1, 2, 3)) -> Array:
    """Put 6 mm of dark bone and 6 mm of bright scalp around the brain."""
    distance = ndimage.distance_transform_edt(~(array != 0).any(axis=0))
    result = array.copy()
    for number in channels:
        median = np.median(array[number][array[number] != 0])
        result[number][(distance > 0) & (distance <= 6)] = 0.1 * median
        result[number][(distance > 6) & (distance <= 12)] = 1.2 * median
    return result


def normalised(array: Array, background: float | None) -> Array:
    """Scale to mean 0 and variance 1 in the brain, or over the whole volume where there is no other background."""
    result = array.copy()
    for image in result:
        inside = image != 0 if background is not None else np.ones(image.shape, bool)
        values = image[inside].astype(np.float64)
        image[inside] = (values - values.mean()) / values.std()
        if background is not None:
            image[~inside] = background
    return result


def spiked(array: Array) -> Array:
    """Put one far too bright voxel into each image."""
    array[:, 120, 120, 80] = 1e7
    return array


def half(array: Array) -> Array:
    """Cut off the right half of the head."""
    array[:, : array.shape[1] // 2] = 0
    return array


def cropped(volume: Volume, box: tuple[slice, slice, slice]) -> Volume:
    """Cut a box out of a volume; where it lies does not matter here."""
    array = np.ascontiguousarray(volume.array[(slice(None), *box)])
    x, y, z = array.shape[1:]
    grid = Grid(volume.grid.affine, (x, y, z))
    return replace(volume, array=array, grid=grid, stored=grid)


def thick(volume: Volume, slices: int) -> Volume:
    """Average slices."""
    count = volume.array.shape[3] // slices
    array = volume.array[..., : count * slices]
    array = array.reshape(*array.shape[:3], count, slices).mean(axis=4)
    x, y, z = array.shape[1:]
    grid = Grid(volume.grid.affine @ np.diag([1, 1, slices, 1]), (x, y, z))
    return replace(volume, array=array, grid=grid, stored=grid)


def resized(volume: Volume, factor: float) -> Volume:
    """Write wrong voxel sizes into the header."""
    grid = Grid(volume.grid.affine @ np.diag([factor, factor, factor, 1]), volume.grid.shape)
    return replace(volume, grid=grid, stored=grid)


FAULTS = {
    "T1 and T1ce exchanged": Fault(swap(T1, T1CE), "exchanged"),
    "T1 and T2 exchanged": Fault(swap(T1, T2), "exchanged"),
    "T1 and FLAIR exchanged": Fault(swap(T1, FLAIR), "exchanged"),
    "T1ce and T2 exchanged": Fault(swap(T1CE, T2), "exchanged"),
    "T1ce and FLAIR exchanged": Fault(swap(T1CE, FLAIR), "exchanged"),
    "T2 and FLAIR exchanged": Fault(swap(T2, FLAIR), "exchanged"),
    "T1ce = T1 + 1": Fault(put(T1CE, lambda a: np.where(a[T1] != 0, a[T1] + 1, 0)), "copy"),
    "FLAIR = 1.1 T2 + 2": Fault(put(FLAIR, lambda a: np.where(a[T2] != 0, 1.1 * a[T2] + 2, 0)), "copy"),
    "FLAIR shifted by 12 mm": Fault(put(FLAIR, lambda a: shifted(a[FLAIR], 12, 0, 0)), "shifted"),
    "all shifted by 6 to 10 mm": Fault(
        of_array(lambda a: np.stack([shifted(a[0], 6, 0, 0), shifted(a[1], 0, 8, 0), shifted(a[2], 0, 0, -7), a[3]])),
        "shifted",
    ),
    "FLAIR of another patient": Fault(
        lambda v, other: replace(v, array=np.stack([*v.array[:FLAIR], other.array[FLAIR], *v.array[FLAIR + 1 :]])),
        "shifted",
    ),
    "skull, air 0": Fault(of_array(skull), "skull"),
    "skull on T1ce alone, air 0": Fault(of_array(lambda a: skull(a, (T1CE,))), "skull"),
    "skull, noise around it": Fault(of_array(lambda a: noise(skull(a), 1.0)), "skull"),
    "half a head": Fault(of_array(half), "part-of-head"),
    "a cube of 60 mm": Fault(
        lambda v, _: cropped(v, (slice(90, 150), slice(90, 150), slice(50, 110))), "no-background"
    ),
    "a single slice": Fault(lambda v, _: cropped(v, (slice(None), slice(None), slice(80, 81))), "single-slice"),
    "slices of 5 mm": Fault(lambda v, _: thick(v, 5), "thick-slices"),
    "voxels of 10 mm": Fault(lambda v, _: resized(v, 10), "field-of-view"),
    "voxels of 0.05 mm": Fault(lambda v, _: resized(v, 0.05), "voxel-size"),
    "voxels of 0.7 mm for 1 mm": Fault(lambda v, _: resized(v, 0.7), "part-of-head"),
    "background 10": Fault(of_array(lambda a: np.where(a == 0, 10, a + 10))),
    "background -1000": Fault(of_array(lambda a: np.where(a == 0, -1000, a))),
    "normalised, background -9": Fault(of_array(lambda a: normalised(a, -9))),
    "normalised, background 0": Fault(of_array(lambda a: normalised(a, 0))),
    "normalised as a whole": Fault(of_array(lambda a: normalised(a, None))),
    "noise around the brain": Fault(of_array(lambda a: noise(a, 1.0))),
    "noise in half of the air": Fault(of_array(lambda a: noise(a, 0.5))),
    "B-spline": Fault(of_array(lambda a: ring(a, 3))),
    "B-spline of order 5": Fault(of_array(lambda a: ring(a, 5))),
    "B-spline, whole numbers": Fault(of_array(lambda a: ring(a, 3, whole=True))),
    "Lanczos": Fault(of_array(lanczos)),
    "one voxel of 1e7": Fault(of_array(spiked)),
}


def cleaned(volume: Volume) -> Volume:
    """Find the background again, as reading files does."""
    array, background = clean(volume.array)
    return replace(volume, array=array, background=background)


def passes(fault: Fault, made: Volume, plain: Volume, findings: list[Finding]) -> bool:
    """Return whether a fault was found, or corrected."""
    if fault.code:
        return any(finding.code == fault.code and finding.level != "note" for finding in findings)
    one, two = (volume.array != 0 for volume in (made, plain))
    agreement = 2 * (one & two).sum() / (one.sum() + two.sum())
    return not any(finding.level != "note" for finding in findings) and float(agreement) > 0.97


def dice(result: Segmentation, plain: Segmentation) -> str:
    """Return the Dice coefficient with the untouched patient's result of each region."""
    pairs = zip(result.masks, plain.masks, strict=True)
    return " / ".join(f"{2 * (a & b).sum() / max(1, a.sum() + b.sum()):.3f}" for a, b in pairs)


def try_faults(volumes: list[tuple[str, Volume]]) -> None:
    """Print how many of the faults of several patients were found or corrected."""
    for name, fault in FAULTS.items():
        missed = []
        for number, (case, volume) in enumerate(volumes):
            made = cleaned(fault.make(volume, volumes[number - 1][1]))
            if not passes(fault, made, volume, check_volume(made, GLIOMA)):
                missed.append(case)
        kind = fault.code or "corrected"
        print(f"{name:<30} {kind:<14} {len(volumes) - len(missed)} of {len(volumes)}", *missed, flush=True)


def try_model(volume: Volume) -> None:
    """Print the Dice coefficients of one patient's faulty images with the result of the untouched ones."""
    model = load_model(device="cpu")
    plain = segment_volume(volume, model)
    for name, fault in FAULTS.items():
        made = cleaned(fault.make(volume, volume))
        findings = check_volume(made, GLIOMA)
        codes = ", ".join(f"{finding.level} {finding.code}" for finding in findings)
        same = made.array.shape == volume.array.shape and not any(finding.level == "refuse" for finding in findings)
        print(f"{name:<30} {dice(segment_volume(made, model), plain) if same else '-':<24} {codes}", flush=True)


def main() -> None:
    """Run the trials that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--patients", type=int, default=12, help="patients of whom faults are made")
    parser.add_argument("--all", action="store_true", help="check every patient as it is first")
    parser.add_argument("--segment", help="case whose faulty images are segmented")
    parser.add_argument("--only", default="", help="faults whose name holds this word")
    arguments = parser.parse_args()
    cases = find_cases(arguments.cohort)
    for name in [name for name in FAULTS if arguments.only not in name]:
        del FAULTS[name]
    if arguments.all:
        alarms = 0
        for case in cases:
            findings = [f for f in check_volume(read_volume(case, GLIOMA), GLIOMA) if f.level != "note"]
            alarms += bool(findings)
            for finding in findings:
                print(f"{case.id}: {finding.code}: {finding.message}")
        print(f"untouched patients: {alarms} of {len(cases)} warned of")
    chosen = cases[:: max(1, len(cases) // arguments.patients)][: arguments.patients] if arguments.patients else []
    if chosen:
        try_faults([(case.id, read_volume(case, GLIOMA)) for case in chosen])
    for case in cases:
        if case.id == arguments.segment:
            try_model(read_volume(case, GLIOMA))


if __name__ == "__main__":
    main()
