"""Segmenting the cases of a cohort one after another."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from importlib import import_module
from pathlib import Path

from tunetseg.datasets import Case, Missing, Postprocessing
from tunetseg.errors import InputError
from tunetseg.inference.inputs import ReadCase, Settings, choose_scheme, read_case
from tunetseg.inference.predictor import Predictor
from tunetseg.inference.save import check_free, save_segmentation
from tunetseg.inference.segment import segment_read
from tunetseg.inference.segmentation import Segmentation
from tunetseg.io.files import make_folder
from tunetseg.limits import shortage
from tunetseg.preparation.record import read_record
from tunetseg.progress import Progress, silent

__all__ = ["segment_cases"]

_LOG = logging.getLogger(__name__)


def segment_cases(
    cases: Iterable[Case],
    model: Predictor,
    *,
    out: str | Path | None = None,
    probabilities: bool = False,
    picture: bool = False,
    dicom: bool = False,
    report: bool = False,
    labels: str | None = None,
    postprocessing: Postprocessing | None = None,
    missing: Missing = "raise",
    calibrated: bool = True,
    reference: str | None = None,
    grid: str | None = None,
    on_begin: Callable[[Case], None] | None = None,
    on_fault: Callable[[Case, InputError], None] | None = None,
    progress: Progress = silent,
) -> Iterator[Segmentation]:
    """Segment cases one after another.

    A case is segmented, and saved, when its result is asked for: loop over what is returned. While one case is at work,
    the images of the next are read. No result is kept here afterwards.

    Args:
        cases: What to segment. References that they may have are drawn in pictures and otherwise not read.
        model: As `load_model` returns it.
        out: Folder in which each result is saved before it is returned, created if needed; None writes nothing.
        probabilities: Save probability maps too.
        picture: Save a picture of each case too.
        dicom: Save DICOM SEG objects of cases that were read from DICOM too.
        report: Save a page of each case too.
        labels: Dataset or year whose label values are used; by default those of each case's own dataset.
        postprocessing: Rules; by default those of the model.
        missing: ``allow`` accepts a case that has at least one channel.
        calibrated: Let uncertainty follow from calibrated probabilities, where the model has a calibration.
        reference: As for `segment`.
        grid: As for `segment`.
        on_begin: Receives each case before it is segmented.
        on_fault: Receives each broken case, which is then left out, and its error, also where the fault is not the
            case's own; None raises the first. Faults of the disk are always raised.
        progress: Receives the share that is done of each case, from 0 to 1, with the name of the case as the task.

    Returns:
        One segmentation per case that is not broken.

    Raises:
        InputError: ``labels`` do not fit the model, ``out`` cannot be written to, or a case is broken.

    Examples:
        >>> cases = tunetseg.find_cases("cohort")  # doctest: +SKIP
        >>> for result in segment_cases(cases, load_model(), out="segmentations"):  # doctest: +SKIP
        ...     print(result.case, result.volumes_ml)
    """
    if labels is not None:
        choose_scheme(labels, None, model.dataset)
    folder = None if out is None else make_folder(out)
    if picture:
        import_module("tunetseg.report.figure")  # a missing package is found before the work
    if report:
        import_module("tunetseg.report.pages").check_packages()
    settings = Settings(labels, postprocessing, missing, calibrated, reference, grid)

    def segment_one(case: Case, reading: Future[ReadCase]) -> Segmentation:
        if folder is not None:
            check_free(folder, case, model.dataset)
            if dicom and not case.series and read_record(case) is None:
                raise InputError(f"{case.id}: was not read from DICOM, so no DICOM SEG object can refer to its series")
        if on_begin is not None:
            on_begin(case)
        progress(case.id, 0.0, 1.0)
        result = segment_read(reading.result(), model, settings, progress)
        if folder is not None:
            save_segmentation(result, folder, probabilities=probabilities, picture=picture, dicom=dicom, report=report)
        return result

    def leave_out(case: Case, fault: InputError) -> None:
        progress(case.id, 1.0, 1.0)
        assert on_fault is not None
        on_fault(case, fault)

    reading = _ahead(cases, lambda case: read_case(case, model.dataset, settings))
    return _each(reading, segment_one, None if on_fault is None else leave_out)


def _ahead(
    cases: Iterable[Case], read: Callable[[Case], ReadCase]
) -> Generator[tuple[Case, Future[ReadCase]], None, None]:
    """Yield cases; while one is at work, the next is read in a thread."""
    pool = ThreadPoolExecutor(1)
    try:
        before: tuple[Case, Future[ReadCase]] | None = None
        for case in cases:
            now = case, pool.submit(read, case)
            if before is not None:
                yield before
            before = now
        if before is not None:
            yield before
    finally:
        # Without waiting: the garbage collector closes what a caller leaves unfinished, in whichever thread it runs,
        # and waiting for one thread while another starts is a deadlock.
        pool.shutdown(wait=False, cancel_futures=True)


def _each(
    cases: Generator[tuple[Case, Future[ReadCase]], None, None],
    segment_one: Callable[[Case, Future[ReadCase]], Segmentation],
    on_fault: Callable[[Case, InputError], None] | None,
) -> Iterator[Segmentation]:
    with closing(cases):
        for case, reading in cases:
            try:
                result = segment_one(case, reading)
            except InputError as fault:
                if on_fault is None:
                    raise
                on_fault(case, fault)
                continue
            except OSError:  # of the disk that is written to, and so of every case
                raise
            except Exception as fault:
                if on_fault is None:
                    raise
                _LOG.debug("%s", case.id, exc_info=True)
                on_fault(case, InputError(f"{case.id}: {_unexpected(fault)}"))
                continue
            del reading  # or its images would be held while the next case is segmented
            yield result
            del result


def _unexpected(fault: Exception) -> str:
    return shortage(fault) or f"{type(fault).__name__}: {fault}; this is a bug, please report it"
