"""Folders with the names of BIDS: which of their images and segmentations are those of the cases."""

import re
from collections.abc import Sequence
from pathlib import Path

from tunetseg.datasets.recognition import REFERENCE, Match
from tunetseg.io.files import read_json
from tunetseg.io.readers import image_stem

__all__ = ["entity_order", "is_bids", "without_derivatives"]

_DERIVED = ("derivatives", "sourcedata")


def is_bids(match: Match) -> bool:
    """Return whether a file has the names of BIDS, or of a dataset that extends them."""
    return match.description.files.numbering == "bids"


def without_derivatives(found: Sequence[tuple[Path, Match]], root: Path) -> list[tuple[Path, Match]]:
    """Leave out what processing made of a BIDS folder's images.

    Images below ``derivatives`` and ``sourcedata`` are left out where the folder holds others. A plain
    ``<case>_dseg`` of a derivative is left out where the folder holds images: it mostly shows grey and white matter.

    Args:
        found: Files, and what their names say.
        root: The folder; absolute.
    """
    images = [(path, match) for path, match in found if match.roles[0][0] != REFERENCE]
    raw = any(is_bids(match) and not _is_below(match.root, root) for _, match in images)
    left_out = {path for path, match in images if raw and _is_below(match.root, root)}
    if images:
        left_out |= {path for path, match in found if _is_plain(path, match) and _is_derivative(match.root)}
    return [(path, match) for path, match in found if path not in left_out]


def _is_below(folder: Path, root: Path) -> bool:
    return any(part in _DERIVED for part in folder.parts[len(root.parts) :])


def _is_plain(path: Path, match: Match) -> bool:
    return match.description.name == "bids" and f"{image_stem(path)}".lower() == f"{match.case}_dseg".lower()


def _is_derivative(folder: Path) -> bool:
    """Return whether a folder is of a derivative, by the folders above it or the description above the subject."""
    if "derivatives" in folder.parts:
        return True
    top = next((above.parent for above in (folder, *folder.parents) if above.name.startswith("sub-")), folder)
    return read_json(top / "dataset_description.json").get("DatasetType") == "derivative"


def entity_order(path: Path) -> tuple[int, int] | None:
    """Return what sorts the files of one sequence: the fewest entities first, then the last run.

    Args:
        path: Its name counts.

    Returns:
        Count of the entities other than ``run``, and the negative number of the run; None for a name that is not of
        BIDS.

    Examples:
        >>> entity_order(Path("sub-01_run-2_T1w.nii.gz")), entity_order(Path("sub-01_acq-3d_T1w.nii.gz"))
        ((1, -2), (2, 0))
        >>> entity_order(Path("anna_t1.nii.gz"))
    """
    entities = (image_stem(path) or "").split("_")[:-1]
    if not entities or not entities[0].startswith("sub-"):
        return None
    runs = [int(found[1]) for entity in entities if (found := re.fullmatch(r"run-(\d+)", entity))]
    return len(entities) - len(runs), -max(runs, default=0)
