"""Folds of a method are segmented by processes of their own, which write to one folder at the same time."""

import csv
import multiprocessing
from pathlib import Path

import pytest

from tunetseg.cli.ledger import Ledger
from tunetseg.cli.main import main
from tunetseg.datasets import find_cases
from tunetseg.inference.segmentation import Segmentation
from tunetseg.studies.plan import StudyPlan
from tunetseg.studies.tasks import segment_words


def cases_of(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [row["case"] for row in csv.DictReader(file)]


@pytest.fixture
def folds(study_cohort: Path, tmp_path: Path) -> list[Path]:
    """The lists of the validation cases of two folds, in their run folders."""
    cases = [case.id for case in find_cases(study_cohort)]
    lists = [tmp_path / f"models/tunet/fold-{fold}/validation.txt" for fold in range(2)]
    for fold, path in enumerate(lists):
        path.parent.mkdir(parents=True)
        path.write_text("".join(f"{case}\n" for case in cases[fold::2]))
    return lists


def test_two_folds_are_segmented_at_the_same_time(
    plan: StudyPlan, tiny_model: Path, folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, codes = tmp_path / "predictions/tunet", []
    first, second = (["segment", *segment_words(plan, plan.cohort, [tiny_model], out, path)] for path in folds)
    add = Ledger.add

    def add_while_the_other_runs(self: Ledger, result: Segmentation) -> None:
        add(self, result)
        if not codes:
            codes.append(-1)
            codes[0] = main(second)

    monkeypatch.setattr(Ledger, "add", add_while_the_other_runs)
    assert main(first) == 0
    assert codes == [0]
    assert cases_of(out / "volumes.csv") == sorted(name for path in folds for name in path.read_text().split())


def test_one_process_at_a_time_per_list(
    plan: StudyPlan, tiny_model: Path, folds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["segment", *segment_words(plan, plan.cohort, [tiny_model], tmp_path / "out", folds[0])]
    codes = []

    def again(self: Ledger, result: Segmentation) -> None:
        codes.append(main(words))

    monkeypatch.setattr(Ledger, "add", again)
    assert main(words) == 0
    assert codes == [2, 2, 2]


def _write_part(folder: Path, names: list[str]) -> None:
    ledger = Ledger(folder, [*names, *(f"{name}-broken" for name in names)])
    for name in names:
        ledger.rows[name] = {"case": name, "whole_ml": "1.0", "warnings": ""}
        ledger._write_volumes()
        ledger.add_fault(f"{name}-broken", "is broken")


def test_no_row_of_another_process_is_lost(tmp_path: Path) -> None:
    parts = [[f"case-{part}-{number}" for number in range(20)] for part in range(4)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_part, args=(tmp_path, names)) for names in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    everything = sorted(name for names in parts for name in names)
    assert cases_of(tmp_path / "volumes.csv") == everything
    assert sorted(cases_of(tmp_path / "failed.csv")) == sorted(f"{name}-broken" for name in everything)


def test_a_part_begins_the_faults_of_its_own_cases_again(tmp_path: Path) -> None:
    for names in (["a", "b"], ["c"]):
        for name in names:
            Ledger(tmp_path, names).add_fault(name, "is broken")
    assert cases_of(tmp_path / "failed.csv") == ["b", "c"]
    Ledger(tmp_path, ["a", "b"])
    assert cases_of(tmp_path / "failed.csv") == ["c"]
    Ledger(tmp_path, ["c"])
    assert not (tmp_path / "failed.csv").exists()
