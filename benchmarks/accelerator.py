"""Check a GPU, time a training step on it, and train a model, in one command.

    python benchmarks/accelerator.py PACK [--out FOLDER] [--minutes 9.3] [--recipe robust] [--fold 0]
        [--base-filters 16] [--batch-size N] [--device cuda] [--skip tests agreement] [--rounds 12] [--epochs-factor 20]

In order: the tests that need a GPU; agreement of a segmentation with the CPU; seconds of a training step in plain
float32, and with bf16, channels last, CUDA graphs and, if asked for, ``torch.compile``; then training with what was
fastest, until the minutes are over. A part that fails is noted, and the next one begins. PACK is what ``tunet pack``
writes.

The folder (by default what the variable OUT names, else ``accelerator``) always holds what is done so far:
``results.json``, and the weights in bf16 in files of 15 MB, renewed every two minutes:
``cat weights-*.part > model.safetensors``.
"""

import argparse
import copy
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from tunetseg.datasets.phantom import make_patient
from tunetseg.inference.predictor import load_model
from tunetseg.inference.segment import segment
from tunetseg.models.device import choose_device, has_fast_bfloat16
from tunetseg.models.store import load_network, save_model
from tunetseg.networks import create_network, speed_up_on_cpu
from tunetseg.training import Recipe, TrainConfig, train
from tunetseg.training.callbacks import SNAPSHOT
from tunetseg.training.memory import keep_freed_memory
from tunetseg.training.module import TrainingModule
from tunetseg.training.recipes import find_recipe
from tunetseg.training.transforms import augment

ROOT = Path(__file__).resolve().parent.parent
PART_BYTES = 15 * 10**6
SNAPSHOT_MINUTES = 2.0
RESERVE_SECONDS = 25.0
"""Left at the end for the last validation's report and for writing the weights."""


@dataclass(frozen=True)
class Way:
    """One way to run a training step."""

    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False
    graphs: bool = False


WAYS = {
    "float32": Way(),
    "bf16": Way(bf16=True),
    "bf16, channels last": Way(bf16=True, channels_last=True),
    "bf16, channels last, CUDA graphs": Way(bf16=True, channels_last=True, graphs=True),
    "bf16, compiled": Way(bf16=True, channels_last=True, compiled=True),
}


@dataclass
class Results:
    """What is done so far, written after each part."""

    folder: Path
    began: float
    found: dict[str, Any]

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def part(self, name: str, work: Callable[[], Any]) -> Any:
        """Do one part and note what it returns, or how it failed; return it, or None."""
        print(f"[{self.spent:5.0f} s] {name}", flush=True)
        began, result = time.monotonic(), None
        try:
            result = self.found[name] = work()
        except Exception as error:
            traceback.print_exc()
            self.found[name] = {"failed": f"{type(error).__name__}: {error}"}
        self.found.setdefault("seconds", {})[name] = round(time.monotonic() - began, 1)
        self.write()
        print(json.dumps({name: self.found[name]}), flush=True)
        return result

    def write(self) -> None:
        """Replace the file of results."""
        partial = self.folder / ".results.json"
        partial.write_text(json.dumps(self.found, indent=1))
        os.replace(partial, self.folder / "results.json")


def facts(device: torch.device) -> dict[str, Any]:
    """Return what the machine is."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "memory_gb": round(torch.cuda.get_device_properties(device).total_memory / 1e9, 1) if cuda else None,
        "torch": torch.__version__,
        "bf16": has_fast_bfloat16(device),
        "threads": torch.get_num_threads(),
        "python": sys.version.split()[0],
    }


def run_tests() -> dict[str, Any]:
    """Run the tests that are about GPUs, in a process of their own."""
    folders = [f"tests/{name}" for name in ("inference", "training")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "needs_gpu", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    print(done.stdout[-3000:], done.stderr[-1000:], flush=True)
    return {"exit_code": done.returncode, "summary": (done.stdout.strip().splitlines() or ["no output"])[-1]}


def compare_segmentation(device: torch.device, model: str | None) -> dict[str, Any]:
    """Segment a synthetic patient on the device and on the CPU, and compare."""
    patient = make_patient(2, shape=(120, 120, 78), spacing=2.0)
    names = (model,) if model else ()
    maps, seconds = {}, {}
    for place in ("cpu", str(device)):
        for precision in ("32", "bf16" if has_fast_bfloat16(device) else "32"):
            began = time.perf_counter()
            own = load_model(*names, device=place, precision=precision)
            maps[place, precision] = segment(patient.images, affine=patient.affine, model=own).label_map
            seconds[f"{place}, {precision}"] = round(time.perf_counter() - began, 2)
    expected = maps["cpu", "32"]
    dice = {f"{place}, {precision}": _dice(found, expected) for (place, precision), found in maps.items()}
    return {"dice_to_cpu_float32": dice, "seconds": seconds, "tumour_voxels": int((expected > 0).sum())}


def _dice(found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Return the Dice of every label value, 1 where neither map has it."""
    result = {}
    for value in np.unique(np.concatenate([np.unique(expected), [1, 2, 4]])):
        a, b = found == value, expected == value
        if value:
            total = a.sum() + b.sum()
            result[str(value)] = round(float(2 * (a & b).sum() / total), 5) if total else 1.0
    return result


def time_steps(
    device: torch.device, recipe: Recipe, given: argparse.Namespace, names: list[str], limit: float
) -> dict[str, Any]:
    """Return median seconds of a training step per way, the ways in turn, within a limit of seconds."""
    deadline = time.monotonic() + limit
    stage = recipe.stages[-1]
    network = create_network("tunet-seb", **(recipe.suggested_options | {"base_filters": given.base_filters}))
    if device.type == "cpu":
        speed_up_on_cpu(network)
    image = torch.randn(stage.batch_size, 4, *stage.patch_size, device=device)
    nested = torch.rand(stage.batch_size, 1, *stage.patch_size, device=device)
    masks = torch.cat([nested > cut for cut in (0.85, 0.9, 0.95)], dim=1).float()
    runs, first = {}, {}
    for name in names:
        if time.monotonic() > deadline - limit / 4:
            break
        try:
            runs[name] = _stepper(copy.deepcopy(network), recipe, image, masks, WAYS[name])
            first[name] = _timed(runs[name], device)
            _timed(runs[name], device)
        except Exception as error:
            traceback.print_exc()
            runs.pop(name, None)
            first[name] = f"{type(error).__name__}: {error}"
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, run in runs.items():
            if not seconds[name] or time.monotonic() < deadline:
                seconds[name].append(_timed(run, device))
    medians = {name: round(statistics.median(values), 5) for name, values in seconds.items() if values}
    return {
        "median_s": medians,
        "steps_per_s": {name: round(1 / value, 2) for name, value in medians.items()},
        "times_float32": {name: round(medians["float32"] / value, 2) for name, value in medians.items()}
        if "float32" in medians
        else {},
        "first_s": {name: value if isinstance(value, str) else round(value, 1) for name, value in first.items()},
        "patch_size": list(stage.patch_size),
        "batch_size": stage.batch_size,
        "base_filters": given.base_filters,
        "peak_gb": round(torch.cuda.max_memory_allocated(device) / 1e9, 2) if device.type == "cuda" else None,
    }


def _stepper(network: Any, recipe: Recipe, image: torch.Tensor, masks: torch.Tensor, way: Way) -> Callable[[], Any]:
    """Return a function that does one training step: augmentation, forward and backward pass, optimiser."""
    device, stage = image.device, recipe.stages[-1]
    module = TrainingModule(
        network, recipe, stage, 1, compiled=way.compiled, channels_last=way.channels_last, cuda_graphs=way.graphs
    )
    module = module.to(device)
    optimizer = torch.optim.Adam(module.network.parameter_groups(recipe.l2), 1e-4)
    seeds = iter(range(10**9))

    def run() -> None:
        inputs, targets = augment(image, masks, [next(seeds) for _ in image], stage.augmentation)
        with torch.autocast(device.type, torch.bfloat16) if way.bf16 else nullcontext():
            loss = module.terms(inputs, targets).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def _timed(run: Callable[[], Any], device: torch.device) -> float:
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def fastest(steps: dict[str, Any] | None, seconds: float, stages: int) -> str:
    """Return the way that takes most steps in some seconds; every stage begins with a step that compiles."""
    if not steps or not steps["median_s"]:
        return "bf16"
    first = steps["first_s"]
    worth = {
        name: max(0.0, seconds - stages * (first[name] if isinstance(first[name], float) else 0.0)) / median
        for name, median in steps["median_s"].items()
    }
    return max(worth, key=lambda name: worth[name])


def longer(recipe: Recipe, factor: int, batch_size: int | None) -> Recipe:
    """Return a recipe whose stages have so many times the epochs, validated as often in all, for ``max_minutes``."""
    stages = tuple(
        msgspec.structs.replace(
            stage,
            epochs=stage.epochs * factor,
            validate_every=min(stage.validate_every, stage.epochs) * factor,
            batch_size=batch_size or stage.batch_size,
        )
        for stage in recipe.stages
    )
    return msgspec.structs.replace(recipe, stages=stages)


def write_parts(model: Path, folder: Path) -> int:
    """Write a model file in parts of 15 MB, and remove those of a larger one; return their number."""
    content = model.read_bytes()
    parts = [content[begin : begin + PART_BYTES] for begin in range(0, len(content), PART_BYTES)]
    for number, part in enumerate(parts, start=1):
        partial = folder / f".weights-{number}.part"
        partial.write_bytes(part)
        os.replace(partial, folder / f"weights-{number}.part")
    for path in folder.glob("weights-*.part"):
        if int(path.stem.rpartition("-")[2]) > len(parts):
            path.unlink()
    return len(parts)


def train_model(
    recipe: Recipe, way: Way, given: argparse.Namespace, minutes: float, results: Results, folder: Path
) -> dict[str, Any]:
    """Train until the minutes are over; the weights so far are always in the folder of results."""
    run, written = folder / "run", [0.0]

    def keep(*_: Any) -> None:
        snapshot = run / SNAPSHOT
        if snapshot.exists() and (changed := snapshot.stat().st_mtime) != written[0]:
            written[0] = changed
            write_parts(snapshot, results.folder)

    config = TrainConfig(
        cohort=given.pack,
        out=str(run),
        cache=str(folder / "cache"),
        recipe=msgspec.structs.replace(recipe, precision="bf16" if way.bf16 else "32"),
        network_options={"base_filters": given.base_filters},
        fold=given.fold if given.fold == "all" else int(given.fold),
        device=given.device,
        data_on_device=True,
        channels_last=way.channels_last,
        compile=way.compiled,
        cuda_graphs=way.graphs,
        snapshot_minutes=given.snapshot_minutes,
        max_minutes=minutes,
    )
    network, spec = load_network(train(config, progress=keep))
    small = folder / "small.safetensors"
    save_model(small, network, spec, torch.bfloat16)
    parts = write_parts(small, results.folder)
    kept = ("epochs", "steps", "seconds", "validation", "unseen")
    return {"way": vars(way), "parts": parts, **{name: spec.training[name] for name in kept}}


def main(arguments: list[str] | None = None) -> int:
    """Do all parts; return 0 where each that was asked for is done."""
    given = _arguments(arguments)
    began = time.monotonic()
    folder = Path(given.out or os.environ.get("OUT") or "accelerator")
    folder.mkdir(parents=True, exist_ok=True)
    results = Results(folder, began, {"benchmark": "accelerator"})
    device = choose_device(given.device)
    keep_freed_memory()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    recipe = longer(find_recipe(given.recipe), given.epochs_factor, given.batch_size)
    able = {"compiled": given.compile, "graphs": device.type == "cuda"}
    names = [
        name for name, way in WAYS.items() if all(allowed or not vars(way)[kind] for kind, allowed in able.items())
    ]
    results.part("machine", lambda: facts(device))
    if "tests" not in given.skip:
        results.part("tests", run_tests)
    if "agreement" not in given.skip:
        results.part("agreement", lambda: compare_segmentation(device, given.model))
    total = 60 * given.minutes
    steps = None
    if "steps" not in given.skip:
        steps = results.part("steps", lambda: time_steps(device, recipe, given, names, total / 5))
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if "training" not in given.skip:
        left = total - results.spent - min(RESERVE_SECONDS, total / 10)
        way = WAYS[fastest(steps, left, len(recipe.stages))]
        with tempfile.TemporaryDirectory() as aside:
            results.part("training", lambda: train_model(recipe, way, given, max(left, 1.0) / 60, results, Path(aside)))
    results.found["seconds"]["all"] = round(results.spent, 1)
    results.write()
    print(json.dumps(results.found), flush=True)
    return int(any(isinstance(value, dict) and "failed" in value for value in results.found.values()))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack")
    parser.add_argument("--out", help="folder of the results; by default what OUT names, else ./accelerator")
    parser.add_argument("--minutes", type=float, default=9.3, help="time of everything together")
    parser.add_argument("--recipe", default="robust")
    parser.add_argument("--fold", default="0")
    parser.add_argument("--base-filters", type=int, default=16)
    parser.add_argument("--batch-size", type=int, help="of every stage, at training and in the benchmark; the recipe's")
    parser.add_argument("--epochs-factor", type=int, default=20, help="times the recipe's epochs; the minutes end it")
    parser.add_argument("--snapshot-minutes", type=float, default=SNAPSHOT_MINUTES)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--model", help="model whose segmentation is compared; the default one")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="try torch.compile, which takes minutes to begin")
    parser.add_argument("--skip", nargs="*", default=[], choices=["tests", "agreement", "steps", "training"])
    return parser.parse_args(arguments)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("tunetseg").setLevel(logging.INFO)
    raise SystemExit(main())
