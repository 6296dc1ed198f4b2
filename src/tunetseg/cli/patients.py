"""What ``tunet segment`` and ``tunet demo`` show while they work, and at the end."""

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from msgspec import to_builtins
from rich.console import Console

from tunetseg.cli.console import duration, line_console, shown
from tunetseg.cli.ledger import Ledger, has_ledger
from tunetseg.datasets import Case, DatasetDescription, Postprocessing
from tunetseg.errors import InputError
from tunetseg.findings import Finding
from tunetseg.inference.cohort import segment_cases
from tunetseg.inference.inputs import choose_scheme
from tunetseg.inference.manifest import read_manifest
from tunetseg.inference.predictor import Ensemble
from tunetseg.inference.save import is_complete
from tunetseg.inference.segmentation import NOT_A_DEVICE, Segmentation
from tunetseg.io.files import make_folder
from tunetseg.io.scratch import locked
from tunetseg.progress import Progress

__all__ = ["Outcome", "Wanted", "segment_patients"]

_LOG = logging.getLogger("tunetseg.cli")


@dataclass(frozen=True)
class Wanted:
    """What is asked for of every case.

    Args:
        labels: Dataset or year whose label values are written.
        probabilities: Write probability maps too.
        picture: Draw a picture of each case too.
        report: Write a page of each case too, and of several cases one that lists them, ``report.html``.
        dicom: Write DICOM SEG objects too.
        redo: Segment those of several cases again whose results are complete.
        postprocessing: Rules; by default those of the model.
        calibrated: Let uncertainty follow from calibrated probabilities, where the model has a calibration.
        reference: Channel on whose grid cases are segmented.
        grid: Channel on whose grid results are written.
        part: Name of the part of a run in several processes, which write to one folder; empty for all.
    """

    labels: str | None = None
    probabilities: bool = False
    picture: bool = False
    report: bool = False
    dicom: bool = False
    redo: bool = False
    postprocessing: Postprocessing | None = None
    calibrated: bool = True
    reference: str | None = None
    grid: str | None = None
    part: str = ""

    @property
    def kinds(self) -> list[str]:
        """What is written besides the label map, the uncertainty and the manifest, as `is_complete` calls it."""
        asked = {"prob": self.probabilities, "png": self.picture, "html": self.report, "dcm": self.dicom}
        return [kind for kind, wanted in asked.items() if wanted]

    def is_done(self, case: Case, out: Path, model: Ensemble) -> bool:
        """Return whether the whole result of a case, made in the same way, is there."""
        settings = {
            "postprocessing": to_builtins(self.postprocessing or model.dataset.postprocessing),
            "calibrated": self.calibrated and any(model.calibration),
        }
        settings |= {"reference": self.reference, "grid": self.grid}
        scheme = choose_scheme(self.labels, case.dataset, model.dataset).name
        return is_complete(out, case, model, scheme, self.kinds, settings)


@dataclass(frozen=True)
class Outcome:
    """How it went.

    Args:
        warned: Whether anything was warned of.
        left_out: Count of cases that could not be segmented.
    """

    warned: bool
    left_out: int


@dataclass
class _Work:
    """What has been done so far.

    Args:
        total: Count of the cases.
        began: When the work began.
        skipped: Cases that were complete before.
        done: Cases that have been segmented.
        labels: Label values and what they mean, as one sentence says it.
        warnings: Sentences that are shown last.
        faults: Sentences on the cases that were left out.
    """

    total: int
    began: float = field(default_factory=time.monotonic)
    skipped: int = 0
    done: int = 0
    labels: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, result: Segmentation) -> None:
        """Remember a result."""
        self.done += 1
        values = result.scheme.values
        self.labels.add(", ".join(f"{value} {values[value]}" for value in sorted(result.scheme.exclusive_labels)))
        self.warnings += [f"{result.case}: {finding.message}" for finding in result.warnings]

    def count(self) -> str:
        """Return which case this is, and the time that is left."""
        tried = self.done + len(self.faults)
        left = (time.monotonic() - self.began) / max(1, tried) * (self.total - self.skipped - tried)
        return f"{tried + self.skipped} of {self.total}" + (f", {duration(left)} left" if left >= 1 else "")


def segment_patients(cases: Sequence[Case], out: Path, model: Ensemble, wanted: Wanted = Wanted()) -> Outcome:
    """Segment cases with a progress bar, and print what was found, where it is, and last what was warned of.

    A broken case among several is left out. Several cases leave a table of volumes, ``volumes.csv``, and one of broken
    cases, ``failed.csv``, which are up to date after every case. One process at a time writes to a folder, or one per
    part.

    Args:
        cases: What to segment.
        out: Folder of the results.
        model: As `load_model` returns it.
        wanted: What is asked for.

    Raises:
        InputError: The only case is broken, or all of several are; or another process writes to the folder.
    """
    if len(cases) == 1:
        model = model.for_one_patient()
    console = line_console()
    alone = len(cases) == 1
    with shown() as progress:
        counts = _plural(len(cases), "case"), _plural(len(model.paths), "model")
        _LOG.info("%s, %s, %s on %s", *counts, model.engine.version, model.engine.device)
        if alone:
            cases[0].check(model.dataset.channel_names, missing="allow")
        folder = make_folder(out)
        with locked(folder, wanted.part):
            own = [case.id for case in cases] if wanted.part or alone else None
            ledger = Ledger(folder, own) if not alone or has_ledger(folder) else None
            waiting = [case for case in cases if alone or wanted.redo or not wanted.is_done(case, folder, model)]
            work = _Work(len(cases), skipped=len(cases) - len(waiting))
            if not alone and ledger is not None and work.skipped:
                _LOG.info("%d of %d cases are complete and were skipped", work.skipped, len(cases))
                ledger.add_saved([case for case in cases if case not in waiting], model.dataset)
            try:
                for result in _results(waiting, model, folder, wanted, work, ledger, console, progress):
                    work.add(result)
                    if ledger is not None:
                        ledger.add(result)
                    _print_result(console, result, work)
                    del result  # or it would be held while the next case is segmented
            except KeyboardInterrupt:
                if not alone:
                    _print_interrupted(console, work, folder)
                raise
    if not work.done and not work.skipped:
        raise InputError(f"none of {len(cases)} cases could be segmented; the last fault: {work.faults[-1]}")
    if wanted.report and not alone and not wanted.part:  # parts are followed by a run over all cases
        assert ledger is not None
        _write_cohort(cases, folder, model.dataset, {row["case"] for row in ledger.faults})
    _print_end(console, work, folder, wanted.kinds)
    return Outcome(bool(work.warnings), len(work.faults))


def _results(
    cases: Sequence[Case],
    model: Ensemble,
    out: Path,
    wanted: Wanted,
    work: _Work,
    ledger: Ledger | None,
    console: Console,
    progress: Progress,
) -> Iterator[Segmentation]:
    """Segment cases one by one; broken ones of several are told and left out."""

    def leave_out(case: Case, fault: InputError) -> None:
        assert ledger is not None
        work.faults.append(f"{case.id}: {str(fault).removeprefix(f'{case.id}: ')}")
        _LOG.warning("left out (%s): %s", work.count(), fault)
        ledger.add_fault(case.id, str(fault))

    return segment_cases(
        cases,
        model,
        out=out,
        labels=wanted.labels,
        probabilities=wanted.probabilities,
        picture=wanted.picture,
        report=wanted.report,
        dicom=wanted.dicom,
        postprocessing=wanted.postprocessing,
        missing="allow",
        calibrated=wanted.calibrated,
        reference=wanted.reference,
        grid=wanted.grid,
        on_begin=partial(_print_series, console),
        on_fault=None if work.total == 1 else leave_out,
        progress=progress,
    )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _print_series(console: Console, case: Case) -> None:
    """Say which series of DICOM was taken for which channel, before the work."""
    if not case.series:
        return
    console.print(f"{case.id}: DICOM")
    for channel, one in case.series.items():
        console.print(f"  {channel:<6} {one.name} ({'; '.join(one.guess.reasons) or 'as given'})")
    if case.unused:
        console.print(f"  not used: {', '.join(case.unused)}")


def _print_result(console: Console, result: Segmentation, work: _Work) -> None:
    counted = f", {work.count()}" if work.total > 1 else ""
    console.print(f"{result.case}: {result.summary()} ({result.seconds:.1f} s{counted})")
    for note in (*result.notes, *(finding.message for finding in result.findings if _is_news(finding))):
        console.print(f"  note: {note}")


def _is_news(finding: Finding) -> bool:
    """Return whether a note has not been printed before the work."""
    return finding.level == "note" and finding.code != "sequence"


def _print_interrupted(console: Console, work: _Work, out: Path) -> None:
    done = f"{work.done + work.skipped} of {work.total} cases are done in {out}"
    left_out = f", {len(work.faults)} were left out" if work.faults else ""
    console.print(f"{done}{left_out}; the same command does the others")


def _write_cohort(cases: Sequence[Case], out: Path, dataset: DatasetDescription, failed: Collection[str]) -> None:
    """Write the page that lists all patients of the folder but those whose results are of an earlier run."""
    from tunetseg.report.cohort import write_cohort_page
    from tunetseg.report.places import PAGE, find_manifests

    manifests = [path for path in find_manifests([out]) if read_manifest(path).get("case") not in failed]
    write_cohort_page(manifests, out / PAGE, cases={case.id: case for case in cases}, dataset=dataset)


def _print_end(console: Console, work: _Work, out: Path, kinds: Sequence[str]) -> None:
    shown = "".join(f", <case>.{kind}" for kind in ("png", "html") if kind in kinds)
    shown += ", <case>_seg.dcm" if "dcm" in kinds else ""
    labels = f" ({'; or '.join(sorted(work.labels))})" if work.labels else ""
    console.print(
        f"Look at {out}: <case>.nii.gz{labels}, "
        f"<case>_unc_*.nii.gz (0 certain to 100 uncertain), <case>.json{shown}. "
        f"{NOT_A_DEVICE.capitalize()}."
    )
    for warning in work.warnings:
        console.print(f"WARNING: {warning}", style="bold yellow")
    if work.faults:
        done = work.done + work.skipped
        console.print(
            f"{done} of {work.total} cases are done, {len(work.faults)} were left out; see {out / 'failed.csv'}",
            style="bold yellow",
        )
        for fault in work.faults:
            console.print(f"LEFT OUT: {fault}", style="bold yellow")
