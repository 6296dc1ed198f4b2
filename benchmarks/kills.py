"""Kill a tiny training at random moments, resume it, and compare its weights with those of an undisturbed one.

    python benchmarks/kills.py [--kills 200] [--seed 0] [--folder FOLDER] [--onnx]

A training of two stages of two epochs on four synthetic patients, with an empty cache each time, is killed by SIGKILL
once or twice, then resumed to its end. Half of the kills come at a random time; the other half at a random one of the
moments at which the process opens, renames, links or deletes a file of its own: while a checkpoint, a cache entry, a
state file, a lock or a log is written. Each process is a fork of one that has imported everything. The ONNX file that
a training ends with takes ten times as long as the rest; it is written only with ``--onnx``. The last line is one JSON
object; the exit code is 1 if any weight differs.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tunetseg.datasets.phantom import write_cohort
from tunetseg.errors import InputError
from tunetseg.models import export
from tunetseg.training.recipes import Recipe, recipe_from_dict
from tunetseg.training.run import train

RECIPE = {
    "name": "tiny",
    "folds": 2,
    "ema_decay": 0.9,
    "precision": "32",
    "suggested_options": {"base_filters": 2, "levels": 2},
    "defaults": {
        "whole_volume": True,
        "batch_size": 1,
        "epochs": 2,
        "schedule": "cosine",
        "early_stopping_patience": 0,
        "augmentation": {"flip": {"probability": [0.5, 0, 0]}},
    },
    "stages": [{"spacing": 20.0, "patch_size": [8, 12, 8]}, {"spacing": 14.0, "patch_size": [12, 16, 12]}],
}

EVENTS = ("open", "os.rename", "os.remove", "os.link", "os.mkdir")


def work(folder: Path, cohort: Path, recipe: Recipe, at: int | None = None) -> int:
    """Train in a process of its own; return its number.

    Args:
        folder: Receives run and cache.
        cohort: Cases.
        recipe: Recipe.
        at: Number of the file event at which the process kills itself; None: never. The number of events is written to
            ``events`` in the folder when the training has ended.
    """
    process = os.fork()
    if process:
        return process
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        seen = 0

        def look(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if event in EVENTS and arguments and str(folder) in str(arguments[0]):
                seen += 1
                if seen == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(look)
        train(cohort=cohort, out=folder / "run", recipe=recipe, cache=folder / "cache", device="cpu", resume=True)
        count = seen
        (folder / "events").write_text(str(count))
    except BaseException as error:
        (folder / "fault").write_text(repr(error))
        os._exit(1)
    os._exit(0)


def no_onnx(model: Path, out: Path) -> None:
    """Stand for a network that cannot be written as ONNX."""
    raise InputError("no ONNX file in this benchmark")


def ended(process: int) -> int:
    """Wait for a process; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> int:
    """Train undisturbed, then kill and compare; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--onnx", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.onnx:
        export.write_companion = no_onnx
    base = Path(tempfile.mkdtemp(dir=given.folder, prefix="kills-"))
    write_cohort(base / "cohort", cases=4, shape=(32, 40, 28), spacing=7.0)
    recipe, generator = recipe_from_dict(RECIPE), random.Random(given.seed)
    whole = base / "whole"
    whole.mkdir()
    # Imports what is imported late too, so that no fork has to.
    train(cohort=base / "cohort", out=base / "first/run", recipe=recipe, cache=base / "first/cache", device="cpu")
    began = time.monotonic()
    if code := ended(work(whole, base / "cohort", recipe)):
        raise SystemExit(f"the undisturbed training ended with {code}: {(whole / 'fault').read_text()}")
    seconds = time.monotonic() - began
    events = int((whole / "events").read_text())
    reference = load_file(whole / "run/model.safetensors")
    counts: collections.Counter[str] = collections.Counter()
    while counts["kills"] < given.kills:
        folder = base / f"run-{counts['runs']}"
        folder.mkdir()
        for _ in range(generator.choice([1, 1, 2])):
            by_time = generator.random() < 0.5
            at = None if by_time else generator.randrange(1, events)
            process = work(folder, base / "cohort", recipe, at)
            if by_time:
                time.sleep(generator.random() * seconds)
                os.kill(process, signal.SIGKILL)
            killed = ended(process) == -signal.SIGKILL
            counts["kills"] += killed
            counts["at a time" if by_time else "at a file"] += killed
        began = time.monotonic()
        if code := ended(work(folder, base / "cohort", recipe)):
            raise SystemExit(f"{folder}: a resumed training ended with {code}: {(folder / 'fault').read_text()}")
        seconds = 0.8 * seconds + 0.2 * (time.monotonic() - began)
        found = load_file(folder / "run/model.safetensors")
        same = found.keys() == reference.keys() and all(torch.equal(found[name], reference[name]) for name in found)
        counts["same" if same else "different"] += 1
        counts["left over"] += len([*folder.rglob(".*.safetensors"), *folder.rglob(".*.json")])
        counts["runs"] += 1
        if same:
            shutil.rmtree(folder)
    print(json.dumps({"benchmark": "kills", "file events of a run": events, **counts}))
    if not counts["different"]:
        shutil.rmtree(base)
    return int(counts["different"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
