"""Which voxels are brain: by another program that is installed. Nothing is installed or downloaded from here."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunetseg.errors import InputError
from tunetseg.io import Image, read_image, write_image

__all__ = ["EXTRACTORS", "BrainExtractor", "find_extractor", "installed_extractors"]

_HD_BET_WEIGHTS = Path("hd-bet_params", "release_2.0.0", "fold_all", "checkpoint_final.pth")
"""Below the home folder; without them HD-BET would download them."""


@dataclass(frozen=True)
class BrainExtractor:
    """A program that finds the brain in the image of a head.

    Args:
        name: What it is called.
        title: Name and version, for records.
        run: Receives the file of an image and the file in which the mask is wanted.
    """

    name: str
    title: str
    run: Callable[[Path, Path], None]

    def __call__(self, image: Image) -> NDArray[np.bool_]:
        """Return the mask of the brain.

        Args:
            image: A head with its skull, mostly the contrast-enhanced T1.

        Returns:
            Booleans, shape of ``image.array``.

        Raises:
            InputError: The program failed, or found no brain.
        """
        with tempfile.TemporaryDirectory() as temporary:
            given, mask = Path(temporary) / "head.nii.gz", Path(temporary) / "mask.nii.gz"
            write_image(given, image.array.astype(np.float32), image.grid)
            try:
                self.run(given, mask)
                found = read_image(mask).array > 0.5
            except (InputError, OSError, subprocess.SubprocessError, ValueError, RuntimeError, AssertionError) as fault:
                raise InputError(
                    f"{self.title} found no brain ({_last_line(fault)}); give a mask of your own"
                ) from None
        if found.shape != image.array.shape or not found.any():
            raise InputError(f"{self.title} found no brain; give a mask of your own")
        return found


def _last_line(fault: Exception) -> str:
    said = fault.stderr if isinstance(fault, subprocess.CalledProcessError) and fault.stderr else str(fault)
    return (said.strip().splitlines() or [type(fault).__name__])[-1]


def installed_extractors() -> list[BrainExtractor]:
    """Return the programs that are installed with their weights, best first."""
    return [one for one in (find() for find in EXTRACTORS.values()) if one is not None]


def find_extractor(name: str | None = None) -> BrainExtractor:
    """Return an installed program.

    Args:
        name: One of ``EXTRACTORS``; None takes the first that is installed.

    Raises:
        InputError: There is no such program, or it is not installed.
    """
    known = ", ".join(EXTRACTORS)
    if name is None:
        found = installed_extractors()
        if not found:
            raise InputError(
                f"no brain extraction is installed; install one of {known}, or give a mask of the brain (--mask), or "
                "choose none where the skull is already removed (--brain none)"
            )
        return found[0]
    if name not in EXTRACTORS:
        raise InputError(f"unknown brain extraction {name!r}; choose from {known}")
    one = EXTRACTORS[name]()
    if one is None:
        hint = "run it once by hand, so that it has its weights" if name == "hd-bet" and _command("hd-bet") else ""
        raise InputError(
            f"{name} is not installed{f' completely; {hint}' if hint else ''}, or give a mask of the brain"
        )
    return one


def _command(name: str) -> str | None:
    return shutil.which(name)


def _execute(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


def _hd_bet() -> BrainExtractor | None:
    """HD-BET 2 (Isensee et al. 2019), trained on glioma patients among others."""
    command = _command("hd-bet")
    if command is None or not (Path.home() / _HD_BET_WEIGHTS).is_file():
        return None

    def run(image: Path, mask: Path) -> None:
        out = mask.with_name("brain.nii.gz")
        _execute(command, "-i", str(image), "-o", str(out), "-device", _device(), "--save_bet_mask", "--no_bet_image")
        shutil.move(mask.with_name("brain_bet.nii.gz"), mask)

    return BrainExtractor("hd-bet", f"HD-BET {_version('hd-bet', 'HD_BET')}".strip(), run)


def _synthstrip() -> BrainExtractor | None:
    """SynthStrip (Hoopes et al. 2022), a command of FreeSurfer."""
    command = _command("mri_synthstrip")
    if command is None:
        return None
    return BrainExtractor(
        "synthstrip", "SynthStrip", lambda image, mask: _execute(command, "-i", str(image), "-m", str(mask))
    )


def _deepbet() -> BrainExtractor | None:
    """The package deepbet (Fisch et al. 2024), whose weights come with it; made for T1 of healthy brains."""
    if find_spec("deepbet") is None:
        return None

    def run(image: Path, mask: Path) -> None:
        from deepbet import run_bet

        run_bet([str(image)], mask_paths=[str(mask)], skip_broken=False)

    return BrainExtractor("deepbet", f"deepbet {_version('deepbet')}".strip(), run)


def _version(*names: str) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def _device() -> str:
    from tunetseg.models.device import choose_device

    return choose_device("auto").type


EXTRACTORS: dict[str, Callable[[], BrainExtractor | None]] = {
    "hd-bet": _hd_bet,
    "synthstrip": _synthstrip,
    "deepbet": _deepbet,
}
"""Name -> function that returns the program, or None where it is not installed."""
