"""Score label maps, as arrays, images or files, against their references."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from numpy.typing import ArrayLike

from tunetseg.datasets import DatasetDescription, LabelScheme, find_description, read_case_list
from tunetseg.errors import InputError
from tunetseg.evaluation.arrays import LabelMapLike, is_path, read_pair
from tunetseg.evaluation.case import CaseResult, Settings, score_label_maps, score_pair
from tunetseg.evaluation.labels import to_scheme
from tunetseg.evaluation.pairing import Pair, Pairing, pair_files
from tunetseg.evaluation.scores import Scores
from tunetseg.evaluation.summary import summarise_cases
from tunetseg.limits import processors
from tunetseg.metrics import Rules, check_thresholds, find_rules
from tunetseg.progress import Progress, silent

__all__ = ["Scores", "evaluate"]

_DEFAULT_RULES = "brats2020"


def evaluate(
    prediction: LabelMapLike,
    reference: LabelMapLike,
    *,
    rules: str | Rules | None = None,
    dataset: str | Path | DatasetDescription | None = None,
    labels: str | Path | LabelScheme | None = None,
    prediction_labels: str | Path | LabelScheme | None = None,
    spacing: ArrayLike | None = None,
    affine: ArrayLike | None = None,
    cases: str | Path | Iterable[str] | None = None,
    uncertainty: bool = False,
    thresholds: Sequence[float] | None = None,
    tolerance: float | None = None,
    strict: bool = False,
    match_iou: float | None = None,
    lesions: bool = False,
    cells: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> Scores:
    """Score predicted label maps against reference segmentations.

    Each side is one label map, as an array, an image of nibabel, a `Segmentation` or a file, or a folder of many: a
    flat folder of ``<case>.nii.gz``, or a cohort. Axes may be in any order: label maps on the same lattice are
    reoriented without loss. In a cohort, a reference whose prediction is missing, unreadable, on another grid or of
    label values that no scheme has counts as one with an empty prediction, and is listed. None is left out, except
    where the official code of the rules skips it (`Rules.skip_failed`); these are listed too.

    Args:
        prediction: The prediction or predictions.
        reference: The reference segmentation or segmentations.
        rules: Name of a rule set (see `RULES`), or a rule set; by default the dataset's if one is given or if the
            references are of a dataset of another organ, else ``brats2020``.
        dataset: Dataset of both sides: a name such as ``kits19``, a year, a ``.toml`` file, or a description. By
            default the names of files say.
        labels: Dataset or scheme of the label values of both sides; by default a manifest, the dataset or the values
            of each label map say.
        prediction_labels: The same for the predictions alone.
        spacing: Voxel size in mm along the three axes of two arrays; one number for all.
        affine: Voxel indices to world in mm, shape (4, 4), of every array given. An array without one, next to an
            image or a file, must lie on its grid with axes towards left, posterior and superior.
        cases: Cases of folders to score: names, or a text file of names such as a fold's ``validation.txt``.
        uncertainty: Score the uncertainty maps next to the predictions too, and probability maps where there are any.
            The references must be a cohort, whose images show the brain. Always done with ``qu-brats``.
        thresholds: Thresholds of uncertainty instead of those of the rules: two or more, rising, within 0 to 100.
            Implies ``uncertainty``.
        tolerance: Millimetres; if given, the surface Dice at this tolerance is scored too, over areas
            (``surface_dice``) and over surface voxels (``nsd``, unless the rules have a tolerance of their own).
        strict: Score by the strict version of the rules too (`Rules.strict`), which leaves nothing out.
        match_iou: Match lesions one to one from this IoU on, whatever the rules say of them (`Rules.matched_by_iou`).
        lesions: Make one row per lesion too, with its normalised surface Dice at the tolerance, by default 1 mm; rules
            that count no lesions match them one to one.
        cells: Score within the Voronoi cell of each lesion too (`score_cells`).
        workers: Number of cases scored at the same time; by default one per processor, at most four.
        progress: Called with ``"scoring"`` after each case of a folder.

    Returns:
        Rows and summary.

    Raises:
        InputError: A side is missing, has no label map or no case in common with the other; a reference cannot be
            read, its label values fit no scheme, or its regions not the rules; or no prediction can be scored.

    Examples:
        Two arrays:

        >>> import numpy as np
        >>> reference = np.zeros((8, 8, 8), np.uint8)
        >>> reference[2:6, 2:6, 2:6] = 1
        >>> prediction = np.roll(reference, 1, axis=0)
        >>> scores = evaluate(prediction, reference, spacing=(1, 1, 3), dataset="kits19")
        >>> [(row["region"], row["dice"], row["hd95"]) for row in scores.rows]
        [('kidney', 0.75, 1.0), ('tumour', nan, nan)]

        Two folders:

        >>> scores = evaluate("predictions", "cohort", rules="brats2019")  # doctest: +SKIP
        >>> scores.summary["regions"]["enhancing"]["dice"]["mean"]  # doctest: +SKIP
        0.78
    """
    description = _find_dataset(dataset)
    named = description.rules if rules is None and description is not None else rules
    adapt = partial(_adapted, thresholds=thresholds, match_iou=match_iou)
    chosen = adapt(named if named is not None else _DEFAULT_RULES)
    if workers is not None and workers < 1:
        raise InputError(f"invalid number of workers {workers}; give 1 or more")
    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise InputError(f"invalid tolerance {tolerance}; give millimetres from 0 up")
    prediction_scheme = prediction_labels if prediction_labels is not None else labels
    settings = Settings(
        chosen,
        None if labels is None else to_scheme(labels),
        None if prediction_scheme is None else to_scheme(prediction_scheme),
        description,
        uncertainty or chosen.uncertainty is not None,
        tolerance,
        strict,
        lesions,
        cells,
        named is None,
    )
    _check_uncertainty(settings)
    if is_path(prediction) and is_path(reference):
        if spacing is not None or affine is not None:
            raise InputError("spacing and affine are for arrays; files have their own")
        return _evaluate_files(Path(prediction), Path(reference), settings, adapt, cases, workers, progress)
    return _evaluate_images(prediction, reference, settings, spacing, affine)


def _check_uncertainty(settings: Settings) -> None:
    """Raise InputError where uncertainty maps are wanted of regions that have none."""
    if settings.uncertainty and settings.rules.regions:
        raise InputError(
            f"the rules {settings.rules.name} score regions that have no uncertainty maps; score these by qu-brats"
        )


def _find_dataset(dataset: str | Path | DatasetDescription | None) -> DatasetDescription | None:
    return dataset if dataset is None or isinstance(dataset, DatasetDescription) else find_description(dataset)


def _adapted(rules: str | Rules, thresholds: Sequence[float] | None, match_iou: float | None) -> Rules:
    """Return rules with what was asked for in place of their own."""
    chosen = rules if isinstance(rules, Rules) else find_rules(rules)
    if match_iou is not None:
        if not 0 < match_iou <= 1:
            raise InputError(f"invalid IoU {match_iou} to match lesions from; give one above 0, such as 0.5, up to 1")
        chosen = chosen.matched_by_iou(match_iou)
    if thresholds is None:
        return chosen
    return replace(chosen, uncertainty=tuple(check_thresholds(thresholds).tolist()))


def _evaluate_images(
    prediction: LabelMapLike,
    reference: LabelMapLike,
    settings: Settings,
    spacing: ArrayLike | None,
    affine: ArrayLike | None,
) -> Scores:
    if settings.uncertainty:
        raise InputError("uncertainty maps are scored next to files; use tunetseg.metrics.score_uncertainty for arrays")
    case, predicted, present = read_pair(prediction, reference, settings.rules, settings.dataset, spacing, affine)
    result = score_label_maps(case, predicted, present, settings)
    if result.prediction is None:
        raise InputError(result.fault or f"{predicted.source}: cannot be scored")
    return Scores(
        tuple(result.rows), summarise_cases([result], settings), tuple(result.strict_rows), tuple(result.lesions)
    )


def _evaluate_files(
    predictions: Path,
    references: Path,
    settings: Settings,
    adapt: Callable[[str], Rules],
    cases: str | Path | Iterable[str] | None,
    workers: int | None,
    progress: Progress,
) -> Scores:
    only = read_case_list(cases) if isinstance(cases, str | Path) else None if cases is None else list(cases)
    pairing = pair_files(predictions, references, only, settings.dataset)
    if settings.by_default and (name := _rules_of(pairing)) is not None:
        own = adapt(name)
        settings = replace(settings, rules=own, uncertainty=settings.uncertainty or own.uncertainty is not None)
        _check_uncertainty(settings)
    results = _score_all(partial(score_pair, settings=settings), pairing.pairs, workers, progress)
    rows = tuple(row for result in results for row in result.rows)
    strict = tuple(row for result in results for row in result.strict_rows)
    lesions = tuple(row for result in results for row in result.lesions)
    return Scores(rows, summarise_cases(results, settings, pairing.without_reference), strict, lesions)


def _rules_of(pairing: Pairing) -> str | None:
    """Return the name of the rules of the references' dataset, where all are of one and it is of another organ."""
    datasets = {pair.reference.dataset.name: pair.reference.dataset for pair in pairing.pairs if pair.reference.dataset}
    named = list(datasets.values())
    glioma = find_description("glioma").region_names
    if len(named) != 1 or named[0].region_names == glioma:
        return None
    return named[0].rules


def _score_all(
    score: Callable[[Pair], CaseResult], pairs: Sequence[Pair], workers: int | None, progress: Progress
) -> list[CaseResult]:
    """Return the results of all pairs, in order, scored side by side."""
    results = []
    # Threads are enough: decompression, numpy and the k-d tree all release the interpreter's lock.
    pool = ThreadPoolExecutor(workers or min(4, processors()))
    try:
        for result in pool.map(score, pairs):
            results.append(result)
            progress("scoring", len(results), len(pairs))
    finally:
        pool.shutdown(cancel_futures=True)
    if not any(result.prediction for result in results):
        faults = [result.fault for result in results if result.fault is not None]
        raise InputError(f"none of the {len(faults)} predictions can be scored; the first: {faults[0]}")
    return results
