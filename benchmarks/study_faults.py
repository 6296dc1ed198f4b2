"""Thirty models on a real SLURM on this computer, with kills, a preemption and a lost node, against undisturbed ones.

    python benchmarks/study_faults.py [--kills 10] [--cases 10] [--folder FOLDER] [--seed 0]

The study: the paper's six networks by five folds on synthetic patients, four epochs each at 14 mm with two filters. It
is submitted by `tunet study --launcher slurm` to a SLURM that `tools/local_slurm.py` starts. While it runs, trainings
are killed by SIGKILL at random, one job preempts, and one node dies for good. Each model is also trained in this
process, undisturbed. No ONNX files are written, as where the package onnxscript is missing.

The last line is one JSON object: how many of the thirty are equal bit for bit, whether the tables are there, how many
epochs were done twice, and the wasted work: of the seconds that trainings ran, start included, those between the last
checkpoint, or the start where there was none, and an end that was not the model's. The exit code is 1 if anything is
missing or differs.
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
from dataclasses import dataclass, field
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
stages = [{ spacing = 14.0, patch_size = [16, 16, 16], whole_volume = true, epochs = 4, batch_size = 4 }]
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


def without_onnx(folder: Path) -> None:
    """Have this process and all that it starts find no package onnxscript."""
    folder.mkdir()
    (folder / "onnxscript.py").write_text("raise ModuleNotFoundError('left out', name='onnxscript')\n")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


def command(*words: str) -> str:
    """Run a command; return what it printed."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def trainings(study: Path) -> dict[int, Path]:
    """Return the processes that train models of the study now, and the run folder of each."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "train" in words and "--out" in words and words[:2] != ["bash", "-c"]:
            run = Path(words[words.index("--out") + 1])
            if run.is_relative_to(study):
                found[int(path.parent.name)] = run
    return found


@dataclass
class Work:
    """Seconds that trainings ran, and those of them that were wasted.

    Args:
        total: Seconds of all trainings, start included.
        wasted: Seconds from the last checkpoint, or the start, to an end without a model.
        seen: Process -> run folder and begin of the trainings at the last look.
    """

    total: float = 0.0
    wasted: float = 0.0
    seen: dict[int, tuple[Path, float]] = field(default_factory=dict)

    def look(self, running: dict[int, Path]) -> None:
        """Note which trainings have begun and ended."""
        now = time.time()
        for process in self.seen.keys() - running.keys():
            run, begin = self.seen.pop(process)
            self.total += now - begin
            if not (run / "model.safetensors").exists():
                self.wasted += now - max(begin, saved(run))
        for process in running.keys() - self.seen.keys():
            self.seen[process] = running[process], now


def saved(run: Path) -> float:
    """Return when the last checkpoint of a run was written; 0 where there is none."""
    try:
        return (run / "stage-0/last.safetensors").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def hurry(times: dict[str, float]) -> None:
    """Let requeued jobs begin after some seconds; SLURM makes them wait for two minutes."""
    for line in command("squeue", "-h", "-t", "PENDING", "-o", "%i %r").splitlines():
        name, reason = line.split(maxsplit=1)
        if reason == "BeginTime" and time.monotonic() > times.get(name, 0):
            times[name] = time.monotonic() + 20
            command("scontrol", "update", f"JobId={name}", "StartTime=now+3")


def disturb(
    study: Path, slurm: ModuleType, cluster: Path, kills: int, generator: random.Random
) -> tuple[Counter[str], Work]:
    """Watch the study to its end, and disturb it meanwhile; return what was done to it, and what it did."""
    done: Counter[str] = Counter()
    work = Work()
    times: dict[str, float] = {}
    next_kill = time.monotonic()
    while command("squeue", "-h", "-o", "%i"):
        time.sleep(0.3)
        hurry(times)
        running = trainings(study)
        work.look(running)
        finished = sum(model.status == "finished" for model in read_status(study))
        # Every other kill waits for a training that has a checkpoint; the others mostly come while one starts.
        chosen = [process for process, run in running.items() if saved(run) or done["kills"] % 2]
        if done["kills"] < kills and chosen and time.monotonic() > next_kill:
            process = generator.choice(chosen)
            os.kill(process, signal.SIGKILL)
            done["kills"] += 1
            done["kills after a checkpoint"] += saved(running[process]) > 0
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
    return done, work


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
    return sum(text.count(" of 4: loss ") for text in logs)


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
    without_onnx(base / "without")
    slurm.start(cluster)
    os.environ["SLURM_CONF"] = str(cluster / "slurm.conf")
    began = time.monotonic()
    try:
        words = "study", str(cohort), "--out", str(study), "--recipe", str(base / "tiny.toml"), "--threads", "1"
        command(sys.executable, "-m", "tunetseg", *words, "--launcher", "slurm")
        done, work = disturb(study, slurm, cluster, given.kills, random.Random(given.seed))
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
    twice = epochs_begun(study, plan) - 4 * len(plan.models)
    facts = {"models": len(plan.models), "equal": same, "tables": tables, **done, "epochs done twice": twice}
    waste = {"seconds of trainings": round(work.total), "seconds wasted": round(work.wasted)}
    print(json.dumps({"benchmark": "study_faults", **facts, **waste, "minutes": round(seconds / 60, 1)}))
    whole = same == len(plan.models) and tables and done["kills"] >= given.kills
    if whole and given.folder is None:
        shutil.rmtree(base)
    return int(not whole)


if __name__ == "__main__":
    raise SystemExit(main())
