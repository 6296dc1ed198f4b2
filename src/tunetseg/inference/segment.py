"""From patients' files to segmentations, uncertainty maps and a manifest, in the patients' own geometry."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunetseg import __version__
from tunetseg.datasets import FILE_WORDS, LabelScheme, fitting_scheme
from tunetseg.datasets.case import Case
from tunetseg.errors import InputError
from tunetseg.inference.ensemble import Ensemble
from tunetseg.inference.postprocess import Postprocessing, postprocess
from tunetseg.inference.uncertainty import uncertainty
from tunetseg.io.files import SIGNATURE, make_folder, read_json, whole_file
from tunetseg.io.volume import Grid, Volume, read_volume, was_written_here, write_nifti
from tunetseg.models.device import uses_bfloat16

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
    if labels is not None:
        fitting_scheme(labels, ensemble.spec.architecture.regions)
    cases = list(cases)
    if on_fault is None:
        for case in cases:
            case.check(ensemble.spec.modalities)
    folder = make_folder(out)
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
            if on_fault is not None:
                on_fault(fault)
            elif len(cases) > 1:
                raise InputError(f"{fault} ({len(done)} of {len(cases)} cases are done; see --skip-broken)") from None
            else:
                raise
    return done


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
    scheme = fitting_scheme(labels or case.labels or _UNLABELLED, regions)
    _spare_others(case, folder, regions)
    volume = read_volume(case, spec.modalities)
    found = ensemble.predict(volume, lambda share: progress(case.id, 0.1 + 0.7 * share))
    masks, notes = postprocess(found, regions, volume.grid.voxel_ml * 1000, rules)
    notes += _background_note(volume, spec.modalities) + _orientation_note(volume.grid)
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
    _write(folder, case.id, files, volume.grid, manifest, regions, began)
    progress(case.id, 1.0)
    return Segmentation(case.id, folder / f"{case.id}.nii.gz", manifest)


def _background_note(volume: Volume, modalities: Sequence[str]) -> list[str]:
    """What to say of images that do not look skull-stripped, if there are any."""
    images = zip(modalities, volume.array, strict=True)
    full = [name for name, image in images if float((image == 0).mean()) < 0.05]
    doubt = f"hardly any voxel of {', '.join(full)} is 0: is the skull removed, and the background 0?"
    return [f"{doubt} The model has only seen such images"] if full else []


def _orientation_note(grid: Grid) -> list[str]:
    """What to say of a header with neither qform nor sform."""
    if int(grid.header["qform_code"]) or int(grid.header["sform_code"]):
        return []
    return ["the header does not say how the patient lies; x to the left, y to the front and z up was assumed"]


def _spare_others(case: Case, folder: Path, regions: tuple[str, ...]) -> None:
    """Nothing is written over, or removed, that is not this program's.

    Four files named ``t1.nii.gz`` and so on make a case ``t1``, whose label map would be written over its T1, and its
    manifest over what a converter said of it. A label map of a case's name may also be an expert's.
    """
    inputs = {path.resolve() for path in (*case.images.values(), case.segmentation) if path is not None}
    for target in (folder / name for name in _names(case.id, regions)):
        if target.resolve() in inputs:
            raise InputError(
                f"{target}: is the patient's own file; choose another --out, or another --name for the case"
            )
        if target.exists() and not _is_ours(target):
            raise InputError(f"{target}: is there already and was not written by tunetseg; choose another --out")


def _names(case: str, regions: tuple[str, ...]) -> list[str]:
    """Every file that ``tunet segment`` may leave of a case; first the manifest, which says that all are there."""
    words = [FILE_WORDS.get(region, region) for region in regions]
    maps = [f"{case}_{kind}_{word}.nii.gz" for kind in ("unc", "prob") for word in words]
    return [f"{case}.json", f"{case}.png", *maps, f"{case}.nii.gz"]


def _is_ours(path: Path) -> bool:
    if path.suffix == ".json":
        return read_json(path).get("use") == NOT_A_DEVICE
    if path.suffix == ".png":
        with path.open("rb") as file:
            return SIGNATURE.encode() in file.read(256)
    return was_written_here(path)


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


def _write(
    folder: Path,
    case: str,
    files: dict[str, NDArray],
    grid: Grid,
    manifest: dict[str, Any],
    regions: tuple[str, ...],
    began: float,
) -> None:
    """Write all files aside, then put them in the place of an earlier run's.

    From the first of them to the last no manifest stands there, which says that the case is complete.
    """
    with tempfile.TemporaryDirectory(prefix=f".{case}.", dir=folder) as aside:
        for name, array in files.items():
            write_nifti(grid.from_lps(array), grid, Path(aside) / name)
        manifest["seconds"] = round(time.monotonic() - began, 2)
        with whole_file(Path(aside) / f"{case}.json") as partial:
            partial.write_text(json.dumps(manifest, indent=1))
        for name in _names(case, regions):
            if name not in files:
                (folder / name).unlink(missing_ok=True)
        for name in (*files, f"{case}.json"):
            os.replace(Path(aside) / name, folder / name)
