"""What a report is asked of: results of patients, a folder of them, or runs; and where its page goes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunetseg.datasets import Case, DatasetDescription, find_cases, nifti_stem
from tunetseg.errors import InputError
from tunetseg.evaluation.pairing import list_label_files
from tunetseg.inference.manifest import read_manifest
from tunetseg.inference.save import is_made_from
from tunetseg.progress import Progress, silent
from tunetseg.report.cohort import write_cohort_page
from tunetseg.report.pages import check_page
from tunetseg.report.patient import write_patient_page
from tunetseg.report.training import is_run, write_training_page
from tunetseg.report.view import PatientView, dataset_of, is_manifest, read_view

__all__ = ["PAGE", "find_manifests", "read_views", "write_reports"]

_LOG = logging.getLogger(__name__)

_NO_IMAGES = "The images are not part of this report"
"""What the page of a patient says where there are none."""

PAGE = "report.html"
"""Name of the page of a cohort or of runs."""


@dataclass(frozen=True)
class _Sources:
    """Where images and references of patients lie.

    Args:
        images: Folder of images, if any.
        references: Folder or file of references, if any.
        dataset: Dataset of the model, if it is given.
    """

    images: Path | None
    references: Path | None
    dataset: DatasetDescription | None

    def cases(self, dataset: DatasetDescription) -> dict[str, Case]:
        """Return the cases that have images."""
        return {} if self.images is None else {case.id: case for case in find_cases(self.images, also=dataset)}

    def reference_files(self) -> dict[str, Path]:
        """Return the references by case."""
        if self.references is None:
            return {}
        return {case: file.path for case, file in list_label_files(self.references).items()}


def write_reports(
    results: Sequence[Path],
    *,
    images: Path | None = None,
    references: Path | None = None,
    dataset: DatasetDescription | None = None,
    scores: Path | None = None,
    each: bool = False,
    out: Path | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Write the page of one saved result, of a cohort of them, or of runs.

    Args:
        results: Label maps or manifests of patients, or folders of them; or run folders of trainings.
        images: Folder of the patients' images; their references are shown too.
        references: Folder of reference segmentations, if they lie elsewhere.
        dataset: Dataset of the model, if it is not a packaged one.
        scores: Table of scores for the page of a cohort.
        each: Write the page of each patient of a cohort too, next to its label map.
        out: The page, if there is one; by default ``<case>.html`` or ``report.html`` next to the label maps, and
            ``report.html`` in the run folder, or in the folder above several.
        progress: Called after each patient.

    Returns:
        The pages.

    Raises:
        InputError: There is no result, or a file is damaged or does not fit.
    """
    runs = [place for place in results if is_run(place)]
    if runs:
        return [_write_runs(results, runs, out)]
    manifests = find_manifests(results)
    found = _with_sources(manifests, _Sources(images, references, dataset))
    alone = len(manifests) == 1
    if images is None and (alone or each):
        _LOG.warning("no images are given, so pages show label maps alone; name the folder of the images (--images)")
    cohort = None if alone else check_page(out or manifests[0].with_name(PAGE))
    written = []
    if alone or each:
        for number, (manifest, case, reference) in enumerate(found):
            view = read_view(manifest, case=case, reference=reference, dataset=dataset)
            target = out if alone and out is not None else manifest.with_suffix(".html")
            if case is None:
                _keep_images(target)
            written.append(write_patient_page(view, target))
            progress("writing pages", number + 1, len(found))
    if cohort is not None:
        cases = {str(read_manifest(manifest)["case"]): case for manifest, case, _ in found if case is not None}
        page = write_cohort_page(manifests, cohort, cases=cases, dataset=dataset, scores=scores, progress=progress)
        written.insert(0, page)
    return written


def _keep_images(page: Path) -> None:
    """Raise InputError where a page that shows images would be replaced by one without."""
    check_page(page)
    if page.is_file() and _NO_IMAGES not in page.read_text(encoding="utf-8", errors="replace"):
        raise InputError(
            f"{page}: shows the images, which a page made without them would not; give --images, or another --out"
        )


def read_views(results: Sequence[Path], *, images: Path) -> list[PatientView]:
    """Return what is shown of saved results.

    Args:
        results: Label maps or manifests of patients, or folders of them.
        images: Folder of the patients' images.

    Raises:
        InputError: As from `write_reports`.
    """
    found = _with_sources(find_manifests(results), _Sources(images, None, None))
    return [read_view(manifest, case=case) for manifest, case, _ in found]


def _write_runs(results: Sequence[Path], runs: Sequence[Path], out: Path | None) -> Path:
    other = next((place for place in results if place not in runs), None)
    if other is not None:
        raise InputError(
            f"{other}: is not a run folder, but others are; ask for the reports of trainings and patients apart"
        )
    folder = runs[0] if len(runs) == 1 else runs[0].resolve().parent
    return write_training_page(runs, out or folder / PAGE)


def find_manifests(results: Sequence[Path]) -> list[Path]:
    """Return the manifests of results.

    Args:
        results: Label maps, manifests, or folders of them.

    Raises:
        InputError: There is none.
    """
    found: dict[Path, None] = {}
    for place in results:
        if place.is_dir():
            here = sorted(path for path in place.glob("*.json") if is_manifest(path))
            if not here:
                raise InputError(f"{place}: holds no result of tunet segment; name a folder that it has written")
        else:
            here = [_manifest_of(place)]
        found |= dict.fromkeys(here)
    return list(found)


def _manifest_of(path: Path) -> Path:
    stem = nifti_stem(path)
    manifest = path if stem is None else path.with_name(f"{stem}.json")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file or folder")
    if not is_manifest(manifest):
        raise InputError(f"{path}: is not a result of tunet segment, which leaves a .json file next to the label map")
    return manifest


def _with_sources(manifests: Sequence[Path], sources: _Sources) -> list[tuple[Path, Case | None, Path | None]]:
    """Return each manifest with the images and the reference of its case."""
    described = dataset_of(read_manifest(manifests[0]), manifests[0], sources.dataset)
    cases, references = sources.cases(described), sources.reference_files()
    found = []
    for manifest in manifests:
        said = read_manifest(manifest)
        name = str(said["case"])
        if sources.images is not None and name not in cases:
            same = [case for case in cases.values() if is_made_from(said, case, described)]
            if len(same) != 1:
                raise InputError(f"{sources.images}: has no images of {name}; name the folder that was segmented")
            name = same[0].id
        found.append((manifest, cases.get(name), references.get(name)))
    return found
