"""One upload is one job: recognised, then segmented, by one worker that does one thing at a time."""

import logging
import secrets
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunetseg.checks import Inspection, inspect_case, refusals
from tunetseg.datasets import Case, check_case_name, find_patients, nifti_stem
from tunetseg.errors import InputError
from tunetseg.inference.predictor import Ensemble
from tunetseg.inference.save import save_segmentation
from tunetseg.inference.segment import segment
from tunetseg.limits import LIMITS, shortage
from tunetseg.serve.uploads import Budget, TooMuchError, Uploads

__all__ = ["Job", "Jobs", "NoJobError", "Result", "WrongStateError"]

_LOG = logging.getLogger(__name__)

State = Literal["uploading", "waiting", "recognising", "recognised", "segmenting", "done", "failed", "cancelled"]

_ENDED = ("done", "failed", "cancelled")

_PREDICTION = 0.6
"""Share of the work on a case that is done when its probabilities are there; the rest is writing."""


class NoJobError(InputError):
    """There is no such upload."""


class WrongStateError(InputError):
    """Something is asked of a job that it cannot do now."""


class _CancelledError(Exception):
    """The job was cancelled; raised where it reports progress."""


@dataclass(frozen=True)
class Result:
    """The result of one case.

    Args:
        case: Its name.
        volumes: Title of each region -> ml.
        warnings: Sentences.
        page: The patient's page.
    """

    case: str
    volumes: dict[str, float]
    warnings: tuple[str, ...]
    page: Path

    def to_dict(self) -> dict[str, Any]:
        """Return the result ready for JSON, without the page."""
        return {"case": self.case, "volumes_ml": self.volumes, "warnings": list(self.warnings)}


@dataclass(eq=False)
class Job:
    """One upload and what becomes of it.

    Args:
        id: Cannot be guessed.
        folder: Of its own; holds the uploaded files and the results.
        uploads: The uploaded files.

    Attributes:
        state: What is done with it.
        task: What is being done, in words.
        share: Of the work that is done, 0 to 1.
        cases: The cases that were recognised.
        found: What the checks say of each.
        results: What was segmented.
        faults: Sentences on cases that could not be segmented, or why all failed.
        cancelled: Set to end it.
        taken: Bytes of the results.
    """

    id: str
    folder: Path
    uploads: Uploads
    state: State = "uploading"
    task: str = ""
    share: float = 0.0
    without: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    found: tuple[Inspection, ...] = ()
    results: tuple[Result, ...] = ()
    faults: tuple[str, ...] = ()
    cancelled: threading.Event = field(default_factory=threading.Event)
    taken: int = 0

    @property
    def out(self) -> Path:
        """Folder of the results."""
        return self.folder / "results"

    def told(self, task: str, done: float, total: float) -> None:
        """Note how far the work is.

        Raises:
            _CancelledError: The job is to end.
        """
        if self.cancelled.is_set():
            raise _CancelledError
        self.task, self.share = task, done / total if total else 0.0

    def plain(self, text: str) -> str:
        """Return a sentence without the folder of the job, which says nothing to its reader."""
        return text.replace(f"{self.uploads.folder}/", "").replace(str(self.uploads.folder), "the upload")

    def to_dict(self, position: int) -> dict[str, Any]:
        """Return the job ready for JSON.

        Args:
            position: Jobs that the worker does before.
        """
        return {
            "id": self.id,
            "state": self.state,
            "task": self.task,
            "share": round(self.share, 3),
            "position": position,
            "files": self.uploads.files,
            "bytes": self.uploads.size,
            "left_out": self.uploads.left_out,
            "without": list(self.without),
            "cases": [self._case(one) for one in self.found],
            "results": [result.to_dict() for result in self.results],
            "faults": list(self.faults),
        }

    def _case(self, one: Inspection) -> dict[str, Any]:
        said = one.to_dict()
        said["channels"] = {name: self.plain(source) for name, source in one.channels.items()}
        said["findings"] = [finding | {"message": self.plain(finding["message"])} for finding in said["findings"]]
        return said | {"refused": bool(refusals(one.findings))}


class Jobs:
    """All jobs of a server, and the worker that does them one after another.

    Args:
        folder: Exists, and can be entered by its owner only.
        model: Segments; its networks stay in memory from job to job.
        budget: Bytes that all jobs together take.
    """

    def __init__(self, folder: Path, model: Ensemble, budget: Budget | None = None) -> None:
        self.folder = folder
        self.model = model
        self.budget = budget or Budget()
        self._jobs: dict[str, Job] = {}
        self._queue: list[tuple[Job, Callable[[], None]]] = []
        self._current: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="tunet-serve", daemon=True)
        self._worker.start()

    def create(self) -> Job:
        """Return a new job without files.

        Raises:
            TooMuchError: There are too many already.
        """
        with self._changed:
            if len(self._jobs) >= LIMITS.jobs:
                raise TooMuchError(f"the server holds {len(self._jobs)} uploads already; remove one first")
            name = secrets.token_urlsafe(12)
            place = self.folder / name
            (place / "patient").mkdir(parents=True, mode=0o700)
            self._jobs[name] = Job(name, place, Uploads(place / "patient", self.budget))
            return self._jobs[name]

    def get(self, name: str) -> Job:
        """Return a job.

        Raises:
            NoJobError: There is none of this name.
        """
        try:
            return self._jobs[name]
        except KeyError:
            raise NoJobError("there is no such upload; it may have been removed") from None

    def describe(self) -> list[dict[str, Any]]:
        """Return all jobs ready for JSON, the newest first."""
        with self._changed:
            waiting = [job for job, _ in self._queue]
            running = self._current is not None
            return [
                job.to_dict(waiting.index(job) + running if job in waiting else 0)
                for job in reversed(self._jobs.values())
            ]

    def recognise(self, name: str, without: Sequence[str] = ()) -> None:
        """Queue the recognition of the files of a job.

        Args:
            name: Of the job.
            without: Channels that are left out.

        Raises:
            InputError: There is no such job or channel.
            WrongStateError: The job is busy or has ended.
        """
        channels = self.model.dataset.channel_names
        unknown = next((channel for channel in without if channel not in channels), None)
        if unknown is not None:
            raise InputError(f"unknown channel {unknown!r}; choose from {', '.join(channels)}")
        job = self.get(name)
        if job.uploads.arriving:
            raise WrongStateError("files of this upload are still arriving; wait until they are there")
        self._enqueue(job, ("uploading", "recognised"), lambda: self._recognise(job, tuple(without)))

    def start(self, name: str) -> None:
        """Queue the segmentation of the cases of a job.

        Raises:
            NoJobError: There is no such job.
            WrongStateError: Its files have not been recognised, or none of its cases can be segmented.
        """
        job = self.get(name)
        if job.state == "recognised" and all(refusals(one.findings) for one in job.found):
            raise WrongStateError("no case of this upload can be segmented; its findings say why")
        self._enqueue(job, ("recognised",), lambda: self._segment(job))

    def cancel(self, name: str) -> None:
        """End a job; its files are removed as soon as the step that is running ends.

        Raises:
            NoJobError: There is no such job.
        """
        job = self.get(name)
        with self._changed:
            if job.state in _ENDED:
                return
            job.cancelled.set()
            job.state = "cancelled"
            self._queue = [(other, step) for other, step in self._queue if other is not job]
            if self._current is not job:
                self._remove_files(job)

    def remove(self, name: str) -> None:
        """Forget a job and remove its files.

        Raises:
            NoJobError: There is no such job.
        """
        self.cancel(name)
        with self._changed:
            job = self._jobs.pop(name, None)
            if job is not None and self._current is not job:  # else the worker does it
                self._remove_files(job)

    def close(self, seconds: float = 30.0) -> None:
        """End all jobs and the worker.

        Args:
            seconds: How long to wait for the step that is running.
        """
        for name in list(self._jobs):
            self.remove(name)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._worker.join(seconds)

    def _enqueue(self, job: Job, states: Sequence[State], step: Callable[[], None]) -> None:
        with self._changed:
            if job.state not in states:
                raise WrongStateError(f"this upload is {job.state}, so this cannot be done with it now")
            job.state, job.task, job.share = "waiting", "waiting", 0.0
            self._queue.append((job, step))
            self._changed.notify_all()

    def _enter(self, job: Job, state: State) -> None:
        """Set the state of a job, unless it was cancelled meanwhile."""
        with self._changed:
            if job.cancelled.is_set():
                raise _CancelledError
            job.state = state

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
                job, step = self._queue.pop(0)
                self._current = job
            try:
                step()
            except _CancelledError:
                pass
            except Exception as fault:
                self._fail(job, fault)
            with self._changed:
                self._current = None
                if job.state in _ENDED:
                    self._remove_files(job)

    def _fail(self, job: Job, fault: Exception) -> None:
        with self._changed:
            if job.cancelled.is_set():
                return
            if not isinstance(fault, InputError | OSError):
                _LOG.warning("an upload could not be worked on", exc_info=fault)
            job.faults = (*job.faults, job.plain(_sentence(fault)))
            job.state = "failed"

    def _remove_files(self, job: Job) -> None:
        """Remove the uploaded files, which an ended job no longer needs, and the results of all but a finished one."""
        job.uploads.remove()
        if job.state != "done" or job.id not in self._jobs:
            shutil.rmtree(job.folder, ignore_errors=True)
            self.budget.give_back(job.taken)
            job.taken = 0

    def _recognise(self, job: Job, without: tuple[str, ...]) -> None:
        self._enter(job, "recognising")
        job.uploads.unpack(lambda done, total: job.told("unpacking", done, total))
        if not job.uploads.files:
            raise InputError("there is no image among the files; NIfTI, MGH and DICOM are read")
        dataset = self.model.dataset
        cases = find_patients(job.uploads.place, dataset, without=without, progress=job.told)
        found = []
        for number, case in enumerate(cases):
            job.told(f"checking {case.id}", number, len(cases))
            found.append(inspect_case(case, dataset))
        job.cases, job.found, job.without = tuple(cases), tuple(found), without
        self._enter(job, "recognised")

    def _segment(self, job: Job) -> None:
        self._enter(job, "segmenting")
        usable = [case for case, one in zip(job.cases, job.found, strict=True) if not refusals(one.findings)]
        for number, case in enumerate(usable):
            try:
                result = self._segment_case(job, case, number, len(usable))
            except (_CancelledError, OSError):
                raise
            except Exception as fault:  # such as too little memory for this one
                shutil.rmtree(job.out / case.id, ignore_errors=True)
                job.faults = (*job.faults, job.plain(_sentence(fault)))
                continue
            job.results = (*job.results, result)
        if not job.results:
            raise InputError("none of the cases could be segmented")
        self._enter(job, "done")

    def _segment_case(self, job: Job, case: Case, number: int, count: int) -> Result:
        """Segment and save one case, in a folder of its own."""
        check_case_name(case.id)
        place = job.out / case.id

        def told(_: str, done: float, total: float, /) -> None:
            job.told(f"segmenting {case.id}", number + _PREDICTION * done / total, count)

        result = segment(case, model=self.model, missing="allow", progress=told)
        job.told(f"writing {case.id}", number + _PREDICTION, count)
        labels = save_segmentation(result, place, probabilities=True, report=True)
        size = sum(file.stat().st_size for file in place.iterdir())
        try:
            self.budget.take(size, case.id)
        except TooMuchError:
            shutil.rmtree(place)
            raise
        job.taken += size
        titles = {region.name: region.title or region.name for region in result.dataset.regions}
        volumes = {titles[name]: volume for name, volume in result.volumes_ml.items()}
        warnings = tuple(job.plain(finding.message) for finding in result.warnings)
        return Result(case.id, volumes, warnings, labels.with_name(f"{nifti_stem(labels)}.html"))


def _sentence(fault: Exception) -> str:
    """Return what went wrong as one sentence."""
    if isinstance(fault, InputError):
        return str(fault)
    if isinstance(fault, OSError):
        return f"{fault.filename or 'reading or writing'}: {fault.strerror or fault}; check the disk"
    return shortage(fault) or f"{type(fault).__name__}: {fault}; this is a bug, please report it"
