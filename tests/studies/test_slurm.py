"""The job script under a real SLURM on this computer: kills, the time limit, preemption, a lost node.

The commands stand for trainings: they save when they are told to stop, and count how often they were begun.
"""

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tunetseg.cli.main import main
from tunetseg.datasets import find_cases
from tunetseg.datasets.phantom import write_cohort
from tunetseg.studies.launch import submit
from tunetseg.studies.plan import make_plan, open_study
from tunetseg.studies.run import submit_study
from tunetseg.studies.tasks import Task
from tunetseg.training.recipes import recipe_from_dict

ROOT = Path(__file__).parents[2]

TINY = {
    "extends": "quick",
    "folds": 2,
    "precision": "32",
    "suggested_options": {"base_filters": 2, "levels": 2},
    "stages": [{"spacing": 14.0, "patch_size": [16, 16, 16], "whole_volume": True, "epochs": 2}],
}


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("local_slurm", ROOT / "tools/local_slurm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()

pytestmark = [
    pytest.mark.slow,  # daemons and jobs of the whole computer, next to which no other test should run
    pytest.mark.skipif(bool(TOOL.missing()), reason=f"SLURM is not installed: {TOOL.missing()}"),
    pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() != 0, reason="the daemons of SLURM are started as root"),
]

WORK = """
trap 'echo saved >> {0}.log; exit 143' TERM
echo "$SLURMD_NODENAME $$" >> {0}.log
until test -e {0}.go; do sleep 0.1 & wait; done
echo done >> {0}.log
"""
"""Runs until it is let go; notes where it was begun, when it saved, and its end."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A SLURM of two nodes of one processor each."""
    folder = tmp_path_factory.mktemp("slurm")
    TOOL.start(folder)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield folder
    TOOL.stop(folder)
    os.environ.pop("SLURM_CONF")
    if before is not None:
        os.environ["SLURM_CONF"] = before


@pytest.fixture
def run(slurm: Path, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return a function that submits so many tasks; what is left is cancelled."""

    def hand_over(count: int, change: Callable[[str], str] = lambda text: text) -> str:
        tasks = [task(tmp_path, number) for number in range(count)]
        template = tmp_path / "template.sh"
        text = (ROOT / "src/tunetseg/studies/templates/slurm.sh").read_text()
        template.write_text(change(text))
        then = Task("then", (("touch", str(tmp_path / "then")),), tmp_path / "then.log")
        return submit(tasks, tmp_path, missing=range(count), then=then, template=template).jobs[0]

    yield hand_over
    command("scancel", "--user", "root")
    wait_for(lambda: not command("squeue", "-h"))


def task(folder: Path, number: int) -> Task:
    script = folder / f"{number}.sh"
    script.write_text(WORK.format(folder / str(number)))
    return Task(str(number), (("bash", str(script)), ("true",)), folder / f"{number}.out")


def command(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    end, hurried = time.monotonic() + seconds, dict[str, float]()
    while not what():
        now = time.monotonic()
        assert now < end, command("squeue") + command("sinfo")
        time.sleep(0.2)
        # SLURM makes a job that was requeued wait for two minutes; in the same second it would be refused.
        for job in command("squeue", "-h", "-t", "PENDING", "-o", "%i %r").splitlines():
            name, reason = job.split(maxsplit=1)
            if reason == "BeginTime" and now > hurried.get(name, 0):
                hurried[name] = now + 15
                command("scontrol", "update", f"JobId={name}", "StartTime=now+3")


def lines(folder: Path, number: int) -> list[str]:
    path = folder / f"{number}.log"
    return path.read_text().splitlines() if path.exists() else []


def begun(folder: Path, number: int) -> list[list[str]]:
    """Return node and process of every time that a task was begun."""
    return [line.split() for line in lines(folder, number) if line.startswith("node")]


def finish(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"{number}.go").touch()
    wait_for((folder / "then").exists)


def test_an_array_then_the_job_that_follows(run: Callable[..., str], tmp_path: Path) -> None:
    run(3)
    wait_for(lambda: begun(tmp_path, 0) and begun(tmp_path, 1))
    assert not (tmp_path / "then").exists()
    finish(tmp_path, 0, 1, 2)
    assert [lines(tmp_path, number)[-1] for number in range(3)] == ["done"] * 3


@pytest.mark.parametrize(("code", "follows"), [(2, True), (1, False)])
def test_what_follows_does_not_mind_a_part_that_left_cases_out(
    slurm: Path, tmp_path: Path, code: int, follows: bool
) -> None:
    """As `tunet segment --shards` ends with 2 where a case was broken."""
    tasks = [
        Task(str(number), (("bash", "-c", f"exit {number and code}"),), tmp_path / "log", also_well=(2, 3))
        for number in range(2)
    ]
    then = Task("then", (("touch", str(tmp_path / "then")),), tmp_path / "then.log")
    submit(tasks, tmp_path, missing=range(2), then=then)
    wait_for(lambda: not command("squeue", "-h"))
    assert (tmp_path / "then").exists() == follows


def test_what_is_killed_is_begun_again(run: Callable[..., str], tmp_path: Path) -> None:
    run(1)
    wait_for(lambda: begun(tmp_path, 0))
    os.kill(int(begun(tmp_path, 0)[0][1]), 9)
    wait_for(lambda: len(begun(tmp_path, 0)) == 2)
    finish(tmp_path, 0)


def test_before_the_time_limit_it_saves_and_goes_on_in_a_new_job(run: Callable[..., str], tmp_path: Path) -> None:
    job = run(1)
    wait_for(lambda: begun(tmp_path, 0))
    command("scancel", "--batch", "--signal=USR1", job)  # as --signal=B:USR1@120 does
    wait_for(lambda: len(begun(tmp_path, 0)) == 2)
    assert lines(tmp_path, 0)[1] == "saved"
    finish(tmp_path, 0)


def test_a_preempted_task_goes_on_when_the_other_job_is_over(run: Callable[..., str], tmp_path: Path) -> None:
    run(1)
    wait_for(lambda: begun(tmp_path, 0))
    urgent = command("sbatch", "--parsable", "--partition=high", "--nodes=2", "--output=/dev/null", "--wrap", "sleep 2")
    wait_for(lambda: len(begun(tmp_path, 0)) == 2)
    assert urgent not in command("squeue", "-h", "-t", "RUNNING", "-o", "%i").split()
    finish(tmp_path, 0)


def test_the_task_of_a_lost_node_goes_on_elsewhere(run: Callable[..., str], slurm: Path, tmp_path: Path) -> None:
    run(1)
    wait_for(lambda: begun(tmp_path, 0))
    node, process = begun(tmp_path, 0)[0]
    TOOL.lose(slurm, node)
    try:
        wait_for(lambda: not Path(f"/proc/{process}").exists())
        wait_for(lambda: len(begun(tmp_path, 0)) == 2, 120)
        assert begun(tmp_path, 0)[1][0] != node
        finish(tmp_path, 0)
    finally:
        TOOL.bring_back(slurm, node)
        wait_for(lambda: command("sinfo", "-h", "-p", "low", "-t", "idle", "-o", "%D") == "2")


def test_a_cancelled_task_is_not_begun_again(run: Callable[..., str], tmp_path: Path) -> None:
    job = run(1)
    wait_for(lambda: begun(tmp_path, 0))
    command("scancel", job)
    wait_for(lambda: not command("squeue", "-h"))
    assert len(begun(tmp_path, 0)) == 1
    assert not (tmp_path / "then").exists()


def test_a_time_limit_of_one_minute_is_survived(run: Callable[..., str], tmp_path: Path) -> None:
    """SLURM then tells the task to stop long before it can end; each start gets some of the work done."""
    run(1, lambda text: text.replace("--time=24:00:00", "--time=1"))
    wait_for(lambda: len(begun(tmp_path, 0)) == 3, 240)
    assert lines(tmp_path, 0).count("saved") >= 2
    finish(tmp_path, 0)


def test_a_cohort_is_segmented_in_parts_and_a_broken_case_is_told(
    slurm: Path, mri_cohort: Path, tiny_model: Path, tmp_path: Path
) -> None:
    cohort = tmp_path / "cohort"
    shutil.copytree(mri_cohort, cohort)
    broken, *whole = find_cases(cohort)
    broken.images["t1"].write_bytes(b"nothing")
    template = tmp_path / "template.sh"
    text = (ROOT / "src/tunetseg/studies/templates/slurm.sh").read_text()
    template.write_text(text.replace("--cpus-per-task={threads}", "--cpus-per-task=1"))  # as many as the nodes have
    words = "segment", str(cohort), "--model", str(tiny_model), "--out", str(tmp_path / "out"), "--device", "cpu"
    assert main([*words, "--skip-broken", "--launcher", "slurm", "--shards", "2", "--template", str(template)]) == 0
    wait_for(lambda: not command("squeue", "-h"), 1200)
    jobs = tmp_path / "out/jobs"
    assert {path.stem for path in (tmp_path / "out").glob("*.json")} >= {case.id for case in whole}
    assert broken.id in (jobs / "part-0.log").read_text()
    assert broken.id in (jobs / "volumes.log").read_text()
    assert len((tmp_path / "out/volumes.csv").read_text().splitlines()) == 1 + len(whole)


def test_two_processes_under_srun_train_one_model(slurm: Path, tmp_path: Path) -> None:
    """As `--devices 2` does, on two nodes."""
    write_cohort(tmp_path / "cohort", cases=4, shape=(32, 40, 28), spacing=7.0)
    recipe = recipe_from_dict({**TINY, "stages": [{**TINY["stages"][0], "batch_size": 2}]})
    plan = make_plan(tmp_path / "cohort", [("tunet-seb", {})], recipe, only=[0], device="cpu", devices=2)
    open_study(tmp_path / "study", plan, recipe)
    submit_study(plan, tmp_path / "study")
    wait_for(lambda: not command("squeue", "-h"), 1200)
    log = (tmp_path / "study/logs/tunet-seb-fold-0.log").read_text()
    assert (tmp_path / "study/models/tunet-seb/fold-0/model.safetensors").exists(), log
    assert (tmp_path / "study/results/table1.md").exists()
