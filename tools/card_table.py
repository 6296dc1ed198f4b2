"""Print the table of a model card from summaries that ``tunet evaluate --out`` wrote.

python tools/card_table.py scores-brats2019.json scores-brats2020.json
"""

import json
import sys
from pathlib import Path
from typing import Any


def cell(found: dict[str, Any], digits: int) -> str:
    """Return the mean, its 95 % interval, and the number of cases."""
    if found["n"] < 2:
        return f"{found['mean']:.{digits}f}, n {found['n']}"
    low, high = found["ci95"]
    return f"{found['mean']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f}), n {found['n']}"


def main(*files: str) -> None:
    """Print mean, 95 % interval and number of cases of each region under each set of rules as Markdown."""
    print("| rules | region | Dice | HD95, mm |\n|---|---|---|---|")
    for file in files:
        summary = json.loads(Path(file).read_text())
        for region, found in summary["regions"].items():
            print(f"| `{summary['rules']['name']}` | {region} | {cell(found['dice'], 3)} | {cell(found['hd95'], 1)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
