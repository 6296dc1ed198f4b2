"""From patients' files to segmentations, uncertainty maps and a manifest, in the patients' own geometry."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunetseg import __version__
from tunetseg.data.case import Case
from tunetseg.data.volume import Grid, read_volume, write_nifti
from tunetseg.errors import InputError
from tunetseg.files import whole_file
from tunetseg.inference.device import uses_bfloat16
from tunetseg.inference.ensemble import Ensemble
from tunetseg.inference.postprocess import Postprocessing, postprocess
from tunetseg.inference.uncertainty import uncertainty
from tunetseg.regions import FILE_WORDS, LabelScheme, scheme_named

__all__ = ["NOT_A_DEVICE", "Segmentation", "segment_cases"]

NOT_A_DEVICE = "research use, not a medical device"

_UNLABELLED = "2023"
"""Label values of a case whose dataset is unknown: the newest convention."""


@dataclass(frozen=True)
class Segmentation:
    """What was written for one case.

    Args:
        case: Its name.
        label_map: File of the label map.
        manifest: What the manifest holds.
    """

    case: str
    label_map: Path
    manifest: dict[str, Any]


def segment_cases(
    cases: Iterable[Case],
    out: str | Path,
    ensemble: Ensemble,
    *,
    labels: str | None = None,
    probabilities: bool = False,
    rules: Postprocessing | None = None,
    on_fault: Callable[[InputError], None] | None = None,
    progress: Callable[[str, float], None] = lambda case, share: None,
) -> list[Segmentation]:
    """Segment cases one after another.

    Args:
        cases: What to segment; a segmentation that they may have is not looked at.
        out: Folder of the results, made if need be.
        ensemble: One or several models.
        labels: Year or dataset whose label values are written; by default those of the case's own dataset.
        probabilities: Write the probabilities too.
        rules: Post-processing; the paper's unless said otherwise.
        on_fault: Told of each broken case, which is then left out; None: the first fault is raised.
        progress: Told the case and the share of it that is done, 0 to 1.

    Returns:
        One record a case that was segmented.

    Raises:
        InputError: A case or a setting is at fault.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a folder for the results")
    if labels is not None:
        _fitting_scheme(labels, ensemble.spec.architecture.regions)
    folder.mkdir(parents=True, exist_ok=True)
    models = ensemble.describe()
    done = []
    for case in cases:
        try:
            done.append(
                _segment_case(
                    case, folder, ensemble, models, labels, probabilities, rules or Postprocessing(), progress
                )
            )
        except InputError as fault:
            if on_fault is None:
                raise
            on_fault(fault)
    return done


def _fitting_scheme(name: str, regions: tuple[str, ...]) -> LabelScheme:
    scheme = scheme_named(name)
    if scheme.region_names != regions:
        raise InputError(f"labels {name}: its regions {scheme.region_names} are not the model's {regions}")
    return scheme


def _segment_case(
    case: Case,
    folder: Path,
    ensemble: Ensemble,
    models: list[dict[str, object]],
    labels: str | None,
    probabilities: bool,
    rules: Postprocessing,
    progress: Callable[[str, float], None],
) -> Segmentation:
    began = time.monotonic()
    progress(case.id, 0.0)
    spec = ensemble.spec
    regions = spec.architecture.regions
    scheme = _fitting_scheme(labels or case.labels or _UNLABELLED, regions)
    _spare_inputs(case, folder)
    volume = read_volume(case, spec.modalities)
    found = ensemble.predict(volume, lambda share: progress(case.id, 0.1 + 0.7 * share))
    masks, notes = postprocess(found, regions, volume.grid.voxel_ml * 1000, rules)
    if not _looks_stripped(volume.array):
        notes.append("hardly any voxel is 0: is the skull removed? The model has only seen brains without it")
    files = _outputs(case.id, regions, scheme, masks, found, probabilities)
    manifest = {
        "case": case.id,
        "labels": scheme.name,
        "label_values": {str(value): scheme.values[value] for value in scheme.shells},
        "volume_ml": {
            name: round(float(mask.sum()) * volume.grid.voxel_ml, 3) for name, mask in zip(regions, masks, strict=True)
        },
        "notes": notes,
        "files": list(files),
        "inputs": {modality: case.images[modality].name for modality in spec.modalities},
        "models": models,
        "settings": {
            "postprocessing": asdict(rules),
            "overlap": ensemble.overlap,
            "mirror": ensemble.mirror,
            "precision": "bf16" if uses_bfloat16(ensemble.precision, ensemble.device) else "32",
            "device": str(ensemble.device),
        },
        "version": __version__,
        "use": NOT_A_DEVICE,
    }
    _write(folder, case.id, files, volume.grid, manifest, began)
    progress(case.id, 1.0)
    return Segmentation(case.id, folder / f"{case.id}.nii.gz", manifest)


def _spare_inputs(case: Case, folder: Path) -> None:
    """Four files named ``t1.nii.gz`` and so on make a case ``t1``, whose label map would be written over its T1."""
    target = folder / f"{case.id}.nii.gz"
    inputs = (path for path in (*case.images.values(), case.segmentation) if path is not None)
    if target.resolve() in {path.resolve() for path in inputs}:
        raise InputError(f"{target}: is the patient's own file; choose another --out, or another --name for the case")


def _looks_stripped(array: NDArray[np.float32]) -> bool:
    return float((array == 0).mean()) > 0.05


def _outputs(
    case: str,
    regions: tuple[str, ...],
    scheme: LabelScheme,
    masks: NDArray[np.bool_],
    found: NDArray[np.float32],
    probabilities: bool,
) -> dict[str, NDArray]:
    """File name -> array in LPS order; the label map last, so that it stands only beside all its maps."""
    files: dict[str, NDArray] = {}
    for name, probability in zip(regions, found, strict=True):
        short = FILE_WORDS.get(name, name)
        # Whole percents: the challenge asks for 0 to 100, and finer steps only cost disk.
        files[f"{case}_unc_{short}.nii.gz"] = np.rint(uncertainty(probability)).astype(np.uint8)
        if probabilities:
            files[f"{case}_prob_{short}.nii.gz"] = probability
    files[f"{case}.nii.gz"] = scheme.merge(masks)
    return files


def _withdraw(manifest: Path, case: str) -> None:
    """Remove what an earlier run wrote for a case, its manifest first, so that old maps never stand beside new ones."""
    try:
        listed = json.loads(manifest.read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        listed = []
    manifest.unlink(missing_ok=True)
    for name in (f"{case}.nii.gz", f"{case}.png", *listed):
        if str(name).startswith(case) and Path(str(name)).name == name:
            (manifest.parent / name).unlink(missing_ok=True)


def _write(
    folder: Path, case: str, files: dict[str, NDArray], grid: Grid, manifest: dict[str, Any], began: float
) -> None:
    """Write all files, the manifest last."""
    target = folder / f"{case}.json"
    _withdraw(target, case)
    for name, array in files.items():
        write_nifti(grid.from_lps(array), grid, folder / name)
    manifest["seconds"] = round(time.monotonic() - began, 2)
    with whole_file(target) as partial:
        partial.write_text(json.dumps(manifest, indent=1))
