"""Command lines say all that a configuration does."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from tunetseg.cli.train import _config, parse
from tunetseg.studies.plan import StudyPlan
from tunetseg.studies.tasks import Task, model_task, segment_words, train_words
from tunetseg.training.config import TrainConfig

EVERYTHING = {
    "network": "tunet",
    "network_options": {"levels": 3, "coupling": "separate"},
    "fold": 1,
    "seed": 7,
    "pretrained": "fast",
    "dataset": "brats2020",
    "labels": "2020",
    "device": "cpu",
    "devices": 2,
    "workers": 3,
    "channels_last": True,
    "compile": True,
    "snapshot_minutes": 2.0,
    "max_minutes": 1.5,
    "resume": True,
    "skip_broken": True,
    "cache": "a folder/cache",
}


@pytest.mark.parametrize("settings", [{}, EVERYTHING, {"data_on_device": True, "fold": "all"}])
def test_a_run_survives_the_command_line(settings: dict) -> None:
    config = TrainConfig(cohort="a cohort", out="run", recipe="quick", **settings)
    found = _config(parse(train_words(config)))
    for name in TrainConfig.__struct_fields__:
        if name != "recipe":
            assert getattr(found, name) == getattr(config, name), name
    assert found.find_recipe() == config.find_recipe()


def test_a_line_runs_commands_in_order_until_one_fails(tmp_path: Path) -> None:
    log = tmp_path / "a log"
    task = Task("t", (("echo", "it's one"), ("false",), ("echo", "two")), log)
    done = subprocess.run(["bash", "-c", task.line()], check=False)
    assert done.returncode == 1
    assert log.read_text() == "it's one\n"


@pytest.mark.parametrize(("code", "found"), [(0, 0), (2, 0), (3, 0), (1, 1), (137, 137)])
def test_a_line_ends_well_where_its_work_is_done(tmp_path: Path, code: int, found: int) -> None:
    task = Task("t", (("true",), ("bash", "-c", f"exit {code}")), tmp_path / "log", also_well=(2, 3))
    assert subprocess.run(["bash", "-c", f"trap : TERM; {task.line()}"], check=False).returncode == found


def test_processes_of_a_training_are_started_together(tmp_path: Path) -> None:
    task = Task("t", (("train",), ("segment",)), tmp_path / "log", processes=2)
    assert task.line(["srun", "-n2"]).startswith("{ srun -n2 train && segment; }")


def test_a_model_is_trained_and_segments_the_cases_of_its_fold(plan: StudyPlan, study: Path) -> None:
    train, segment = model_task(plan, study, plan.models[1]).commands
    assert train[3:5] == ("train", plan.cohort)
    assert segment[-2:] == ("--cases", str(study / "models/tunet-seb/fold-1/validation.txt"))


def test_segmentations_get_the_label_values_of_the_references(plan: StudyPlan, tmp_path: Path) -> None:
    assert "--labels" not in segment_words(plan, plan.cohort, [tmp_path], tmp_path)
    named = msgspec.structs.replace(plan, settings={**plan.settings, "labels": "2023"})
    words = segment_words(named, plan.cohort, [tmp_path], tmp_path)
    assert words[words.index("--labels") + 1] == "2023"
