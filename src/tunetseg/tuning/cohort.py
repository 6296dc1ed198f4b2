"""Tuning post-processing and calibration on out-of-fold probability maps, with nested folds for an honest figure."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tunetseg.datasets import Case, DatasetDescription, LabelScheme, Postprocessing, present_labels, split_folds
from tunetseg.datasets.recognition import patient_of
from tunetseg.errors import InputError
from tunetseg.evaluation.case import LabelMap, Settings, reference_scheme
from tunetseg.evaluation.labels import to_scheme
from tunetseg.evaluation.maps import patient_mask, read_map
from tunetseg.evaluation.pairing import Pair
from tunetseg.inference.postprocess import postprocess
from tunetseg.inference.uncertainty import uncertainty
from tunetseg.io.files import whole_file
from tunetseg.metrics import LesionRules, Rules, find_rules, joint_box, score_uncertainty
from tunetseg.models.calibration import Calibration
from tunetseg.progress import Progress, silent
from tunetseg.tuning.calibration import brier_score, calibration_error, count_probabilities, fit_calibration
from tunetseg.tuning.search import (
    Candidates,
    Objective,
    Prediction,
    choose_rules,
    count_lesions,
    score_candidates,
)

__all__ = ["Tuning", "tune"]

CalibrationKind = Literal["temperature", "isotonic", "none"]

_MARGIN = 6
"""Voxels around what is kept of a case, so that dilated lesions fit."""


@dataclass(frozen=True)
class Tuning:
    """What was chosen, and what it brings on cases that it was not chosen on.

    Args:
        postprocessing: Rules chosen on all cases.
        calibration: Region -> curve fitted to all cases.
        regions: Names, outermost first.
        cases: Number of cases.
        scores: Policy -> region -> mean ``lesion_dice`` and ``dice``. Policies: ``before``, the rules as they were;
            ``none``, a threshold of one half alone; ``nested``, for each fold the rules chosen on the other folds,
            which is what to expect of new cases; ``chosen``, the rules chosen on all cases, scored on these same cases.
        folds: Rules chosen without each fold.
        fold_of: Name of a case -> its fold, by which ``nested`` chooses.
        reliability: ``before`` and ``nested`` -> region -> ``ece``, ``brier`` and ``qu_score``, before calibration and
            with the curve fitted to the other folds; empty without calibration.
    """

    postprocessing: Postprocessing
    calibration: dict[str, Calibration]
    regions: tuple[str, ...]
    cases: int
    scores: dict[str, dict[str, dict[str, float]]]
    folds: tuple[Postprocessing, ...]
    fold_of: dict[str, int]
    reliability: dict[str, dict[str, dict[str, float]]]

    def save(self, path: str | Path) -> Path:
        """Write what was chosen as a TOML file, which ``tunet segment --postprocessing`` takes.

        Raises:
            InputError: The file does not end in .toml.
            OSError: It cannot be written.
        """
        target = Path(path)
        if target.suffix != ".toml":
            raise InputError(f"{path}: must end in .toml")
        lines = [f"# Tuned on {self.cases} cases.", "[postprocessing]", *_toml(self.postprocessing)]
        for region, curve in self.calibration.items():
            lines += ["", f"[calibration.{region}]", *_toml(curve)]
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as partial_file:
            partial_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return target

    def store(self, models: Iterable[str | Path]) -> None:
        """Put what was chosen into model files; their weights stay as they are.

        Raises:
            InputError: A model cannot be read, or has other regions. No file is changed then.
        """
        from tunetseg.models.store import read_spec, replace_spec

        specs = {Path(path): read_spec(path) for path in models}
        for path in specs:
            check_tuned(path, self.regions)
        for path, spec in specs.items():
            dataset = msgspec.structs.replace(spec.dataset, postprocessing=self.postprocessing)
            replace_spec(path, replace(spec, dataset=dataset, calibration=self.calibration or spec.calibration))


def check_tuned(model: str | Path, regions: Sequence[str]) -> None:
    """Raise InputError where a model cannot be read, or has other regions than those that are tuned."""
    from tunetseg.models.store import read_spec

    own = read_spec(model).dataset.region_names
    if own != tuple(regions):
        raise InputError(f"{model}: its regions {', '.join(own)} are not those that are tuned, {', '.join(regions)}")


def _toml(settings: msgspec.Struct) -> list[str]:
    """Return the fields of a struct that are set, as lines of TOML."""
    return [f"{name} = {_value(value)}" for name, value in msgspec.to_builtins(settings).items() if value is not None]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """One case: what is kept of it while rules are chosen."""

    pair: Pair
    prediction: Prediction
    counts: NDArray[np.int64]


def tune(
    pairs: Sequence[Pair],
    *,
    base: Postprocessing | None = None,
    candidates: Candidates | None = None,
    objective: Objective = "both",
    rules: str = "brats2023",
    folds: int = 5,
    seed: int = 0,
    labels: str | Path | LabelScheme | None = None,
    calibration: CalibrationKind = "temperature",
    progress: Progress = silent,
) -> Tuning:
    """Choose post-processing and calibration on out-of-fold probability maps.

    Args:
        pairs: References and predictions with probability maps next to them, as from
            `tunetseg.evaluation.pairing.pair_files`. Each prediction must come from a model that never saw the case.
        base: Rules to start from; by default those of the dataset of the first reference.
        candidates: Values that are tried.
        objective: What is optimised: lesion-wise Dice, plain Dice, or the mean of both.
        rules: Lesion-wise rules.
        folds: Folds by which the honest figure is nested; patients stay together.
        seed: Seed of these folds.
        labels: Dataset or scheme of the label values of the references; by default the dataset or the values of each
            label map say.
        calibration: Form of the curves, or ``none``. Curves need the images of the patients next to the references,
            which say where the brain is.
        progress: Told after each case.

    Returns:
        What was chosen, and its scores.

    Raises:
        InputError: A prediction or its probability maps are missing, a file cannot be read, the references have
            different regions, or there are fewer patients than folds.
    """
    lesions = find_rules(rules).lesions
    if lesions is None:
        raise InputError(f"rules {rules!r} do not count lesions; choose such as brats2023")
    if not _is_searched(find_rules(rules)):
        raise InputError(
            f"rules {rules!r} join or drop predicted lesions, or treat regions differently, which is not searched; "
            "choose such as brats2023"
        )
    settings = Settings(find_rules(rules), None if labels is None else to_scheme(labels))
    cases = [_case_of(pair) for pair in pairs]
    split = split_folds(cases, folds, seed)
    fold_of = {case.id: number for number, fold in enumerate(split) for case in fold}
    regions, base = _common(pairs, base)
    candidates = candidates or Candidates()
    loaded, tables = [], []
    for number, pair in enumerate(pairs, start=1):
        found = _load(pair, settings, regions, base, candidates, with_counts=calibration != "none")
        loaded.append(found)
        score = partial(score_candidates, dilation=lesions.dilation, least_mm3=lesions.min_volume_mm3)
        tables.append(score(found.prediction, regions, base, candidates))
        progress("scoring candidates", number, len(pairs))

    def choose(keep: Callable[[int], bool]) -> Postprocessing:
        own = [table for table, pair in zip(tables, pairs, strict=True) if keep(fold_of[pair.case])]
        return choose_rules(own, regions, base, candidates, objective)

    chosen = choose(lambda fold: True)
    without = tuple(choose(lambda fold, left=left: fold != left) for left in range(folds))  # type: ignore[misc]
    policies = {
        "before": lambda case: base,
        "none": lambda case: Postprocessing(),
        "nested": lambda case: without[fold_of[case]],
        "chosen": lambda case: chosen,
    }
    scores = {name: _mean_scores(loaded, regions, policy, lesions) for name, policy in policies.items()}
    curves: dict[str, Calibration] = {}
    reliability: dict[str, dict[str, dict[str, float]]] = {}
    if calibration != "none":
        curves, reliability = _calibrate(loaded, regions, calibration, fold_of, policies["nested"], settings, progress)
    return Tuning(chosen, curves, tuple(regions), len(pairs), scores, without, fold_of, reliability)


def _is_searched(rules: Rules) -> bool:
    """Return whether the lesion-wise scores of the search are those of some rules."""
    lesions = rules.lesions
    assert lesions is not None
    plain = LesionRules(lesions.dilation, lesions.min_volume_mm3, lesions.penalty_mm, lesions.hausdorff)
    return lesions == plain and not rules.regions


def _case_of(pair: Pair) -> Case:
    """Return what folds need to know of a case."""
    dataset = pair.reference.dataset
    patient, site = patient_of(pair.case, dataset) if dataset is not None else ("", "")
    return Case(pair.case, {}, patient_id=patient or None, site=site, dataset=dataset)


def _common(pairs: Sequence[Pair], base: Postprocessing | None) -> tuple[tuple[str, ...], Postprocessing]:
    """Return the regions that all references have, and the rules to start from."""
    datasets: list[DatasetDescription] = [pair.reference.dataset for pair in pairs if pair.reference.dataset]
    if not datasets:
        raise InputError("the dataset of the references is not recognised; name its description")
    names = {dataset.region_names for dataset in datasets}
    if len(names) > 1:
        raise InputError(f"the references have different regions: {'; '.join(', '.join(name) for name in names)}")
    return datasets[0].region_names, base or datasets[0].postprocessing


def _load(
    pair: Pair,
    settings: Settings,
    regions: Sequence[str],
    base: Postprocessing,
    candidates: Candidates,
    *,
    with_counts: bool,
) -> _Loaded:
    """Read a case, and keep what lies around the tumour and its probabilities."""
    reference, truth, probabilities = _read(pair, settings, regions)
    thresholds = *candidates.thresholds, *base.threshold_fallbacks, *base.thresholds.values(), base.threshold
    box = _padded(joint_box(np.any(probabilities >= min(thresholds), axis=0), np.any(truth, axis=0)), truth.shape[1:])
    counts = np.zeros((len(regions), 0, 2), np.int64)
    if with_counts:
        brain = patient_mask(pair, reference.image)
        counts = np.stack([count_probabilities(p[brain], t[brain]) for p, t in zip(probabilities, truth, strict=True)])
    inside = (slice(None), *box)
    voxel_mm3 = float(np.prod(reference.image.grid.spacing))
    # Half the memory; thresholds cut float16 as they cut float32, but for probabilities within 0.0003 of them.
    kept = Prediction(pair.case, probabilities[inside].astype(np.float16), truth[inside].copy(), voxel_mm3)
    return _Loaded(pair, kept, counts)


def _read(
    pair: Pair, settings: Settings, regions: Sequence[str]
) -> tuple[LabelMap, NDArray[np.bool_], NDArray[np.float32]]:
    """Return the reference, its masks and the probabilities of one case."""
    reference = LabelMap.read(pair.reference, settings.rules)
    scheme = reference_scheme(reference, present_labels(reference.image.array), settings).scheme
    if pair.prediction is None:
        raise InputError(f"{pair.case}: has no prediction; predict it, or choose the cases")
    maps = []
    for region in regions:
        found = read_map(pair, "prob", region, reference.image, 1)
        if found is None:
            raise InputError(
                f"{pair.prediction.path}: no probability map of {region} next to it; segment with probability maps"
            )
        maps.append(found)
    return reference, scheme.masks(reference.image.array), np.stack(maps)


def _padded(box: tuple[slice, ...], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, part.start - _MARGIN), min(size, part.stop + _MARGIN))
        for part, size in zip(box, shape, strict=True)
    )


Policy = Callable[[str], Postprocessing]
"""Name of a case -> the rules for it."""


def _mean_scores(
    loaded: Sequence[_Loaded], regions: Sequence[str], policy: Policy, lesions: LesionRules
) -> dict[str, dict[str, float]]:
    """Return the mean scores of each region under the rules that a policy gives each case."""
    rows = []
    for case in loaded:
        kept = case.prediction
        masks, _ = postprocess(kept.probabilities.astype(np.float32), tuple(regions), kept.voxel_mm3, policy(kept.case))
        rows.append(
            [
                count_lesions(
                    mask, truth, kept.voxel_mm3, dilation=lesions.dilation, least_mm3=lesions.min_volume_mm3
                ).scores()
                for mask, truth in zip(masks, kept.reference, strict=True)
            ]
        )
    mean = np.mean(rows, axis=0)
    return {
        region: {"lesion_dice": float(lesion), "dice": float(plain)}
        for region, (lesion, plain) in zip(regions, mean, strict=True)
    }


def _calibrate(
    loaded: Sequence[_Loaded],
    regions: Sequence[str],
    kind: Literal["temperature", "isotonic"],
    fold_of: dict[str, int],
    policy: Policy,
    settings: Settings,
    progress: Progress,
) -> tuple[dict[str, Calibration], dict[str, dict[str, dict[str, float]]]]:
    """Return the curves of all cases, and the scores before and with the curves of the other folds."""
    total = _total(case.counts for case in loaded)
    curves = {region: fit_calibration(counts, kind) for region, counts in zip(regions, total, strict=True)}
    nested = []
    for fold in range(max(fold_of.values()) + 1):
        own = _total(case.counts for case in loaded if fold_of[case.pair.case] != fold)
        nested.append([fit_calibration(counts, kind) for counts in own])
    rows: dict[str, list[list[list[float]]]] = {"before": [], "nested": []}
    for number, case in enumerate(loaded, start=1):
        fitted = nested[fold_of[case.pair.case]]
        before, after = _reliability(case, regions, fitted, policy(case.pair.case), settings)
        rows["before"].append(before)
        rows["nested"].append(after)
        progress("scoring uncertainty", number, len(loaded))
    names = "ece", "brier", "qu_score"
    return curves, {
        when: {
            region: dict(zip(names, values, strict=True))
            for region, values in zip(regions, np.mean(found, axis=0).tolist(), strict=True)
        }
        for when, found in rows.items()
    }


def _total(counts: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.sum(list(counts), axis=0)


def _reliability(
    case: _Loaded, regions: Sequence[str], curves: Sequence[Calibration], rules: Postprocessing, settings: Settings
) -> tuple[list[list[float]], list[list[float]]]:
    """Return ECE, Brier score and QU-BraTS score of each region, before and after calibration."""
    reference, truth, probabilities = _read(case.pair, settings, regions)
    brain = patient_mask(case.pair, reference.image)
    masks, _ = postprocess(probabilities, tuple(regions), case.prediction.voxel_mm3, rules)
    box = joint_box(brain, np.any(masks | truth, axis=0))
    rows: tuple[list[list[float]], list[list[float]]] = [], []
    for level, curve in enumerate(curves):
        counts, plain = case.counts[level], probabilities[level][box]
        for row, own, values in zip(rows, (None, curve), (plain, curve(plain)), strict=True):
            found = np.rint(uncertainty(values)).astype(np.uint8)
            quality = score_uncertainty(masks[level][box], truth[level][box], found, brain[box]).score
            row.append([calibration_error(counts, own), brier_score(counts, own), quality])
    return rows
