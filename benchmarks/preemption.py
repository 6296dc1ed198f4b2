"""Work that a preemptible cluster wastes, by simulation: how often runs are killed against how often they save.

    python benchmarks/preemption.py [--hours 35] [--save 2] [--start 60] [--runs 100]

A model needs ``--hours`` of steps. Kills come at random with a mean time between them; each costs the steps since the
last checkpoint and ``--start`` seconds until the run is going again. A checkpoint costs ``--save`` seconds. Printed is
the share of the time that was not spent on steps that count. ``auto`` is what `tunet train` does within an epoch: the
square root of twice the cost of a checkpoint times six hours, between 1 and 10 minutes. Nothing else is modelled:
waiting in the queue is not waste of the computer.
"""

import argparse
import json
import math
import random
import statistics

FAILURES = (0.5, 1, 2, 6, 24, 168)
"""Hours between two kills, on average."""

INTERVALS = (10, 60, 300, 600, 1800, 3600, 4 * 3600)
"""Seconds between two checkpoints."""


def auto(save: float) -> float:
    """Return the interval that `tunet train` takes."""
    return min(600.0, max(60.0, math.sqrt(2 * save * 6 * 3600)))


def wasted(work: float, interval: float, save: float, start: float, failures: float, generator: random.Random) -> float:
    """Return the share of the time of one run that was wasted; all arguments in seconds."""
    total = done = 0.0
    while done < work:
        alive = generator.expovariate(1 / failures)
        total += start
        left = alive - start
        while left > 0 and done < work:
            step = min(interval, work - done)
            if left < step + save:
                total += left
                break
            total, done, left = total + step + save, done + step, left - step - save
        if left <= 0:
            total += left  # killed while it was starting
    return 1 - work / total


def main() -> None:
    """Simulate, print a table, and end with a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=35.0, help="of steps per model; the paper's 35 by default")
    parser.add_argument("--save", type=float, default=2.0, help="seconds of a checkpoint")
    parser.add_argument("--start", type=float, default=60.0, help="seconds until a run is going again")
    parser.add_argument("--runs", type=int, default=100)
    given = parser.parse_args()
    generator = random.Random(0)
    intervals = {**{f"{seconds} s": float(seconds) for seconds in INTERVALS}, "auto": auto(given.save)}
    print(f"{'between kills':<14}" + "".join(f"{name:>10}" for name in intervals) + f"{'best, s':>10}")
    table: dict[str, dict[str, float]] = {}
    for hours in FAILURES:
        # Where kills come much more often than checkpoints a run hardly ends.
        row = {
            name: statistics.fmean(
                wasted(3600 * given.hours, interval, given.save, given.start, 3600 * hours, generator)
                for _ in range(given.runs)
            )
            for name, interval in intervals.items()
            if interval < 3 * 3600 * hours
        }
        table[f"{hours:g} h"] = {name: round(share, 4) for name, share in row.items()}
        best = math.sqrt(2 * given.save * 3600 * hours)
        cells = (f"{100 * row[name]:.2f}%" if name in row else "-" for name in intervals)
        print(f"{hours:g} h".ljust(14) + "".join(f"{cell:>10}" for cell in cells) + f"{best:>10.0f}")
    print(json.dumps({"benchmark": "preemption", **vars(given), "auto_s": round(auto(given.save)), "wasted": table}))


if __name__ == "__main__":
    main()
