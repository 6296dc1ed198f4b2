"""Seconds of a training step, plain and compiled, in turn in one run.

    python benchmarks/training_step.py [--network tunet-seb] [--base-filters 8] [--patch-size 72 88 72] [--batch-size 1]
        [--recipe quick] [--rounds 10] [--device auto] [--plain-malloc]

A step is what `tunet train` does with a batch that is loaded: augmentation of the recipe's last stage, forward pass,
loss, backward pass, optimiser. The batch is random, the precision what ``auto`` chooses, the allocator as `tunet train`
sets it. The seconds of augmentation alone are measured too. The last line is one JSON object.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from tunetseg.models.device import choose_device, uses_bfloat16
from tunetseg.networks import create_network, network_options, speed_up_on_cpu
from tunetseg.training.loss import RegionLoss
from tunetseg.training.memory import keep_freed_memory
from tunetseg.training.module import TrainingModule
from tunetseg.training.recipes import find_recipe
from tunetseg.training.transforms import augment


def main() -> None:
    """Measure, print, and end with the JSON line."""
    given = _arguments()
    if not given.plain_malloc:
        keep_freed_memory()
    torch.manual_seed(0)
    device = choose_device(given.device)
    low = uses_bfloat16("auto", device)
    options = {"base_filters": given.base_filters} if "base_filters" in network_options(given.network) else {}
    network = create_network(given.network, **options)
    if device.type == "cpu":
        speed_up_on_cpu(network)
    recipe = find_recipe(given.recipe)
    augmentation = recipe.stages[-1].augmentation
    image = torch.randn(given.batch_size, 4, *given.patch_size, device=device)
    masks = (torch.rand(given.batch_size, 3, *given.patch_size, device=device) > 0.9).float().cummin(dim=1).values
    seeds = iter(range(10**9))

    def changed() -> tuple[torch.Tensor, torch.Tensor]:
        own = [next(seeds) for _ in range(given.batch_size)]
        return augment(image, masks, own, augmentation, ("t1", "t1ce", "flair", "t2"))

    def step(compiled: bool) -> Callable[[], Any]:
        module = TrainingModule(copy.deepcopy(network), recipe, recipe.stages[-1], 1, compiled=compiled).to(device)
        optimizer = torch.optim.Adam(module.network.parameter_groups(recipe.l2), 1e-3)
        criterion = RegionLoss(recipe.bce_weight)

        def run() -> None:
            inputs, targets = changed()
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                inputs = inputs.contiguous(memory_format=module.layout)
                loss = module.loss_terms(inputs, targets, criterion).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return run

    def timed(run: Callable[[], Any]) -> float:
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    runs: dict[str, Callable[[], Any]] = {"augmentation": changed, "plain": step(False)}
    if not given.no_compile:
        runs["compiled"] = step(True)
    first = {name: timed(run) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"{name:<13}{medians[name]:.3f} s ({min(values):.3f} to {max(values):.3f}), first {first[name]:.1f} s")
    print(
        json.dumps(
            {
                "benchmark": "training_step",
                "device": str(device),
                "bf16": low,
                "plain_malloc": given.plain_malloc,
                "network": given.network,
                "options": options,
                "recipe": given.recipe,
                "patch_size": list(given.patch_size),
                "batch_size": given.batch_size,
                "threads": torch.get_num_threads(),
                "first_s": {name: round(value, 2) for name, value in first.items()},
                "median_s": {name: round(value, 4) for name, value in medians.items()},
            }
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="tunet-seb")
    parser.add_argument("--base-filters", type=int, default=8)
    parser.add_argument("--patch-size", type=int, nargs=3, default=(72, 88, 72))
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--plain-malloc", action="store_true", help="leave the allocator as the system has it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
