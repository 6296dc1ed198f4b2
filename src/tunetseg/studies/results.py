"""The results of a study whose models are trained: ensembles, post-processing, scores and their comparison."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunetseg.datasets import DatasetDescription, Postprocessing, find_description
from tunetseg.errors import InputError
from tunetseg.evaluation.comparison import Comparison, ScoreTable, compare, read_scores
from tunetseg.evaluation.evaluate import evaluate
from tunetseg.evaluation.pairing import list_label_files, pair_files
from tunetseg.inference.manifest import read_manifest
from tunetseg.inference.postprocess import find_postprocessing
from tunetseg.io.files import make_folder, read_json, whole_file
from tunetseg.metrics import find_rules
from tunetseg.models.store import read_spec
from tunetseg.models.zoo import MODEL
from tunetseg.progress import Progress, silent
from tunetseg.studies.ensembles import NAME, ensemble_tasks, members, test_folder, test_tasks, write_ensemble
from tunetseg.studies.local import gpus_of, run_tasks
from tunetseg.studies.plan import StudyPlan
from tunetseg.studies.postprocessing import manifests, postprocess_folder
from tunetseg.studies.tasks import Task, prediction_folder
from tunetseg.tuning.cohort import tune

__all__ = ["MethodScores", "StudyResults", "make_results"]

_LOG = logging.getLogger(__name__)

_GLIOMA = ("whole", "core", "enhancing")

_COMPARED = {"masks": ("dice", "hd95"), "lesions": ("lesion_dice", "lesion_hd95"), "uncertainty": ("dauc",)}
"""What is tested and ranked together; p values are corrected for all tests of one entry."""


@dataclass(frozen=True)
class MethodScores:
    """Scores of one method.

    Args:
        table: One value per case, region and score.
        regions: Region -> score -> its `Summary`, with None in place of NaN.
    """

    table: ScoreTable
    regions: dict[str, Any]


@dataclass(frozen=True)
class StudyResults:
    """Scores of the methods of a study.

    Args:
        methods: Method -> its scores on the cases that it had not seen.
        lesions: The same by rules that count lesions; empty where the regions have none.
        comparisons: ``masks``, ``lesions``, ``uncertainty`` -> comparison of all methods, where there are several and
            their rules have these scores.
        folds: Method -> region -> score -> mean of each fold.
        test: Method -> its scores on the second cohort, if any.
        tuned: File of the rules that were chosen on all folds, if any.
    """

    methods: dict[str, MethodScores]
    lesions: dict[str, MethodScores]
    comparisons: dict[str, Comparison]
    folds: dict[str, dict[str, dict[str, list[float]]]]
    test: dict[str, MethodScores]
    tuned: Path | None


@dataclass(frozen=True)
class _Work:
    """What the steps share.

    Args:
        plan: Of the study.
        study: Its folder.
        dataset: Of its models.
        jobs: Commands at the same time.
        progress: Told what is done.
    """

    plan: StudyPlan
    study: Path
    dataset: DatasetDescription
    jobs: int
    progress: Progress

    @property
    def glioma(self) -> bool:
        """Whether the regions are those of the paper."""
        return self.dataset.region_names == _GLIOMA

    @property
    def named(self) -> DatasetDescription | None:
        """The dataset that the plan names for the files, if any."""
        named = self.plan.settings.get("dataset")
        return find_description(named) if named else None

    def run(self, tasks: Sequence[Task]) -> None:
        """Run commands; the first that fails is an InputError."""
        plan = self.plan
        codes = run_tasks(tasks, jobs=self.jobs, threads=plan.threads, gpus=gpus_of(plan), progress=self.progress)
        failed = next((task for task in tasks if codes[task.name]), None)
        if failed is not None:
            raise InputError(f"{failed.name}: ended with exit code {codes[failed.name]}; see {failed.log}")


@dataclass(frozen=True)
class _Cohort:
    """A cohort that segmentations are scored against.

    Args:
        folder: Its folder.
        references: Case -> path, size and time of the last change of its reference.
    """

    folder: Path
    references: dict[str, tuple[str, int, int]]

    @classmethod
    def read(cls, work: _Work, folder: Path) -> "_Cohort":
        """Return the cohort of a folder.

        Raises:
            InputError: It holds no reference.
        """
        references = {}
        for case, file in sorted(list_label_files(folder, work.named).items()):
            said = file.path.stat()
            references[case] = str(file.path.resolve()), said.st_size, said.st_mtime_ns
        return cls(folder.resolve(), references)


def make_results(
    plan: StudyPlan,
    folder: Path,
    *,
    test: Path | None = None,
    jobs: int = 1,
    progress: Progress = silent,
) -> StudyResults:
    """Make what is missing of the results of a study whose models are trained.

    Methods are compared on the folds that all of them have.

    Args:
        plan: Of the study.
        folder: Of the study.
        test: A second cohort with reference segmentations.
        jobs: Commands at the same time.
        progress: Told what is done.

    Raises:
        InputError: A segmentation fails, a reference cannot be read, or no fold is common to all methods.
    """
    study = folder.resolve()
    work = _Work(plan, study, read_spec(study / plan.models[0].run / MODEL).dataset, jobs, progress)
    make_folder(study / "results")
    write_ensemble(plan, study)
    cases = _cases(plan, study)
    every = [case for names in cases.values() for case in names]
    folders = {method: prediction_folder(study, method) for method in plan.methods}
    tuned = None
    if voting := ensemble_tasks(plan, study, cases):
        work.run(voting)
        folders["Ensemble"] = prediction_folder(study, NAME)
        extra, tuned = _postprocessed(work, every)
        folders |= extra
    rules, lesion_rules = _rules(work)
    cohort = _Cohort.read(work, Path(plan.cohort))
    methods = {name: _scored(work, path, cohort, rules, _word(name), every) for name, path in folders.items()}
    lesions = {
        name: _scored(work, path, cohort, lesion_rules, f"{_word(name)}-lesions", every)
        for name, path in folders.items()
        if lesion_rules is not None
    }
    return StudyResults(
        methods,
        lesions,
        _compared(methods, lesions),
        {name: _by_fold(scores.table, cases) for name, scores in methods.items()},
        {} if test is None else _tested(work, _Cohort.read(work, test), rules),
        tuned,
    )


def _cases(plan: StudyPlan, study: Path) -> dict[int, list[str]]:
    """Return fold -> its cases, for the folds that all methods have."""
    folds = set.intersection(*({model.fold for model in models} for models in plan.methods.values()))
    if not folds:
        raise InputError("no fold is common to all methods of the study, so they cannot be compared; train one more")
    first = {model.fold: model for model in reversed(plan.models)}
    return {
        fold: (study / first[fold].run / "validation.txt").read_text(encoding="utf-8").splitlines()
        for fold in sorted(folds)
    }


def _rules(work: _Work) -> tuple[str, str | None]:
    """Return the rules of the paper's tables, and rules that count lesions, for the regions of the study."""
    if work.glioma:
        return "brats2019", "brats2023"
    rules = work.dataset.rules
    return rules, rules if find_rules(rules).lesions is not None else None


def _postprocessed(work: _Work, cases: list[str]) -> tuple[dict[str, Path], Path | None]:
    """Return the folders of the ensemble after post-processing as in the paper, and as tuned on the other folds."""
    source = prediction_folder(work.study, NAME)
    paper = find_postprocessing("paper" if work.glioma else "model", work.dataset)

    def folder(name: str, rules: dict[str, Postprocessing]) -> Path:
        out = prediction_folder(work.study, f"{NAME}-{name}")
        return postprocess_folder(source, out, work.dataset, rules.get, progress=work.progress)

    folders = {"Ensemble + post-process": folder("post-process", dict.fromkeys(cases, paper))}
    pairs = pair_files(source, Path(work.plan.cohort), cases, work.named).pairs
    try:
        found = tune(
            pairs,
            base=paper,
            folds=min(work.plan.folds, len(cases)),
            labels=work.plan.settings.get("labels"),
            calibration="none",
            progress=work.progress,
        )
    except InputError as fault:
        _LOG.warning("post-processing is not tuned: %s", fault)
        return folders, None
    folders["Ensemble + tuned"] = folder("tuned", {case: found.folds[found.fold_of[case]] for case in cases})
    return folders, found.save(work.study / "results" / "tuned.toml")


def _tested(work: _Work, cohort: _Cohort, rules: str) -> dict[str, MethodScores]:
    """Return the scores of each voting method's models and of all voters on a second cohort."""
    work.run(test_tasks(work.plan, work.study, cohort.folder, "paper" if work.glioma else "model"))
    names = {method: method for method in members(work.plan)}
    if len(names) > 1:
        names["Ensemble"] = NAME
    return {
        name: _scored(work, test_folder(work.study, cohort.folder, method), cohort, rules, f"test-{method}", None)
        for name, method in names.items()
    }


def _scored(
    work: _Work, predictions: Path, cohort: _Cohort, rules: str, name: str, cases: list[str] | None
) -> MethodScores:
    """Return the scores of a folder of segmentations, made again only if one of them or a reference has changed."""
    out = work.study / "results" / f"{name}.csv"
    mark, key = out.with_suffix(".key"), _key(predictions, cohort, rules, cases)
    if not (out.exists() and mark.exists() and mark.read_text(encoding="utf-8") == key):
        chosen = find_rules(rules)
        scores = evaluate(
            predictions,
            cohort.folder,
            rules=chosen,
            dataset=work.plan.settings.get("dataset"),
            labels=work.plan.settings.get("labels"),
            cases=cases,
            uncertainty=not chosen.regions and chosen.lesions is None,
            progress=work.progress,
        )
        scores.save(out)
        with whole_file(mark) as partial:
            partial.write_text(key, encoding="utf-8")
    return MethodScores(read_scores(out, name), read_json(out.with_suffix(".json"))["regions"])


def _key(predictions: Path, cohort: _Cohort, rules: str, cases: list[str] | None) -> str:
    """Return what stands for the content of references and segmentations.

    The manifest of a segmentation names models, settings, inputs, label values and volumes.
    """
    digest = hashlib.sha256(json.dumps([rules, cases, str(cohort.folder), cohort.references]).encode())
    for case, path in sorted(manifests(predictions).items()):
        said = read_manifest(path)
        facts = [
            case,
            *(said.get(key) for key in ("models", "settings", "inputs", "input_files", "labels", "volume_ml")),
        ]
        digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def _compared(methods: dict[str, MethodScores], lesions: dict[str, MethodScores]) -> dict[str, Comparison]:
    if len(methods) < 2:
        return {}
    found = {}
    for what, scores in _COMPARED.items():
        tables = {name: one.table for name, one in (lesions if what == "lesions" else methods).items()}
        known = {score for table in tables.values() for score, _ in table.values}
        if known.issuperset(scores):
            named = [ScoreTable(name, table.cases, table.values, table.rules) for name, table in tables.items()]
            found[what] = compare(named, scores=scores)
    return found


def _by_fold(table: ScoreTable, cases: dict[int, list[str]]) -> dict[str, dict[str, list[float]]]:
    """Return region -> score -> mean of each fold, over the cases that the rules do not leave out."""
    result: dict[str, dict[str, list[float]]] = {}
    for score, region in table.values:
        means = []
        for names in cases.values():
            values = table.on_cases(sorted(names))[score, region]
            means.append(float(np.nanmean(values)) if np.isfinite(values).any() else float("nan"))
        result.setdefault(region, {})[score] = means
    return result


def _word(name: str) -> str:
    return name.lower().replace(" + ", "-").replace(" ", "-")
