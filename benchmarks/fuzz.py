"""Damaged inputs of every kind: each must be refused with one sentence, or used rightly, in little time and memory.

The inputs are small, the network is tiny, and everything runs in this process. A case fails if anything but an
`InputError` is raised, if it takes more than 10 s of the processor or 60 s of waiting, if the process takes more than
2 GB, if the geometry of a result is not that of its image, or if the command line shows more than one line of error, a
control character or a traceback. Every case can be repeated by its kind and number.

    python benchmarks/fuzz.py --cases 10000
    python benchmarks/fuzz.py --kind models --only 17
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

os.environ["TUNETSEG_MEMORY_GB"] = "1.2"  # what is left of 2 GB when this script and the libraries are loaded

from fuzz_use import KINDS, Kind, WrongError
from fuzz_valid import prepare

from tunetseg.cli.main import main as tunet
from tunetseg.errors import InputError
from tunetseg.limits import shortage

PROCESSOR_S, WAITING_S, MEMORY_BYTES = 10.0, 60.0, 2e9


class TooLongError(BaseException):
    """A case takes more time than it should."""


@dataclass
class Result:
    """What became of the cases of one kind."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    most_bytes: float = 0.0
    failures: list[dict[str, object]] = field(default_factory=list)


class Work:
    """A folder with copies of the valid inputs, which is restored after each case."""

    def __init__(self, root: Path) -> None:
        self.valid, self.folder = root / "valid", root / "work"
        self.valid.mkdir()
        prepare(self.valid)
        shutil.copytree(self.valid, self.folder)
        self.places = [path.relative_to(self.valid) for path in self.valid.rglob("*")]
        self.marks = {place: self._mark(place) for place in self.places}

    def _mark(self, place: Path) -> tuple[int, int] | None:
        try:
            found = (self.folder / place).lstat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size) if not (self.folder / place).is_dir() else (0, 0)

    def begin(self, name: str) -> Path:
        """Name the folder after a case, which then depends on nothing else."""
        self.folder = self.folder.rename(self.folder.with_name(name))
        return self.folder

    def mend(self) -> None:
        """Remove what is new, and copy again what was changed."""
        known = {*self.places}
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.relative_to(self.folder) not in known:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for place in self.places:
            if self._mark(place) != self.marks[place]:
                (self.folder / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.valid / place, self.folder / place)
                self.marks[place] = self._mark(place)


def peak_bytes(*, begin: bool = False) -> float:
    """Most memory of this process since the last call with ``begin``; 0 where the system does not tell."""
    try:
        if begin:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@contextlib.contextmanager
def limited_time() -> Iterator[None]:
    """Raise TooLongError where the block takes too long."""

    def stop(*_: object) -> None:
        raise TooLongError

    for kind in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(kind, stop)
    signal.setitimer(signal.ITIMER_REAL, WAITING_S, 5)  # again, where what is left waits too
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)


def call(kind: Kind, folder: Path, given: dict[str, Path]) -> str:
    """Use an input by the library; return what became of it."""
    try:
        kind.use(folder, given)
    except InputError as fault:
        if "\n" in str(fault) or len(str(fault)) > 2000:
            raise WrongError(f"not one sentence: {str(fault)[:200]!r}") from None
        return "refused"
    except (MemoryError, RuntimeError) as fault:
        if shortage(fault) is None:
            raise
        return "refused"
    return "used"


def command(kind: Kind, folder: Path, given: dict[str, Path]) -> str:
    """Use an input by the command line; return what became of it."""
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        code = tunet(kind.words(folder, given))
    text = errors.getvalue()
    shown = [line for line in text.splitlines() if line.startswith("error:")]
    unsafe = next((letter for letter in said.getvalue() + text if not (letter.isprintable() or letter in "\n\t")), None)
    if unsafe is not None:
        raise WrongError(f"the control character {unsafe!r} was shown")
    if code not in {0, 2, 3} or len(shown) > 1 or (code == 2 and "Traceback" in text):
        raise WrongError(f"exit code {code}: {text[-600:]}")
    return "refused" if code == 2 else "used"


def run_case(kind: Kind, number: int, seed: int, work: Work, commands: float, result: Result) -> None:
    """Make one damaged input, use it, and note what became of it."""
    folder = work.begin(f"{KINDS.index(kind)}-{number}")
    rng = random.Random(f"{seed} {kind.name} {number}")
    by_command = rng.random() < commands
    given = kind.damage(folder, rng)
    peak_bytes(begin=True)
    began, outcome, fault = time.process_time(), "", ""
    try:
        with limited_time(), warnings.catch_warnings():
            warnings.filterwarnings("error", category=RuntimeWarning, module="tunetseg")
            outcome = (command if by_command else call)(kind, folder, given)
    except TooLongError:
        outcome, fault = "too long", "".join(traceback.format_exc())[-1500:]
    except WrongError as error:
        outcome, fault = "wrong", str(error)
    except Exception as error:
        outcome, fault = "crash", "".join(traceback.format_exception(error))[-1500:]
    most = peak_bytes()
    if most > MEMORY_BYTES and outcome in {"used", "refused"}:
        outcome, fault = "memory", f"{most / 1e9:.2f} GB"
    result.tried += 1
    result.outcomes[outcome] += 1
    result.slowest = max(result.slowest, time.process_time() - began)
    result.most_bytes = max(result.most_bytes, most)
    if fault:
        result.failures.append(
            {"kind": kind.name, "number": number, "command": by_command, "what": outcome, "fault": fault}
        )
    work.mend()


def report(results: dict[str, Result]) -> str:
    """Return a table of what became of the cases."""
    heads = ("used", "refused", "crash", "too long", "memory", "wrong")
    lines = ["| input | tried | " + " | ".join(heads) + " | slowest, s | most memory, GB |", "|---" * 10 + "|"]
    for name, one in results.items():
        counts = " | ".join(str(one.outcomes[head]) for head in heads)
        lines.append(f"| {name} | {one.tried} | {counts} | {one.slowest:.1f} | {one.most_bytes / 1e9:.2f} |")
    return "\n".join(lines)


def fuzz(
    cases: int, *, seed: int = 0, commands: float = 0.02, kind: str = "", only: int | None = None
) -> dict[str, Result]:
    """Run damaged inputs of every kind.

    Args:
        cases: How many in all.
        seed: Another seed damages otherwise.
        commands: Share of the cases that go through the command line.
        kind: Only the kind whose name begins so.
        only: Only the case of this number.
    """
    chosen = [one for one in KINDS if one.name.startswith(kind)]
    whole = sum(one.share for one in chosen)
    results = {one.name: Result() for one in chosen}
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder).resolve())
        for one in chosen:
            numbers = range(max(1, cases * one.share // whole)) if only is None else [only]
            for number in numbers:
                before = len(results[one.name].failures)
                run_case(one, number, seed, work, commands, results[one.name])
                for failure in results[one.name].failures[before:]:
                    print(json.dumps(failure), file=sys.stderr, flush=True)
            print(f"{one.name}: {results[one.name].tried} done", file=sys.stderr, flush=True)
    return results


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", type=float, default=0.02, help="share of the cases through the command line")
    parser.add_argument("--kind", default="", help="only the kind whose name begins so")
    parser.add_argument("--only", type=int, help="only the case of this number")
    given = parser.parse_args()
    results = fuzz(given.cases, seed=given.seed, commands=given.commands, kind=given.kind, only=given.only)
    print(report(results))
    return int(any(one.failures for one in results.values()))


if __name__ == "__main__":
    raise SystemExit(main())
