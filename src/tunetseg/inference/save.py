"""Writing a segmentation to files, so that half-written results never look complete."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tunetseg import __version__
from tunetseg.datasets import Case, DatasetDescription, check_case_name, prediction_name
from tunetseg.errors import InputError
from tunetseg.inference.manifest import read_manifest
from tunetseg.inference.segmentation import NOT_A_DEVICE, Segmentation
from tunetseg.inference.uncertainty import uncertainty
from tunetseg.io import write_image
from tunetseg.io.bounded import check_file, open_file
from tunetseg.io.files import SIGNATURE, make_folder, read_json, whole_file
from tunetseg.io.nifti import was_written_here
from tunetseg.io.scratch import scratch_folder
from tunetseg.limits import processors
from tunetseg.preparation.record import read_record

if TYPE_CHECKING:
    from tunetseg.inference.predictor import Predictor
    from tunetseg.io.dicom import Series

_THREADS = min(4, processors())
"""Files that are written at once."""

__all__ = ["check_free", "is_complete", "is_made_from", "manifest_file", "manifest_of", "save_segmentation"]


def save_segmentation(
    result: Segmentation,
    folder: str | Path,
    *,
    probabilities: bool = False,
    picture: bool = False,
    dicom: bool = False,
    report: bool = False,
) -> Path:
    """Write the label map, the uncertainty maps and a manifest of one case.

    All files are written to a hidden folder first, then moved to their names. The manifest, which marks a case as
    complete, is removed first and moved last. Files of an earlier run are replaced, those of other programs never.

    Args:
        result: What to write.
        folder: Created if needed.
        probabilities: Write the probability maps too.
        picture: Draw a picture too.
        dicom: Write the label map, and probabilities if asked for, as DICOM SEG objects too.
        report: Write a page too.

    Returns:
        The file of the label map.

    Raises:
        InputError: The folder cannot be written to, a file that was not written by tunetseg would be replaced, the name
            of the case cannot begin the name of a file, or no DICOM series is known that a SEG object can refer to.
    """
    target = make_folder(folder)
    stem = _stem(result.case, result.source, result.dataset)
    _refuse_to_replace(target, stem, result.source, result.dataset)
    maps = _maps(result, stem, probabilities)
    with scratch_folder(target) as aside:

        def write(name: str) -> None:
            write_image(aside / name, result.grid.to_lps(maps[name]()), result.grid, oriented=result.oriented)

        with ThreadPoolExecutor(_THREADS) as pool:  # compression does not hold Python's lock
            list(pool.map(write, maps))
        names = [*maps]
        if picture:
            _draw(result, aside / f"{stem}.png")
            names.insert(0, f"{stem}.png")
        if dicom:
            names = _write_dicom(result, aside, stem, probabilities) + names
        if report:
            result.report(aside / f"{stem}.html")
            names.insert(0, f"{stem}.html")
        with whole_file(aside / f"{stem}.json") as unfinished:
            unfinished.write_text(json.dumps(manifest_of(result, names), indent=1))
        for name in _names(stem, result.dataset):
            if name not in names:
                (target / name).unlink(missing_ok=True)
        for name in (*names, f"{stem}.json"):
            os.replace(aside / name, target / name)
    return target / f"{stem}.nii.gz"


def _write_dicom(result: Segmentation, aside: Path, stem: str, probabilities: bool) -> list[str]:
    """Write DICOM SEG objects that refer to the series on whose grid the result lies; return their names."""
    from tunetseg.io.dicom import write_dicom_labels, write_dicom_probabilities

    channel = result.facts.get("grid", "")
    series = _series_of(result.source, channel) if result.source is not None else None
    if series is None:
        raise InputError(f"{result.case}: no DICOM series is known, so no DICOM SEG object can refer to it")
    meanings = {value: result.scheme.values[value] for value in result.scheme.exclusive_labels}
    names = [f"{stem}_seg.dcm"]
    write_dicom_labels(aside / names[0], result.label_map, result.grid, series, meanings)
    if probabilities:
        names.append(f"{stem}_prob.dcm")
        titles = [result.dataset.region(region).title or region for region in result.regions]
        clipped = np.clip(result.probabilities, 0, 1)
        write_dicom_probabilities(aside / names[1], clipped, result.grid, series, titles)
    return names


def _series_of(case: Case, channel: str) -> "Series | None":
    """Return the DICOM series of a channel, or that of the raw scan that it was made of."""
    record = read_record(case)
    if record is not None and channel in record.scans:
        return record.scans[channel].series()
    return case.series.get(channel)


def check_free(folder: Path, case: Case, dataset: DatasetDescription) -> None:
    """Raise InputError where saving the segmentation of a case would replace files of another program.

    Args:
        folder: Where it is to be saved.
        case: What is to be segmented.
        dataset: Dataset of the model.
    """
    _refuse_to_replace(folder, _stem(case.id, case, dataset), case, dataset)


def is_complete(
    folder: Path,
    case: Case,
    model: "Predictor",
    labels: str,
    wanted: Sequence[str] = (),
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    """Return whether a folder holds the whole result of a case, made by the same model with the same settings.

    Args:
        folder: Where it would be saved.
        case: What was segmented.
        model: Which model is asked for.
        labels: Name of the label scheme that is asked for.
        wanted: What the result must hold besides the label map and the uncertainty: ``prob`` maps, a ``png`` picture,
            a ``dcm`` object, an ``html`` page.
        settings: Settings besides those of the model, as the manifest has them.
    """
    stem = _stem(case.id, case, model.dataset)
    manifest = folder / f"{stem}.json"
    try:
        said = read_manifest(manifest)
    except InputError:  # damaged, so the case is segmented again
        return False
    files = said.get("files", [])
    kinds = {
        "png": f"{stem}.png",
        "dcm": f"{stem}_seg.dcm",
        "html": f"{stem}.html",
        "prob": f"{stem}_prob_{model.dataset.regions[0].word}.nii.gz",
    }
    facts = json.loads(json.dumps(model.describe()))
    asked = {**json.loads(json.dumps(dict(settings))), **facts.get("settings", {})}
    return bool(
        said
        and {f"{stem}.nii.gz", *(kinds[kind] for kind in wanted)} <= set(files)
        and all((folder / name).is_file() for name in files)
        and said.get("models") == facts.get("models")
        and said.get("inputs") == _inputs(case, model.dataset)
        and said.get("input_files") == _stamps(case, model.dataset)
        and all(said.get("settings", {}).get(name) == value for name, value in asked.items())
        and said.get("labels") == labels
    )


def is_made_from(manifest: Mapping[str, Any], case: Case, dataset: DatasetDescription) -> bool:
    """Return whether a result was made from the images of a case: by names and sizes of files, or by series.

    Args:
        manifest: Of the result.
        case: The images.
        dataset: Dataset of the model.
    """
    names = _inputs(case, dataset)
    sizes = {name: stamp["bytes"] for name, stamp in _stamps(case, dataset).items()}
    series = {name: one.uid for name, one in case.series.items()}
    return (
        bool(names)
        and manifest.get("inputs") == names
        and {name: stamp["bytes"] for name, stamp in manifest.get("input_files", {}).items()} == sizes
        and {name: one["uid"] for name, one in manifest.get("series", {}).items()} == series
    )


def manifest_file(folder: Path, case: Case, dataset: DatasetDescription) -> Path:
    """Return the manifest of a case.

    Args:
        folder: Where it was saved.
        case: What was segmented.
        dataset: Dataset of the model.
    """
    return folder / f"{_stem(case.id, case, dataset)}.json"


def _stem(name: str, source: Case | None, dataset: DatasetDescription) -> str:
    """Return the name, without ending, of the label map of a case."""
    check_case_name(name)
    own = source.dataset if source is not None and source.dataset is not None else dataset
    return prediction_name(name, own)


def _percents(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return uncertainty as whole percents: the challenge asks for 0 to 100, and finer steps only cost disk."""
    values = uncertainty(probabilities)
    return np.rint(values, out=values).astype(np.uint8)


def _maps(result: Segmentation, stem: str, probabilities: bool) -> dict[str, Callable[[], NDArray]]:
    """Return file name -> what makes the array; the label map last, so that it appears only when all maps are there."""
    maps: dict[str, Callable[[], NDArray]] = {}
    calibrated = result.calibrated(result.probabilities)
    for region, probability, certain in zip(result.dataset.regions, result.probabilities, calibrated, strict=True):
        maps[f"{stem}_unc_{region.word}.nii.gz"] = partial(_percents, certain)
        if probabilities:
            maps[f"{stem}_prob_{region.word}.nii.gz"] = partial(np.asarray, probability)
    maps[f"{stem}.nii.gz"] = partial(np.asarray, result.label_map)
    return maps


def manifest_of(result: Segmentation, files: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the manifest of a result says, ready for JSON.

    Args:
        result: The result.
        files: Names of the files that are written with it.
    """
    facts = result.facts
    return {
        "case": result.case,
        "dataset": result.dataset.name,
        "labels": result.scheme.name,
        "label_values": {str(value): result.scheme.values[value] for value in result.scheme.exclusive_labels},
        "volume_ml": result.volumes_ml,
        "notes": list(result.notes),
        "findings": [finding.to_dict() for finding in result.findings],
        "files": list(files),
        "inputs": _inputs(result.source, result.dataset),
        "input_files": _stamps(result.source, result.dataset),
        "series": _series(result.source),
        "grid": facts.get("grid", ""),
        "missing": list(facts.get("missing", ())),
        "models": facts.get("models", []),
        "settings": {
            "postprocessing": msgspec.to_builtins(facts.get("postprocessing")),
            "calibrated": facts.get("calibrated", False),
            "reference": facts.get("asked_reference"),
            "grid": facts.get("asked_grid"),
            **facts.get("settings", {}),
        },
        "seconds": round(result.seconds, 2),
        "version": __version__,
        "use": NOT_A_DEVICE,
    }


def _inputs(source: Case | None, dataset: DatasetDescription) -> dict[str, str]:
    if source is None:
        return {}
    return {
        name: source.series[name].name if name in source.series else source.images[name].name
        for name in dataset.channel_names
        if name in source.images
    }


def _stamps(source: Case | None, dataset: DatasetDescription) -> dict[str, dict[str, int]]:
    """Return size and time of change of each image file, by which another file of the same name is noticed."""
    stamps: dict[str, dict[str, int]] = {}
    for name in _inputs(source, dataset):
        assert source is not None
        path = source.images[name]
        if name not in source.series and path.is_file():
            facts = path.stat()
            stamps[name] = {"bytes": facts.st_size, "modified_ns": facts.st_mtime_ns}
    return stamps


def _series(source: Case | None) -> dict[str, dict[str, Any]]:
    """Return which DICOM series was taken for which channel, and why; nothing in it names the patient."""
    return {
        channel: {"number": one.key, "description": one.description, "uid": one.uid, "reasons": list(one.guess.reasons)}
        for channel, one in (source.series if source is not None else {}).items()
    }


def _draw(result: Segmentation, path: Path) -> None:
    from tunetseg.report.figure import draw_segmentation, save_figure

    try:
        figure = result.plot(reference=result.source.reference if result.source is not None else None)
    except InputError:
        figure = draw_segmentation(result, invalid_reference=True)
    save_figure(figure, path)


def _names(stem: str, dataset: DatasetDescription) -> list[str]:
    """Return every file that may be written for a case; first the manifest, which says that all are there."""
    words = [region.word for region in dataset.regions]
    maps = [f"{stem}_{kind}_{word}.nii.gz" for kind in ("unc", "prob") for word in words]
    endings = (".json", ".html", ".png", "_seg.dcm", "_prob.dcm")
    return [*(f"{stem}{ending}" for ending in endings), *maps, f"{stem}.nii.gz"]


def _refuse_to_replace(folder: Path, stem: str, source: Case | None, dataset: DatasetDescription) -> None:
    """Raise InputError where a file that this program did not write would be replaced or removed.

    Four files named ``t1.nii.gz`` and so on are a case ``t1``, whose label map would replace its T1, and whose manifest
    would replace the file of a converter. A file with the name of a case may also be its reference.
    """
    given = [] if source is None else [*source.images.values(), source.reference]
    inputs = {os.path.realpath(path) for path in given if path is not None}
    for target in (folder / name for name in _names(stem, dataset)):
        if os.path.realpath(target) in inputs:
            raise InputError(f"{target}: is a file of the patient; choose another folder, or another name for the case")
        if os.path.lexists(target) and not _is_ours(target):
            raise InputError(f"{target}: exists and was not written by tunetseg; choose another folder")


def _is_ours(path: Path) -> bool:
    try:
        return _has_our_mark(path)
    except InputError:  # a folder, a pipe, a link that leads nowhere
        return False


def _has_our_mark(path: Path) -> bool:
    if path.suffix == ".json":
        return read_json(path).get("use") == NOT_A_DEVICE
    if path.suffix in {".png", ".html", ".dcm"}:
        with open_file(path) as file:
            return SIGNATURE.encode() in file.read(4096)
    check_file(path)
    return was_written_here(path)
