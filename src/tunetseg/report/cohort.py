"""The page of a cohort: a table of its patients with thumbnails, and distributions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tunetseg.datasets import Case, DatasetDescription
from tunetseg.errors import InputError
from tunetseg.evaluation.comparison import read_scores
from tunetseg.inference.manifest import read_manifest
from tunetseg.metrics import SCORES
from tunetseg.progress import Progress, silent
from tunetseg.report.pages import check_page, write_page
from tunetseg.report.palette import region_colours
from tunetseg.report.slices import BACKGROUND_CHANNEL, Picture, thumbnail
from tunetseg.report.strips import make_strips
from tunetseg.report.view import dataset_of, read_view

__all__ = ["CohortRow", "cohort_rows", "read_score_table", "write_cohort_page"]

_TABLE_SCORES = ("dice", "hd95", "lesion_dice", "lesion_hd95", "nsd")
_FAR = 1.5
"""Distances between the quartiles from which on a value beyond them is pointed out (Tukey 1977)."""


@dataclass(frozen=True)
class CohortRow:
    """One patient.

    Args:
        case: Name.
        page: Name of the patient's own page, empty where there is none.
        picture: Axial slice with the most tumour.
        volumes: Region -> ml.
        scores: Score -> region -> value; empty without a table of scores.
        warnings: What the checks warned of.
        missing: Channels that the patient lacks.
        far: Values that are far from those of the other patients, in words.
    """

    case: str
    page: str
    picture: Picture
    volumes: dict[str, float]
    scores: dict[str, dict[str, float]]
    warnings: tuple[str, ...]
    missing: tuple[str, ...]
    far: list[str] = field(default_factory=list)

    @property
    def order(self) -> tuple[float, ...]:
        """Key that puts outliers first."""
        return (-len(self.far) - len(self.warnings), -sum(self.volumes.values()))


def write_cohort_page(
    manifests: Sequence[Path],
    path: str | Path,
    *,
    cases: Mapping[str, Case],
    dataset: DatasetDescription | None = None,
    scores: Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Write the page of a cohort, outliers first.

    Args:
        manifests: One per patient.
        path: Ends in ``.html``.
        cases: Images of the patients, as far as they are at hand.
        dataset: Dataset of the model, if it is not a packaged one.
        scores: Table of scores, as `Scores.save` writes it.
        progress: Called after each patient.

    Raises:
        InputError: The page cannot be written, a result is damaged, or the table holds no scores.
    """
    target = check_page(path)
    described = dataset_of(read_manifest(manifests[0]), manifests[0], dataset)
    table = {} if scores is None else read_score_table(scores)
    rows = cohort_rows(manifests, target.parent, described, cases, table, progress)
    shown = [name for name in _TABLE_SCORES if any(name in row.scores for row in rows)]
    return write_page(
        target,
        "cohort.html",
        folder=manifests[0].parent.resolve().name,
        rows=rows,
        regions=[
            {"name": region.name, "title": region.title or region.name, "colour": colour}
            for region, colour in zip(described.regions, region_colours(len(described.regions)), strict=True)
        ],
        scores=[SCORES[name] for name in shown],
        strips=_strips(rows, described, shown),
    )


def cohort_rows(
    manifests: Sequence[Path],
    folder: Path,
    dataset: DatasetDescription,
    cases: Mapping[str, Case],
    scores: Mapping[str, dict[str, dict[str, float]]],
    progress: Progress = silent,
) -> list[CohortRow]:
    """Return the rows of a table of patients, outliers first.

    Args:
        manifests: One per patient.
        folder: Where the page will be, from which it links to those of the patients.
        dataset: Dataset of the model.
        cases: Images of the patients.
        scores: Case -> score -> region -> value.
        progress: Called after each patient.
    """
    rows = []
    for number, manifest in enumerate(manifests):
        said = read_manifest(manifest)
        if {*said["volume_ml"]} != {*dataset.region_names}:
            raise InputError(
                f"{manifest}: has other regions than {manifests[0]}; name the results of one dataset at a time"
            )
        name = str(said["case"])
        case = cases.get(name)
        if case is not None and BACKGROUND_CHANNEL in case.images:
            case = case.without(*(channel for channel in case.images if channel != BACKGROUND_CHANNEL))
        page = manifest.with_suffix(".html")
        rows.append(
            CohortRow(
                name,
                page.name if page.is_file() and page.parent.resolve() == folder.resolve() else "",
                thumbnail(read_view(manifest, case=case, dataset=dataset, maps=False)),
                {region: float(volume) for region, volume in said["volume_ml"].items()},
                scores.get(name, {}),
                tuple(finding["message"] for finding in said["findings"] if finding["level"] == "warning"),
                tuple(said["missing"]),
            )
        )
        progress("reading results", number + 1, len(manifests))
    _point_out(rows)
    return sorted(rows, key=lambda row: (*row.order, row.case))


def read_score_table(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return a table of scores as case -> score -> region -> value; blank cells are left out.

    Raises:
        InputError: The file cannot be read or is not such a table.
    """
    found = read_scores(path)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for (name, region), values in found.values.items():
        for case, value in zip(found.cases, values.tolist(), strict=True):
            if name in _TABLE_SCORES and np.isfinite(value):
                table.setdefault(case, {}).setdefault(name, {})[region] = value
    return table


def _point_out(rows: Sequence[CohortRow]) -> None:
    """Note which values are far from those of the other patients; needs five of them."""
    series: dict[str, list[tuple[CohortRow, float]]] = {}
    for row in rows:
        for region, volume in row.volumes.items():
            series.setdefault(f"volume of {region}", []).append((row, float(np.log1p(volume))))
        for name, by_region in row.scores.items():
            for region, score in by_region.items():
                series.setdefault(f"{SCORES[name].title} of {region}", []).append((row, score))
    for what, entries in series.items():
        if len(entries) < 5:
            continue
        first, third = np.percentile([value for _, value in entries], (25, 75))
        for row, value in entries:
            if value < first - _FAR * (third - first):
                row.far.append(f"{what} is low")
            elif value > third + _FAR * (third - first):
                row.far.append(f"{what} is high")


def _strips(rows: Sequence[CohortRow], dataset: DatasetDescription, scores: Sequence[str]) -> list[Any]:
    colours = region_colours(len(dataset.regions))
    regions = [(region.name, region.title or region.name) for region in dataset.regions]
    found = [
        make_strips(
            "Volume in ml",
            [
                (title, colour, [(row.case, row.volumes.get(name, float("nan"))) for row in rows])
                for (name, title), colour in zip(regions, colours, strict=True)
            ],
            logarithmic=True,
        )
    ]
    for score in scores:
        groups = [
            (title, colour, [(row.case, row.scores.get(score, {}).get(name, float("nan"))) for row in rows])
            for (name, title), colour in zip(regions, colours, strict=True)
        ]
        found.append(
            make_strips(
                SCORES[score].heading,
                groups,
                digits=SCORES[score].digits,
                logarithmic=bool(SCORES[score].unit),
                limits=None if SCORES[score].unit else (0.0, 1.0),
            )
        )
    return [strip for strip in found if strip is not None]
