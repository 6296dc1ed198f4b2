"""Print the mean and its 95 % interval of each region over groups of cases, as rows of a Markdown table.

python tools/group_table.py scores.csv dice --group "Sub-Saharan=ssa.txt" "high grade=high.txt"
"""

import argparse
import csv
from pathlib import Path

from tunetseg.metrics.statistics import summarise


def main() -> None:
    """Print a row for all cases of a table that ``tunet evaluate --out`` wrote, and one for each group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path)
    parser.add_argument("score", help="column, such as dice or lesion_dice")
    parser.add_argument("--group", nargs="*", default=[], metavar="NAME=CASES.txt")
    given = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with given.scores.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["region"], {})[row["case"]] = float(row[given.score])
    groups = {"all": set(next(iter(found.values())))}
    for group in given.group:
        name, _, path = group.rpartition("=")
        groups[name] = set(Path(path).read_text().split())
    print(f"| cases | n | {' | '.join(f'{given.score} {region}' for region in found)} |")
    print("|---" * (len(found) + 2) + "|")
    for name, cases in groups.items():
        cells = []
        for scores in found.values():
            summary = summarise([value for case, value in scores.items() if case in cases])
            low, high = summary["ci95"]
            cells.append(f"{summary['mean']:.3f} [{low:.3f}, {high:.3f}]")
        print(f"| {name} | {len(cases)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
