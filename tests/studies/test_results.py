"""A study from cohort to tables."""

import csv
import json
import shutil
from pathlib import Path

import msgspec
import nibabel as nib
import numpy as np
import pytest

from tunetseg.cli.main import main
from tunetseg.datasets import find_cases
from tunetseg.datasets.phantom import write_cohort
from tunetseg.errors import InputError
from tunetseg.inference.predictor import load_model
from tunetseg.models.zoo import find_models
from tunetseg.studies.plan import read_plan
from tunetseg.studies.postprocessing import manifests
from tunetseg.studies.results import make_results
from tunetseg.studies.run import is_done
from tunetseg.studies.status import read_status
from tunetseg.studies.tasks import model_task

METHODS = ["TuNet + SEB", "tunet-coupling=separate", "Ensemble", "Ensemble + post-process", "Ensemble + tuned"]


@pytest.fixture(scope="module")
def summary(finished_study: Path) -> dict:
    return json.loads((finished_study / "results/summary.json").read_text())


def test_every_case_is_segmented_by_models_that_never_saw_it(finished_study: Path, study_cohort: Path) -> None:
    cases = {case.id for case in find_cases(study_cohort)}
    for method in ("tunet-seb", "tunet-coupling=separate", "ensemble", "ensemble-tuned"):
        found = manifests(finished_study / "predictions" / method)
        assert set(found) == cases
        for case, path in found.items():
            models = json.loads(path.read_text())["models"]
            assert all(case in model["training"]["unseen"] for model in models)
            assert len(models) == (2 if "ensemble" in method else 1)


def test_the_ensemble_is_the_mean_of_its_members(finished_study: Path) -> None:
    for path in manifests(finished_study / "predictions/ensemble").values():
        case = path.stem
        fold = 0 if case in (finished_study / "models/tunet-seb/fold-0/validation.txt").read_text() else 1
        models = [
            finished_study / f"models/{method}/fold-{fold}" for method in ("tunet-seb", "tunet-coupling=separate")
        ]
        assert [model["file"] for model in json.loads(path.read_text())["models"]] == [
            f"fold-{fold}/model.safetensors"
        ] * 2
        assert len(load_model(*models).paths) == 2


def test_table_1_in_the_layout_of_the_paper(finished_study: Path) -> None:
    lines = (finished_study / "results/table1.md").read_text().splitlines()
    assert lines[0] == "| Model | DSC whole | DSC core | DSC enh. | HD95 whole | HD95 core | HD95 enh. |"
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == METHODS
    assert (finished_study / "results/table1.tex").read_text().startswith("\\begin{tabular}{lrrrrrr}")


def test_what_networks_reach_and_cost_side_by_side(finished_study: Path, summary: dict) -> None:
    head, _, *rows = (finished_study / "results/overview.md").read_text().splitlines()
    columns = head.strip("| ").split(" | ")
    assert columns[:4] == ["Model", "DSC whole", "DSC core", "DSC enh."]
    assert {"HD95 core", "weights", "GFLOP per patch", "s per step", "MB at the most"} <= set(columns)
    assert [row.split(" | ")[0].strip("| ") for row in rows] == METHODS[:2]
    cells = rows[0].strip("| ").split(" | ")
    assert len(cells) == len(columns)
    assert float(cells[1]) == pytest.approx(100 * summary["methods"]["TuNet + SEB"]["whole"]["dice"]["mean"], abs=0.01)


def test_tables_of_the_second_cohort(finished_study: Path) -> None:
    rows = {n: (finished_study / f"results/table{n}.md").read_text().splitlines()[2:] for n in (2, 3, 4)}
    assert [len(rows[n]) for n in (2, 3, 4)] == [3, 1, 3]
    said = json.loads(next(iter(manifests(next(finished_study.glob("test/second-*/ensemble"))).values())).read_text())
    assert len(said["models"]) == 4
    assert said["settings"]["postprocessing"]["min_volume_region"] == "enhancing"


def test_the_summary_holds_means_intervals_tests_ranks_folds_and_costs(summary: dict) -> None:
    assert list(summary["methods"]) == METHODS
    whole = summary["methods"]["Ensemble"]["whole"]["dice"]
    assert whole["ci95"][0] <= whole["mean"] <= whole["ci95"][1]
    assert len(summary["tests"]["masks"]) == 10 * 6
    assert {"p", "p_holm"} <= summary["tests"]["masks"][0].keys()
    assert set(summary["ranks"]) == {"masks", "lesions", "uncertainty"}
    means = summary["fold_means"]["TuNet + SEB"]["whole"]["dice"]
    mean = summary["methods"]["TuNet + SEB"]["whole"]["dice"]["mean"]
    assert np.mean(means["folds"]) == pytest.approx(mean, abs=1e-5), "rounded to five digits"
    cost = summary["costs"]["tunet-seb"]
    assert cost["parameters"] > 1000
    assert cost["gflops"] > 0
    assert cost["case_seconds"] > 0
    assert summary["ensemble"]["models"] == [
        f"{m}/fold-{f}" for m in ("tunet-seb", "tunet-coupling=separate") for f in (0, 1)
    ]
    assert summary["note"] == "Research use, not a medical device."


def test_the_folder_of_a_study_is_a_model(finished_study: Path, study_cohort: Path, tmp_path: Path) -> None:
    assert len(find_models([finished_study])) == 4
    case = find_cases(study_cohort)[0].reference
    assert case is not None
    assert main(["segment", str(case.parent), "--model", str(finished_study), "--out", str(tmp_path)]) == 0
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(finished_study / "ensemble.json", copy)
    with pytest.raises(InputError, match=r"lists .* which is not there"):
        find_models([copy])
    (copy / "ensemble.json").write_text("[]")
    with pytest.raises(InputError, match="is damaged"):
        find_models([copy])


def test_tuned_rules_are_chosen_without_the_fold_of_the_case(finished_study: Path) -> None:
    assert "[postprocessing]" in (finished_study / "results/tuned.toml").read_text()
    plain, tuned = (finished_study / "predictions" / name for name in ("ensemble", "ensemble-tuned"))
    for case, path in manifests(tuned).items():
        assert json.loads(path.read_text())["source"] == str(plain / f"{case}.json")
        assert nib.load(tuned / f"{case}.nii.gz").shape == nib.load(plain / f"{case}.nii.gz").shape


@pytest.mark.usefixtures("in_process")
def test_the_same_command_again_does_nothing_again(
    finished_study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr("tunetseg.studies.results.evaluate", refuse)
    assert main(["study", "--out", str(finished_study)]) == 0
    shown = capsys.readouterr()
    assert "4 of 4 models are finished; running 0" in shown.err
    assert "Ensemble + tuned" in shown.out
    assert [model.status for model in read_status(finished_study)] == ["finished"] * 4


def test_methods_without_a_common_fold_are_not_compared(finished_study: Path) -> None:
    plan = read_plan(finished_study)
    chosen = (plan.models[0], plan.models[3])
    with pytest.raises(InputError, match="no fold is common"):
        make_results(msgspec.structs.replace(plan, models=chosen), finished_study)


@pytest.mark.usefixtures("in_process")
def test_scores_are_those_of_the_cohort_and_its_references(finished_study: Path, tmp_path: Path) -> None:
    study, (one, other) = shutil.copytree(finished_study, tmp_path / "study"), (tmp_path / "one", tmp_path / "other")
    write_cohort(one, cases=2, dataset="brats2021", shape=(32, 40, 28), spacing=7.0)
    write_cohort(other, cases=2, seed=7, dataset="brats2021", shape=(32, 36, 28), spacing=7.0)

    def scored(cohort: Path) -> str:
        make_results(read_plan(study), study, test=cohort)
        text = (study / "results/test-ensemble.csv").read_text()
        assert {row["status"] for row in csv.DictReader(text.splitlines())} == {"scored"}
        return text

    first = scored(one)
    assert first != scored(other)
    assert first == scored(one)
    a, b = (case.reference for case in find_cases(one))
    assert a is not None
    assert b is not None
    shutil.copyfile(b, a)
    assert first != scored(one)


def _with_labels_of_msd(cohort: Path) -> None:
    """Rewrite the references of a cohort with the values of the Decathlon, of which 1 and 2 mean the opposite."""
    for case in find_cases(cohort):
        assert case.reference is not None
        image = nib.load(case.reference)
        values = np.array([0, 2, 1, 0, 3], np.uint8)[np.asarray(image.dataobj).astype(int)]
        nib.save(nib.Nifti1Image(values, image.affine), case.reference)


@pytest.mark.usefixtures("in_process")
def test_references_may_have_the_label_values_of_another_dataset(
    finished_study: Path, study_cohort: Path, tmp_path: Path
) -> None:
    """The networks are those of the study whose references have the dataset's own values, and so are all scores."""
    study = shutil.copytree(finished_study, tmp_path / "study")
    shutil.rmtree(study / "results")
    for folder, name in ((study_cohort, "cohort"), (finished_study.parent / "second", "second")):
        _with_labels_of_msd(shutil.copytree(folder, tmp_path / name))
    plan = read_plan(study)
    plan = msgspec.structs.replace(
        plan, cohort=str(tmp_path / "cohort"), settings={**plan.settings, "labels": "msd-task01"}
    )
    assert not is_done(study, plan.models[0], "msd"), "what is there has the dataset's own values"
    for model in plan.models:
        train, segment = model_task(plan, study, model).commands
        assert train[train.index("--labels") + 1] == "msd-task01"
        assert main(list(segment[3:])) == 0
        assert is_done(study, model, "msd")
    make_results(plan, study, test=tmp_path / "second")
    tables = [path.with_suffix(".csv").name for path in (finished_study / "results").glob("*.key")]
    assert "ensemble-tuned.csv" in tables
    assert "test-ensemble.csv" in tables
    for name in (*tables, "tuned.toml"):
        assert (study / "results" / name).read_text() == (finished_study / "results" / name).read_text()
    values: set[float] = set()
    for path in (study / "predictions").glob("*/*.json"):
        assert json.loads(path.read_text())["labels"] == "msd"
        own = finished_study / path.relative_to(study).with_suffix(".nii.gz")
        found, expected = (nib.load(one).get_fdata() for one in (path.with_suffix(".nii.gz"), own))
        assert np.array_equal(found, np.array([0, 2, 1, 0, 3])[expected.astype(int)])
        values |= {*np.unique(found)}
    assert values >= {0, 1, 2}
