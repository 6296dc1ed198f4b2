"""Thirty models on a real SLURM on this computer, with kills, a preemption and a lost node, against undisturbed ones.

    python benchmarks/study_faults.py [--kills 10] [--cases 10] [--folder FOLDER] [--seed 0]

The study: the paper's six networks by five folds on synthetic patients, two epochs each at 14 mm with two filters. It
is submitted by `tunet study --launcher slurm` to a SLURM that `tools/local_slurm.py` starts. While it runs, trainings
are killed by SIGKILL at random, one job preempts, and one node dies for good. Each model is also trained in this
process, undisturbed. The last line is one JSON object: how many of the thirty are equal bit for bit, whether the
tables are there, and how many epochs were done twice. The exit code is 1 if anything is missing or differs.
"""

import argparse
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import msgspec
import torch
from safetensors.torch import load_file

from tunetseg.datasets.phantom import write_cohort
from tunetseg.studies.plan import StudyPlan, read_plan
from tunetseg.studies.status import read_status
from tunetseg.training.run import train

ROOT = Path(__file__).resolve().parents[1]

RECIPE = """
extends = "quick"
name = "tiny"
folds = 5
precision = "32"
keep = "last"
stages = [{ spacing = 14.0, patch_size = [16, 16, 16], whole_volume = true, epochs = 2, batch_size = 4 }]
[suggested_options]
base_filters = 2
levels = 2
"""


def tool() -> ModuleType:
    """Return the module that starts SLURM."""
    spec = importlib.util.spec_from_file_location("local_slurm", ROOT / "tools/local_slurm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def command(*words: str) -> str:
    """Run a command; return what it printed."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def trainings(study: Path) -> dict[int, bool]:
    """Return the processes that train models of the study now, and whether each has a checkpoint already."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "train" in words and "--out" in words and words[:2] != ["bash", "-c"]:
            run = Path(words[words.index("--out") + 1])
            if run.is_relative_to(study):
                found[int(path.parent.name)] = (run / "stage-0/last.safetensors").exists()
    return found


def hurry(times: dict[str, float]) -> None:
    """Let requeued jobs begin after some seconds; SLURM makes them wait for two minutes."""
    for line in command("squeue", "-h", "-t", "PENDING", "-o", "%i %r").splitlines():
        name, reason = line.split(maxsplit=1)
        if reason == "BeginTime" and time.monotonic() > times.get(name, 0):
            times[name] = time.monotonic() + 20
            command("scontrol", "update", f"JobId={name}", "StartTime=now+3")


def disturb(study: Path, slurm: ModuleType, cluster: Path, kills: int, generator: random.Random) -> Counter[str]:
    """Watch the study to its end, and disturb it meanwhile; return what was done to it."""
    done: Counter[str] = Counter()
    times: dict[str, float] = {}
    next_kill = time.monotonic()
    while command("squeue", "-h", "-o", "%i"):
        time.sleep(0.3)
        hurry(times)
        running = trainings(study)
        finished = sum(model.status == "finished" for model in read_status(study))
        # Every other kill waits for a training that has a checkpoint; the others mostly come while one starts.
        chosen = [process for process, saved in running.items() if saved or done["kills"] % 2]
        if done["kills"] < kills and chosen and time.monotonic() > next_kill:
            process = generator.choice(chosen)
            os.kill(process, signal.SIGKILL)
            done["kills"] += 1
            done["kills after a checkpoint"] += running[process]
            next_kill = time.monotonic() + generator.uniform(2, 20)
            print(f"{finished} finished; kill {done['kills']}", flush=True)
        if not done["preemptions"] and finished >= 5 and running:
            words = "--partition=high", "--nodes=1", "--output=/dev/null", "--wrap", "sleep 3"
            job = command("sbatch", "--parsable", *words)
            print(f"{finished} finished; preempted by job {job}", flush=True)
            done["preemptions"] += 1
        if not done["nodes lost"] and finished >= 10 and running:
            slurm.lose(cluster, "node2")
            print(f"{finished} finished; node2 is lost for good", flush=True)
            done["nodes lost"] += 1
    return done


def undisturbed(plan: StudyPlan, study: Path, elsewhere: Path) -> Callable[[str], Path]:
    """Train every model of the plan in this process; return where one is by its name."""
    for model in plan.models:
        config = plan.config(study, model)
        out = elsewhere / model.run
        train(msgspec.structs.replace(config, out=str(out), cache=str(elsewhere / "cache")))
    return lambda run: elsewhere / run / "model.safetensors"


def epochs_begun(study: Path, plan: StudyPlan) -> int:
    """Return the epochs that were logged as done, over all models and all their starts."""
    logs = [(study / "logs" / f"{model.name.replace('/', '-')}.log").read_text() for model in plan.models]
    return sum(text.count(" of 2: loss ") for text in logs)


def main() -> int:
    """Run the study on SLURM and here, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    slurm = tool()
    if reason := slurm.missing():
        raise SystemExit(reason)
    torch.set_num_threads(1)
    base = Path(tempfile.mkdtemp(dir=given.folder, prefix="faults-"))
    cohort, study, cluster = base / "cohort", base / "study", base / "slurm"
    write_cohort(cohort, cases=given.cases, dataset="brats2020", shape=(32, 40, 28), spacing=7.0)
    (base / "tiny.toml").write_text(RECIPE)
    slurm.start(cluster)
    os.environ["SLURM_CONF"] = str(cluster / "slurm.conf")
    began = time.monotonic()
    try:
        words = "study", str(cohort), "--out", str(study), "--recipe", str(base / "tiny.toml"), "--threads", "1"
        command(sys.executable, "-m", "tunetseg", *words, "--launcher", "slurm")
        done = disturb(study, slurm, cluster, given.kills, random.Random(given.seed))
    finally:
        slurm.stop(cluster)
    seconds = time.monotonic() - began
    plan = read_plan(study)
    place = undisturbed(plan, study, base / "undisturbed")
    same = 0
    for model in plan.models:
        ours, theirs = load_file(study / model.run / "model.safetensors"), load_file(place(model.run))
        same += ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    tables = (study / "results/table1.md").exists() and (study / "results/summary.json").exists()
    twice = epochs_begun(study, plan) - 2 * len(plan.models)
    facts = {"models": len(plan.models), "equal": same, "tables": tables, **done}
    print(
        json.dumps(
            {"benchmark": "study_faults", **facts, "epochs done twice": twice, "minutes": round(seconds / 60, 1)}
        )
    )
    whole = same == len(plan.models) and tables and done["kills"] >= given.kills
    if whole and given.folder is None:
        shutil.rmtree(base)
    return int(not whole)


if __name__ == "__main__":
    raise SystemExit(main())
