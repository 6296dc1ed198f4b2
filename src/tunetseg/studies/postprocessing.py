"""Other post-processing of segmentations that are there, from their probability maps, without the networks."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from tunetseg.datasets import DatasetDescription, Postprocessing
from tunetseg.errors import InputError
from tunetseg.inference.manifest import read_manifest
from tunetseg.inference.postprocess import postprocess
from tunetseg.io import read_image, write_image
from tunetseg.io.files import make_folder, read_json, whole_file
from tunetseg.progress import Progress, silent

__all__ = ["manifests", "postprocess_folder"]


def manifests(folder: Path) -> dict[str, Path]:
    """Return case -> manifest of the segmentations in a folder that are complete."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            said = read_manifest(path)
        except InputError:  # damaged, so the case is segmented again
            continue
        if said and all((folder / name).is_file() for name in said["files"]):
            found[str(said["case"])] = path
    return found


def postprocess_folder(
    source: Path,
    out: Path,
    dataset: DatasetDescription,
    rules_of: Callable[[str], Postprocessing | None],
    *,
    progress: Progress = silent,
) -> Path:
    """Write the label maps that other rules make of probability maps; complete ones of the same rules are skipped.

    Uncertainty maps, which no rule changes, are the source's own. The manifest, which marks a case as complete, is
    removed first and written last.

    Args:
        source: What ``tunet segment --probabilities`` wrote.
        out: Folder to write to.
        dataset: Of the models.
        rules_of: Name of a case -> the rules for it; None leaves the case out.
        progress: Told after each case.

    Returns:
        ``out``.

    Raises:
        InputError: A probability map is missing or cannot be read.
    """
    make_folder(out)
    there = {manifest: rules for case, manifest in manifests(source).items() if (rules := rules_of(case)) is not None}
    for number, (manifest, rules) in enumerate(there.items(), start=1):
        _postprocess_case(manifest, out, dataset, rules)
        progress(f"post-processing, {out.name}", number, len(there))
    return out


def _postprocess_case(manifest: Path, out: Path, dataset: DatasetDescription, rules: Postprocessing) -> None:
    said, plain = read_manifest(manifest), msgspec.to_builtins(rules)
    facts = {**said, "settings": {**said["settings"], "postprocessing": plain}, "source": str(manifest)}
    stem = manifest.stem
    earlier = read_json(out / manifest.name)
    # The models' hashes and the settings are in the manifest, so that equal ones are of equal results.
    keys = "settings", "models", "inputs", "input_files", "labels", "label_values"
    if (out / f"{stem}.nii.gz").exists() and all(
        earlier.get(key) == json.loads(json.dumps(facts.get(key))) for key in keys
    ):
        return
    paths = [manifest.with_name(f"{stem}_prob_{region.word}.nii.gz") for region in dataset.regions]
    absent = next((path for path in paths if not path.exists()), None)
    if absent is not None:
        raise InputError(f"{absent}: is missing; segment with probability maps")
    images = [read_image(path) for path in paths]
    probabilities = np.stack([image.array for image in images]).astype(np.float32, copy=False)
    masks, notes = postprocess(probabilities, dataset.region_names, images[0].grid.voxel_ml * 1000, rules)
    values = np.array([0, *map(int, said["label_values"])], np.uint8)
    (out / manifest.name).unlink(missing_ok=True)
    for region in dataset.regions:
        name = f"{stem}_unc_{region.word}.nii.gz"
        _share(manifest.with_name(name), out / name)
    write_image(out / f"{stem}.nii.gz", values[masks.sum(axis=0)], images[0].stored, oriented=images[0].oriented)
    voxels = masks.reshape(len(masks), -1).sum(axis=1)
    facts["volume_ml"] = {
        name: round(float(count) * images[0].grid.voxel_ml, 3)
        for name, count in zip(dataset.region_names, voxels, strict=True)
    }
    facts["notes"] = notes
    facts["files"] = [name for name in said["files"] if "_prob_" not in name]
    with whole_file(out / manifest.name) as partial:
        partial.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _share(path: Path, target: Path) -> None:
    """Give a file another name too; what is written here is replaced as a whole, never changed."""
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
