"""What the program does with damaged inputs, and what must be true of what it accepts; `fuzz.py` runs this."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from fuzz_damage import (
    Damage,
    damage_bytes,
    damage_checkpoint,
    damage_claims,
    damage_dicom,
    damage_header,
    damage_model,
    damage_other,
    damage_pack,
    damage_result,
    damage_table,
    damage_text,
    either,
    odd_place,
)
from fuzz_nifti import affine_and_values
from fuzz_valid import CHANNELS, config

from tunetseg.checks import inspect_place
from tunetseg.datasets import find_cases, find_description, read_case_list
from tunetseg.evaluation.comparison import compare, read_scores
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.inference.postprocess import find_postprocessing
from tunetseg.inference.predictor import load_model
from tunetseg.inference.segment import segment
from tunetseg.io import Grid, read_image, write_image
from tunetseg.io.dicom import find_series, write_dicom_labels
from tunetseg.preparation.pack import Pack
from tunetseg.report.exchange import write_exchange
from tunetseg.report.places import find_manifests, write_reports
from tunetseg.report.view import read_view
from tunetseg.training.planning import plan
from tunetseg.training.recipes import find_recipe
from tunetseg.training.run import fit
from tunetseg.training.state import read_state

__all__ = ["KINDS", "Kind", "WrongError"]


class WrongError(AssertionError):
    """An input was accepted, but what came of it is wrong."""


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Args:
        name: In the report.
        share: Of the cases, in per cent.
        damage: From the work folder, which holds copies of the valid inputs, and a source of randomness, to the paths
            that the program is given.
        use: What the program does with them.
        words: Command line that does the same.
    """

    name: str
    share: int
    damage: Damage
    use: Callable[[Path, dict[str, Path]], None]
    words: Callable[[Path, dict[str, Path]], list[str]]


_loaded: dict[Path, Any] = {}


def _model(folder: Path) -> Any:
    """The valid model, loaded once."""
    path = folder.parent / "valid/model.safetensors"
    if path not in _loaded:
        _loaded[path] = load_model(path, device="cpu")
    return _loaded[path]


def _segment(folder: Path, given: dict[str, Path]) -> None:
    images = {channel: given[channel] for channel in CHANNELS}
    result = segment(images, model=_model(folder), name="case")
    for path in images.values():
        _check_reading(path)
    same = Grid(nib.load(images["t1"]).affine, result.label_map.shape).same_lattice(result.grid)
    _check_grid(result, images["t1" if same else "t1ce"])  # images on another grid are brought to that of T1ce
    if _share(folder) < 0.1:
        result.save(folder / "out")


def _check_reading(path: Path) -> None:
    """Compare an image with what the standard says of its bytes."""
    image, expected = read_image(path), affine_and_values(path)
    if expected is None:
        return
    affine, values = expected
    if affine is not None and not np.allclose(image.stored.affine, affine, rtol=1e-4, atol=1e-3):
        raise WrongError(f"{path.name}: affine {image.stored.affine.tolist()} in place of {affine.tolist()}")
    if not np.allclose(image.stored.from_lps(image.array), values, rtol=1e-4, atol=1e-6 * np.abs(values).max()):
        raise WrongError(f"{path.name}: other values than in the file")


def _share(folder: Path) -> float:
    """A number from 0 to 1 that depends on the case alone."""
    return random.Random(folder.name).random()


def _check_grid(result: Any, path: Path) -> None:
    """Compare the geometry of a result with what nibabel reads."""
    image = nib.load(path)
    if result.label_map.shape != image.shape[:3]:
        raise WrongError(f"a label map of shape {result.label_map.shape} for an image of {image.shape}")
    if not np.allclose(result.grid.affine, image.affine, rtol=1e-5, atol=1e-4):
        raise WrongError(f"affine {result.grid.affine.tolist()} in place of {image.affine.tolist()}")
    edges = np.sqrt((result.grid.affine[:3, :3] ** 2).sum(axis=0))
    if edges.min() < 0.1 or edges.max() > 20 or (edges * image.shape[:3]).max() > 1000:
        raise WrongError(f"voxels of {edges.tolist()} mm were accepted")


def _score(folder: Path, given: dict[str, Path]) -> None:
    """Score a damaged image as if it were a label map."""
    path = folder / f"scored{''.join(given['t1'].suffixes[-2:])}"
    shutil.copy(folder / "seg.nii.gz", folder / "reference.nii.gz")
    path.write_bytes(given["t1"].read_bytes())
    row = evaluate(path, folder / "reference.nii.gz").rows[0]
    if not 0 <= row["dice"] <= 1:
        raise WrongError(f"a Dice of {row['dice']}")


def _image_or_score(folder: Path, given: dict[str, Path]) -> None:
    (_score if _share(folder) < 0.1 else _segment)(folder, given)


def _other(folder: Path, given: dict[str, Path]) -> None:
    image = read_image(given["image"])
    if not np.isfinite(image.array).all() or image.array.shape != image.grid.shape:
        raise WrongError("values that are not finite, or another shape than the grid")
    write_image(folder / "again.nii", image.array, image.stored)


def _run_model(folder: Path, given: dict[str, Path]) -> None:
    images = {channel: folder / f"p_{channel}.nii.gz" for channel in CHANNELS}
    result = segment(images, model=load_model(given["model"], device="cpu"), name="case")
    if not np.isfinite(result.probabilities).all():
        raise WrongError("probabilities that are not finite")


def _recipe(folder: Path, given: dict[str, Path]) -> None:
    recipe = find_recipe(given["file"])
    if _share(folder) < 0.3:
        plan(config(folder, recipe=recipe, out=str(folder / "new")))


def _table(folder: Path, given: dict[str, Path]) -> None:
    table = read_scores(given["file"])
    for key, values in table.values.items():
        if (values < 0).any() or np.isinf(values).any():
            raise WrongError(f"{key}: {values}")
    compare([table, read_scores(folder.parent / "valid/scores.csv", "other")])


def _description(folder: Path, given: dict[str, Path]) -> None:
    path = given["file"]
    if path.name == "cases.txt":
        read_case_list(path)
    elif path.name == "rules.toml":
        find_postprocessing(str(path), find_description("brats2020"))
    elif path.name == "name_mapping.csv":
        shutil.copy(path, folder / "cohort" / path.name)
        find_cases(folder / "cohort")
    elif path.name == "dataset.toml":
        find_cases(folder / "cohort", find_description(path))
    else:
        find_description(path.parent)


def _dicom(folder: Path, given: dict[str, Path]) -> None:
    inspect_place(given["place"], find_description("glioma"))
    for series in find_series(given["place"]).series:
        if series.usable and _share(folder) < 0.5:
            grid = series.read().stored
            label_map = np.ones(grid.shape, np.uint8)
            write_dicom_labels(folder / "labels.dcm", label_map, grid, series, {1: "whole"})
            break


def _pack(folder: Path, given: dict[str, Path]) -> None:
    pack = Pack(given["place"])
    for case in pack.cases:
        prepared = pack.get(case)
        if prepared.image.shape[1:] != prepared.nesting.shape:
            raise WrongError("arrays of different shapes")


def _result(folder: Path, given: dict[str, Path]) -> None:
    cohort = folder / "cohort"
    if _share(folder) < 0.5:
        write_reports([given["place"]], images=cohort, out=folder / "page.html")
    elif _share(folder) < 0.8:
        for manifest in find_manifests([given["place"]]):
            write_exchange(read_view(manifest), folder / "exchange", ["itksnap", "slicer", "bids"])
    else:
        evaluate(given["place"], cohort)


def _checkpoint(folder: Path, given: dict[str, Path]) -> None:
    from tunetseg.training.checkpoint import SafeCheckpoints

    SafeCheckpoints().load_checkpoint(given["file"])
    raise WrongError("a damaged checkpoint was loaded")


def _resume(folder: Path, given: dict[str, Path]) -> None:
    read_state(folder / "run")
    fit(plan(config(folder, recipe=str(folder / "recipe.toml"), resume=True)))


def _place(folder: Path, given: dict[str, Path]) -> None:
    number = _share(folder)
    if number < 0.5:
        segment({channel: given[channel] for channel in CHANNELS}, model=_model(folder), name="case")
    elif number < 0.6:
        read_case_list(given["file"])
    elif number < 0.7:
        read_scores(given["file"])
    elif number < 0.8:
        load_model(given["file"], device="cpu")
    elif number < 0.9:
        find_cases(folder)
    else:
        read_image(given["file"])


def _segment_words(folder: Path, given: dict[str, Path]) -> list[str]:
    images = [
        word
        for channel in CHANNELS
        for word in (f"--{channel}", str(given.get(channel, folder / f"p_{channel}.nii.gz")))
    ]
    model = str(given.get("model", folder.parent / "valid/model.safetensors"))
    return ["segment", *images, "--model", model, "--device", "cpu", "--out", str(folder / "out")]


def _compare_words(folder: Path, given: dict[str, Path]) -> list[str]:
    return ["compare", str(given["file"]), str(folder.parent / "valid/scores.csv"), "--names", "a", "b"]


def _report_words(folder: Path, given: dict[str, Path]) -> list[str]:
    return ["report", str(given["place"]), "--images", str(folder / "cohort"), "--out", str(folder / "page.html")]


def _inspect_words(folder: Path, given: dict[str, Path]) -> list[str]:
    return ["inspect", str(given.get("place", folder / "cohort"))]


def _train_words(folder: Path, given: dict[str, Path]) -> list[str]:
    recipe = given.get("file", folder / "recipe.toml")
    options = [
        "--network",
        "tunet",
        "--network-options",
        "base_filters=1",
        "levels=2",
        "--cache",
        str(folder / "cache"),
    ]
    words = ["train", str(folder / "cohort"), "--out", str(folder / "run"), *options]
    if recipe.name.startswith("recipe"):  # without --resume, the finished run is refused, and nothing is trained
        return [*words, "--recipe", str(recipe)]
    return [*words, "--recipe", str(folder / "recipe.toml"), "--resume"]


_TEXTS = ("dataset.toml", "rules.toml", "cases.txt", "name_mapping.csv", "nnunet/dataset.json")
_RUNS = either(*map(damage_text, ("run/run.json", "run/state.json")))
_RECIPES = either(damage_text("recipe.json"), damage_text("recipe.toml"))
_DESCRIPTIONS = either(*map(damage_text, _TEXTS))

KINDS = (
    Kind("NIfTI headers", 25, damage_header, _image_or_score, _segment_words),
    Kind("NIfTI bytes and gzip", 12, damage_bytes, _image_or_score, _segment_words),
    Kind("claims and bombs", 3, damage_claims, _segment, _segment_words),
    Kind("MetaImage, NRRD, MGH, Analyze, pairs", 10, damage_other, _other, _inspect_words),
    Kind("models", 13, damage_model, _run_model, _segment_words),
    Kind("recipes", 10, _RECIPES, _recipe, _train_words),
    Kind("tables of scores", 8, damage_table, _table, _compare_words),
    Kind("datasets, rules, lists, mappings", 6, _DESCRIPTIONS, _description, _inspect_words),
    Kind("DICOM folders and archives", 4, damage_dicom, _dicom, _inspect_words),
    Kind("packs", 2, damage_pack, _pack, _inspect_words),
    Kind("checkpoints", 2, damage_checkpoint, _checkpoint, _inspect_words),
    Kind("saved results", 2, damage_result, _result, _report_words),
    Kind("run folders", 2, _RUNS, _resume, _train_words),
    Kind("pipes, devices, links, names", 1, odd_place, _place, _segment_words),
)
