"""What ``tunet segment`` and ``tunet demo`` show while they work, and at the end."""

import csv
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec import to_builtins
from rich.console import Console

from tunetseg.cli.console import line_console, shown
from tunetseg.datasets import Case, DatasetDescription, Postprocessing, find_scheme
from tunetseg.errors import InputError
from tunetseg.inference.predictor import Ensemble
from tunetseg.inference.save import is_complete
from tunetseg.inference.segment import segment_cases
from tunetseg.inference.segmentation import NOT_A_DEVICE, Segmentation
from tunetseg.io.files import make_folder, read_json, whole_file

__all__ = ["segment_patients"]

_LOG = logging.getLogger("tunetseg.cli")


@dataclass
class _Work:
    """What has been done so far.

    Args:
        total: Count of the cases.
        began: When the work began.
        skipped: Cases that were complete before.
        earlier: Their names.
        schemes: Names of the label schemes.
        volumes: Rows of ``volumes.csv``.
        warnings: Sentences that are shown last.
        faults: Case -> what is wrong with it.
    """

    total: int
    began: float = field(default_factory=time.monotonic)
    skipped: int = 0
    earlier: set[str] = field(default_factory=set)
    schemes: set[str] = field(default_factory=set)
    volumes: list[dict[str, str | float]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def add(self, result: Segmentation) -> None:
        """Remember a result."""
        self.schemes.add(result.scheme.name)
        self.warnings += [f"{result.case}: {finding.message}" for finding in result.warnings]
        codes = " ".join(finding.code for finding in result.warnings)
        row: dict[str, str | float] = {"case": result.case}
        self.volumes.append(row | {f"{name}_ml": ml for name, ml in result.volumes_ml.items()} | {"warnings": codes})

    def count(self) -> str:
        """Return which case this is, and the time that is left."""
        done = len(self.volumes) + len(self.faults)
        left = (time.monotonic() - self.began) / max(1, done) * (self.total - self.skipped - done)
        return f"{done + self.skipped} of {self.total}" + (f", {left:.0f} s left" if left >= 1 else "")


def segment_patients(
    cases: Sequence[Case],
    out: Path,
    model: Ensemble,
    *,
    labels: str | None = None,
    probabilities: bool = False,
    picture: bool = False,
    report: bool = False,
    skip_broken: bool = False,
    redo: bool = False,
    postprocessing: Postprocessing | None = None,
    calibrated: bool = True,
) -> bool:
    """Segment cases with a progress bar, and print what was found, where it is, and last what was warned of.

    Several cases leave a table of volumes, ``volumes.csv``, and one of broken cases, ``failed.csv``.

    Args:
        cases: What to segment.
        out: Folder of the results.
        model: As `load_model` returns it.
        labels: Dataset or year whose label values are written.
        probabilities: Write probability maps too.
        picture: Draw a picture of each case too.
        report: Write a page of each case too, and of several cases one that lists them, ``report.html``.
        skip_broken: Report a broken case and continue without it.
        redo: Segment those of several cases again whose results are complete.
        postprocessing: Rules; by default those of the model.
        calibrated: Let uncertainty follow from calibrated probabilities, where the model has a calibration.

    Returns:
        Whether anything was warned of.

    Raises:
        InputError: A case is broken; with ``skip_broken`` only if none could be segmented.
    """
    if len(cases) == 1:
        model = replace(model, keep=False)
    console = line_console()
    wanted = [kind for kind, asked in (("prob", probabilities), ("png", picture), ("html", report)) if asked]
    scheme = find_scheme(labels).name if labels else ""
    settings = {
        "postprocessing": to_builtins(postprocessing or model.dataset.postprocessing),
        "calibrated": calibrated and any(model.calibration),
    }
    waiting = [
        case for case in cases if redo or len(cases) == 1 or not is_complete(out, case, model, wanted, scheme, settings)
    ]
    earlier = {case.id for case in cases} - {case.id for case in waiting}
    work = _Work(len(cases), skipped=len(earlier), earlier=earlier)
    current: list[str] = []

    def leave_out(fault: InputError) -> None:
        work.faults.append((current[-1], str(fault)))
        _LOG.warning("left out: %s", fault)

    def begun() -> Iterator[Case]:
        for case in waiting:
            current.append(case.id)
            yield case

    with shown() as progress:
        _LOG.info(
            "%d case(s), %d model(s), %s on %s", len(cases), len(model.paths), model.engine.version, model.engine.device
        )
        if work.skipped:
            _LOG.info("%d of %d cases are complete and were skipped", work.skipped, len(cases))
        if not skip_broken:
            for case in waiting:
                case.check(model.dataset.channel_names, missing="allow")
        results = segment_cases(
            begun(),
            model,
            out=out,
            labels=labels,
            probabilities=probabilities,
            picture=picture,
            report=report,
            postprocessing=postprocessing,
            missing="allow",
            calibrated=calibrated,
            on_fault=leave_out if skip_broken else None,
            progress=progress,
        )
        try:
            for result in results:
                work.add(result)
                _print_result(console, result, work)
                del result  # or it would be held while the next case is segmented
        except InputError as fault:
            _write_tables(work, out)
            if len(cases) == 1:
                raise
            done = len(work.volumes)
            raise InputError(f"{fault} ({done} of {len(cases)} cases are done; see --skip-broken)") from None
        except KeyboardInterrupt:
            _write_tables(work, out)
            if len(cases) > 1:
                done = len(work.volumes) + work.skipped
                console.print(f"{done} of {len(cases)} cases are done in {out}; the same command does the others")
            raise
    _write_tables(work, out)
    if not work.volumes and not work.skipped:
        raise InputError(f"none of {len(cases)} cases could be segmented; the last fault: {work.faults[-1][1]}")
    if report and len(cases) > 1:
        _write_cohort(cases, out, model.dataset)
    _print_end(console, work, out, [kind for kind in wanted if kind != "prob"])
    return bool(work.warnings)


def _print_result(console: Console, result: Segmentation, work: _Work) -> None:
    counted = f", {work.count()}" if work.total > 1 else ""
    console.print(f"{result.case}: {result.summary()} ({result.seconds:.1f} s{counted})")
    for note in (*result.notes, *(finding.message for finding in result.findings if finding.level == "note")):
        console.print(f"  note: {note}")


def _print_end(console: Console, work: _Work, out: Path, pictures: Sequence[str]) -> None:
    labels = f" (labels of {', '.join(sorted(work.schemes))})" if work.schemes else ""
    shown = "".join(f", <case>.{kind}" for kind in pictures)
    console.print(
        f"Look at {out}: <case>.nii.gz{labels}, "
        f"<case>_unc_*.nii.gz (0 certain to 100 uncertain), <case>.json{shown}. "
        f"{NOT_A_DEVICE.capitalize()}."
    )
    if work.faults:
        console.print(f"{len(work.faults)} of {work.total} cases were left out; see {out / 'failed.csv'}")
    for warning in work.warnings:
        console.print(f"WARNING: {warning}", style="bold yellow")


def _write_tables(work: _Work, out: Path) -> None:
    """Write the volumes of several cases, those of earlier runs included, and the faults of the broken ones."""
    if work.total < 2:
        return
    folder = make_folder(out)
    volumes = folder / "volumes.csv"
    new = {str(row["case"]): {key: str(value) for key, value in row.items()} for row in work.volumes}
    # Manifests are the truth: several processes may have segmented the cases, each with a table of its own.
    rows = {row["case"]: row for row in _read_rows(volumes)} | _rows_of_manifests(folder, work.earlier) | new
    _write_rows(volumes, [rows[case] for case in sorted(rows)])
    failed = folder / "failed.csv"
    failed.unlink(missing_ok=True)
    _write_rows(failed, [{"case": case, "fault": fault} for case, fault in work.faults])


def _write_cohort(cases: Sequence[Case], out: Path, dataset: DatasetDescription) -> None:
    """Write the page that lists all patients of the folder."""
    from tunetseg.report.cohort import write_cohort_page
    from tunetseg.report.places import PAGE, find_manifests

    write_cohort_page(find_manifests([out]), out / PAGE, cases={case.id: case for case in cases}, dataset=dataset)


def _rows_of_manifests(folder: Path, cases: set[str]) -> dict[str, dict[str, str]]:
    """Return the rows of cases that were segmented before."""
    rows = {}
    for path in folder.glob("*.json"):
        said = read_json(path)
        if said.get("case") in cases:
            codes = " ".join(found["code"] for found in said["findings"] if found["level"] == "warning")
            volumes = {f"{name}_ml": str(ml) for name, ml in said["volume_ml"].items()}
            rows[said["case"]] = {"case": said["case"], **volumes, "warnings": codes}
    return rows


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("case")]


def _write_rows(path: Path, rows: Sequence[dict[str, str]]) -> None:
    if not rows:
        return
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
