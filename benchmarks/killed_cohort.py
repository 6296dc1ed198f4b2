"""A cohort of 20 patients of whom three are broken: killed in the middle, called again, and compared.

One T2 is cut short, one is an empty file, and one holds text. The program is
killed by SIGKILL two seconds after the seventh patient was complete. The second call must skip what is complete, segment the rest,
leave out the broken ones, and give the images of a run that nobody killed.

    python benchmarks/killed_cohort.py COHORT
"""

import argparse
import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tunetseg.datasets import Case, find_cases

PATIENTS = 20


def lay(cases: list[Case], folder: Path) -> list[str]:
    """Link the cases' files into a cohort and break three; return the names of the broken."""
    for case in cases:
        (folder / case.id).mkdir(parents=True)
        for path in case.images.values():
            (folder / case.id / path.name).symlink_to(path.resolve())
    broken = [cases[number] for number in (2, 9, 15)]
    contents = [broken[0].images["t2"].read_bytes()[:-200_000], b"", b"This is a note, not an image.\n"]
    for case, content in zip(broken, contents, strict=True):
        path = folder / case.id / case.images["t2"].name
        path.unlink()
        path.write_bytes(content)
    return [case.id for case in broken]


def start(cohort: Path, out: Path) -> "subprocess.Popen[bytes]":
    """Start ``tunet segment``."""
    command = [sys.executable, "-m", "tunetseg", "segment", str(cohort), "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def complete(out: Path) -> dict[str, int]:
    """Return when each manifest was written; it is the last file of a patient."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*.json")}


def images(out: Path) -> dict[str, str]:
    """Return the hash of each label map and uncertainty map."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.nii.gz")}


def main() -> None:
    """Run the trial on the cohort that the argument names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    found = find_cases(parser.parse_args().cohort)
    with TemporaryDirectory() as temporary:
        cohort, out, other = (Path(temporary, name) for name in ("cohort", "out", "undisturbed"))
        broken = lay(found[:: len(found) // PATIENTS][:PATIENTS], cohort)
        process = start(cohort, out)
        while len(complete(out)) < 7:
            time.sleep(0.05)
        time.sleep(2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = complete(out)
        hidden = [path.name for path in out.glob(".*")]
        print(f"killed with {len(before)} complete patients and {len(hidden)} hidden leftovers", flush=True)
        again = start(cohort, out)
        text = again.communicate()[1].decode()
        after = complete(out)
        skipped = sum(after[name] == when for name, when in before.items())
        left = [path.name for path in out.glob(".*")]
        print(
            f"called again: exit code {again.returncode}, {skipped} skipped, {len(after)} complete, left over: {left}"
        )
        with (out / "failed.csv").open() as file:
            failed = list(csv.DictReader(file))
        for row in failed:
            print("failed:", *row.values())
        print(text.strip().splitlines()[-1])
        assert sorted(row["case"] for row in failed) == sorted(broken)
        start(cohort, other).communicate()
        ours, theirs = images(out), images(other)
        print(
            f"images equal to those of an undisturbed run: {sum(ours[name] == theirs[name] for name in theirs)}", end=""
        )
        print(f" of {len(theirs)}")


if __name__ == "__main__":
    main()
