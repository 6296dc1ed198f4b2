"""Seconds of a training step, plain and compiled, in turn in one run.

    python benchmarks/training_step.py [--base-filters 8] [--patch 72 88 72] [--rounds 10] [--plain-malloc]

The network is ``tunet-seb``, the batch one random volume, the precision what ``auto`` chooses, the allocator as
``tunet train`` sets it. The last line is one JSON object.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable

import torch

from tunetseg.models.device import choose_device, uses_bfloat16
from tunetseg.networks import Architecture, build_network
from tunetseg.training.loss import cascade_loss
from tunetseg.training.memory import keep_freed_memory
from tunetseg.training.module import TrainingModule
from tunetseg.training.recipes import Recipe


def main() -> None:
    """Measure, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-filters", type=int, default=8)
    parser.add_argument("--patch", type=int, nargs=3, default=(72, 88, 72))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--plain-malloc", action="store_true", help="leave the allocator as the system has it")
    given = parser.parse_args()
    if not given.plain_malloc:
        keep_freed_memory()
    torch.manual_seed(0)
    device = choose_device()
    low = uses_bfloat16("auto", device)
    network = build_network(Architecture(base_filters=given.base_filters))
    recipe = Recipe(base_filters=given.base_filters)
    modules = {
        name: TrainingModule(copy.deepcopy(network), recipe, recipe.stages[0], 1, compiled=on).to(device)
        for name, on in (("plain", False), ("compiled", True))
    }
    image = torch.randn(1, 4, *given.patch, device=device)
    masks = (torch.rand(1, 3, *given.patch, device=device) > 0.9).float()

    def step(module: TrainingModule) -> Callable[[], None]:
        def run() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                logits = module.predict(image.contiguous(memory_format=module.layout))
            cascade_loss(logits, masks, 1.0).backward()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run

    def timed(run: Callable[[], None]) -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    runs = {name: step(module) for name, module in modules.items()}
    first = {name: timed(run) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(
            f"{name:<10}{medians[name]:.2f} s (from {min(values):.2f} to {max(values):.2f}), first {first[name]:.0f} s"
        )
    print(
        json.dumps(
            {
                "benchmark": "training_step",
                "device": str(device),
                "bf16": low,
                "plain_malloc": given.plain_malloc,
                "patch": list(given.patch),
                "base_filters": given.base_filters,
                "first_s": {name: round(value, 2) for name, value in first.items()},
                "median_s": {name: round(value, 3) for name, value in medians.items()},
                "plain_over_compiled": round(medians["plain"] / medians["compiled"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
