"""Real patients made raw again, prepared with ``tunet prepare``, and segmented: Dice with the plain result.

Every patient's T1ce gets a skull and another place and turn in the world. T1, T2 and FLAIR get a skull too, are turned
and shifted against it each in another way, and are resampled to grids of their own: T2 and FLAIR to slices of 3 mm. The
skull is 6 mm of dark bone and 6 mm of bright scalp.

The brain is found by an installed program, or with --mask in the way of a user who has a mask of the T1ce. The label
map is compared on the T1ce, and on the raw FLAIR with the plain label map brought there by the true motion.

    python benchmarks/raw_scans.py COHORT --patients 6 --mask
    python benchmarks/raw_scans.py COHORT --patients 2 --register
"""

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tunetseg import load_model, segment
from tunetseg.datasets import Case, find_cases, find_description
from tunetseg.io import Grid, Image, read_image, write_image
from tunetseg.preparation.brain import find_extractor
from tunetseg.preparation.raw import prepare_case
from tunetseg.preparation.registration import register
from tunetseg.preparation.regrid import regrid, regrid_masks

GLIOMA = find_description("glioma")
SPACING = {"t1": (1.0, 1.0, 1.0), "t2": (0.9, 0.9, 3.0), "flair": (0.9, 0.9, 3.0)}


def motion(random: np.random.Generator, degrees: float, mm: float) -> NDArray[np.float64]:
    """Return a turn about each axis and a shift, as world to world."""
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", random.uniform(-degrees, degrees, 3), degrees=True).as_matrix()
    move[:3, 3] = random.uniform(-mm, mm, 3)
    return move


def with_skull(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put bone and scalp around a brain."""
    distance = ndimage.distance_transform_edt(array == 0)
    median = np.median(array[array != 0])
    result = array.copy()
    result[(distance > 0) & (distance <= 6)] = 0.1 * median
    result[(distance > 6) & (distance <= 12)] = 1.2 * median
    return result


def make_raw(case: Case, folder: Path, seed: int) -> tuple[Case, dict[str, NDArray[np.float64]]]:
    """Write raw scans; return their case, and where each channel was moved: old world to new world."""
    random = np.random.default_rng(seed)
    common = motion(random, 10, 20)
    images, moves = {}, {}
    for channel, path in case.images.items():
        image = read_image(path)
        array, grid, move = with_skull(image.array), image.grid, common
        if channel != "t1ce":
            move = motion(random, 8, 12) @ common
            factor = np.array(SPACING[channel]) / grid.spacing
            x, y, z = (int(count / size) for count, size in zip(grid.shape, factor, strict=True))
            own = Grid(grid.affine @ np.diag([*factor, 1]), (x, y, z))
            array, grid = regrid(array, grid, own), own
        moves[channel] = move
        images[channel] = folder / f"{channel}.nii.gz"
        write_image(images[channel], array, Grid(move @ grid.affine, grid.shape))
    return Case(case.id, images), moves


def dice(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> str:
    """Return the Dice coefficient of each region."""
    pairs = zip(one, two, strict=True)
    return " / ".join(f"{2 * (a & b).sum() / max(1, a.sum() + b.sum()):.3f}" for a, b in pairs)


def try_patients(cases: list[Case], own_mask: bool) -> None:
    """Print per patient the Dice coefficients, the agreement of the brain's mask, and seconds."""
    model = load_model(device="cpu")
    for number, case in enumerate(cases):
        plain = segment(case, model=model)
        brain = read_image(case.images["t1ce"]).array != 0
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            raw, moves = make_raw(case, folder, number)
            find: Callable[[Image], NDArray[np.bool_]] = (
                (lambda _, brain=brain: brain) if own_mask else find_extractor()
            )
            began, cpu = time.monotonic(), time.process_time()
            prepared = prepare_case(raw, GLIOMA, find, brain="mask" if own_mask else "installed")
            seconds, cpu = time.monotonic() - began, time.process_time() - cpu
            prepared.save(folder / "prepared")
            done = find_cases(folder / "prepared")[0]
            same = segment(done, model=model)
            back = segment(done, model=model, grid="flair")
        # The plain label map where the raw FLAIR lies, by the true motion.
        there = regrid_masks(plain.masks, plain.grid, back.grid, move=moves["flair"])
        warned = " ".join(finding.code for finding in same.warnings) or "-"
        agreement = 2 * (brain & prepared.mask).sum() / (brain.sum() + prepared.mask.sum())
        print(
            f"{case.id}: T1ce {dice(same.grid.to_lps(same.masks), plain.grid.to_lps(plain.masks))}, "
            f"FLAIR {dice(back.masks, there)}, brain {agreement:.3f}, {seconds:.0f} s ({cpu:.0f} CPU s), {warned}",
            flush=True,
        )


def by_ants(fixed: Path, moving: Path) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return how ANTs moves points of the fixed world to the moving one."""
    import ants  # type: ignore[import-not-found]
    import SimpleITK

    made = ants.registration(ants.image_read(str(fixed)), ants.image_read(str(moving)), "Rigid", random_seed=1)
    transform = SimpleITK.ReadTransform(made["fwdtransforms"][0])
    flip = np.array([-1, -1, 1])
    return lambda points: np.array([transform.TransformPoint(point) for point in (points * flip).tolist()]) * flip


def try_registration(cases: list[Case]) -> None:
    """Print how far each library misses the true place of voxels of the brain, FLAIR to T1ce."""
    for number, case in enumerate(cases):
        with TemporaryDirectory() as temporary:
            raw, moves = make_raw(case, Path(temporary), number)
            fixed, moving = (read_image(raw.images[name]) for name in ("t1ce", "flair"))
            image = nib.load(case.images["t1ce"])
            inside = np.argwhere(np.asarray(image.dataobj) != 0)[::3000] @ image.affine[:3, :3].T + image.affine[:3, 3]
            there, truth = (apply(moves[name], inside) for name in ("t1ce", "flair"))
            cpu = time.process_time()
            back = np.linalg.inv(register(fixed, moving))
            tell(case, "SimpleITK", apply(back, there) - truth, cpu)
            try:
                cpu = time.process_time()
                points = by_ants(raw.images["t1ce"], raw.images["flair"])(there)
            except ModuleNotFoundError:
                continue
            tell(case, "ANTs", points - truth, cpu)


def apply(move: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move points of shape (n, 3)."""
    return points @ move[:3, :3].T + move[:3, 3]


def tell(case: Case, name: str, missed: NDArray[np.float64], began: float) -> None:
    """Print one registration."""
    far = np.linalg.norm(missed, axis=1)
    seconds = time.process_time() - began
    print(f"{case.id}: {name}: mean {far.mean():.2f} mm, greatest {far.max():.2f} mm, {seconds:.0f} CPU s", flush=True)


def main() -> None:
    """Run the trials that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--mask", action="store_true", help="give the true mask of the brain instead of a program's")
    parser.add_argument("--register", action="store_true", help="compare registrations only")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    cases = find_cases(arguments.cohort)
    chosen = cases[:: max(1, len(cases) // arguments.patients)][: arguments.patients]
    if arguments.register:
        try_registration(chosen)
    else:
        try_patients(chosen, arguments.mask)


if __name__ == "__main__":
    main()
