"""Parameters, seconds per training step and per forward pass of every network, in turn in one run.

    python benchmarks/networks.py [--patch-size 64 64 64] [--rounds 3] [--device auto] [NETWORK ...]

A step is forward pass, the network's own loss terms, backward pass and optimiser, with default options, batch 1, four
channels and three regions, in the precision that ``auto`` chooses. The input is random. Each round times every network
once, so that other work on the machine meets all of them alike; medians are printed, and ratios against the first
network. The last line is one JSON object.
"""

import argparse
import json
import statistics

import torch

from tunetseg.models.device import choose_device, uses_bfloat16
from tunetseg.networks import SegmentationNetwork, create_network, network_names, speed_up_on_cpu
from tunetseg.networks.registry import missing_packages, network_options
from tunetseg.studies.budget import time_passes
from tunetseg.training.loss import RegionLoss
from tunetseg.training.memory import keep_freed_memory


def build(name: str, patch: tuple[int, int, int], device: torch.device) -> SegmentationNetwork:
    """Return a network on a device, in training mode."""
    options = {"input_size": patch} if "input_size" in network_options(name) else {}
    network = create_network(name, **options).train().to(device)
    return speed_up_on_cpu(network) if device.type == "cpu" else network


def measure(name: str, patch: tuple[int, int, int], device: torch.device, low: bool) -> tuple[int, float, float]:
    """Return parameters, and seconds of one step and of one forward pass, each after one that is not timed."""
    torch.manual_seed(0)
    network = build(name, patch, device)
    step, forward = time_passes(network, (1, 4, *patch), 3, RegionLoss(1.0), bfloat16=low)
    return sum(p.numel() for p in network.parameters()), step, forward


def main() -> None:
    """Measure, print, and end with the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--patch-size", nargs=3, type=int, default=(64, 64, 64))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    keep_freed_memory()
    device = choose_device(given.device)
    low = uses_bfloat16("auto", device)
    x, y, z = given.patch_size
    names = [name for name in given.networks or network_names() if not missing_packages(name)]
    rounds = [{name: measure(name, (x, y, z), device, low) for name in names} for _ in range(given.rounds)]
    rows = {
        name: {
            "parameters": rounds[0][name][0],
            "step_s": round(statistics.median(found[name][1] for found in rounds), 3),
            "forward_s": round(statistics.median(found[name][2] for found in rounds), 3),
        }
        for name in names
    }
    first = rows[names[0]]["step_s"]
    for name, row in rows.items():
        print(
            f"{name:<20}{row['parameters']:>12,}  step {row['step_s']:.2f} s ({row['step_s'] / first:.2f})  "
            f"forward {row['forward_s']:.2f} s"
        )
    facts = {"threads": torch.get_num_threads(), "precision": "bf16" if low else "32", "patch_size": [x, y, z]}
    print(json.dumps({"benchmark": "networks", "device": str(device), **facts, "networks": rows}))


if __name__ == "__main__":
    main()
