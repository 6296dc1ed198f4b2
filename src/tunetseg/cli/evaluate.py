"""`tunet evaluate`."""

from pathlib import Path
from typing import Annotated

import tyro

from tunetseg.cli.options import OptionalFloat, OptionalInt, OptionalOutPath, OptionalPath, OptionalText, optional

__all__ = ["evaluate"]


def evaluate(
    predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PREDICTIONS")],
    references: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="REFERENCES")],
    *,
    rules: OptionalText = None,
    dataset: OptionalText = None,
    cases: OptionalPath = None,
    uncertainty: bool = False,
    thresholds: Annotated[tuple[float, ...] | None, optional("FLOAT")] = None,
    tolerance: OptionalFloat = None,
    strict: bool = False,
    match_iou: OptionalFloat = None,
    lesions: OptionalPath = None,
    cells: bool = False,
    out: OptionalOutPath = None,
    report: OptionalPath = None,
    tables: bool = False,
    labels: OptionalText = None,
    prediction_labels: OptionalText = None,
    workers: OptionalInt = None,
) -> None:
    """Score predicted label maps against reference segmentations and print means and standard deviations.

    Each side is a cohort folder, a flat folder of <case>.nii.gz, or a single file. A reference whose prediction is
    missing, unreadable, on another grid or of unknown labels counts as one with an empty prediction. For research use;
    not a medical device.

    Args:
        predictions: Predicted label maps.
        references: Reference segmentations.
        rules: Rule set: brats2019 leaves empty regions out of HD95, brats2020 gives them 373.12866 mm; brats2023-gli,
            -ssa, -ped, -men and -met count lesions, and so do brats2024- and brats2025-gli, -met, -ssa, -ped, -men and
            -men-rt; brats2026-gli, -met, -ped, -goat, -men and -men-rt match them one to one; qu-brats scores
            uncertainty; kits19. By default that of --dataset, else brats2020.
        dataset: Dataset of both sides, such as kits19, or a .toml file that describes it; by default the names of the
            files say.
        cases: Text file of case names, such as a run folder's validation.txt; only these are scored.
        uncertainty: Score the uncertainty maps next to the predictions too, and probability maps where there are any;
            REFERENCES must hold the images of the patients, which show where the brain is.
        thresholds: Thresholds of uncertainty, such as 0 10 25 50 75, instead of 0 2.5 ... 100; implies --uncertainty.
        tolerance: Score surface Dice too, at this many mm, over areas and over surface voxels (NSD).
        strict: Score by the strict version of the rules too, which leaves nothing out: failed cases, missed and false
            lesions count.
        match_iou: Match lesions one to one from this IoU on, such as 0.5, whatever the rules say of them, and score
            F1, segmentation quality and panoptic quality.
        lesions: CSV file for one row per lesion of the references: volume, found or not, Dice, HD95 and NSD.
        cells: Score CC-Metrics too: each lesion alone in the part of the grid that is nearest to it.
        out: CSV file for one row per case and region; the summary is written next to it as JSON.
        report: HTML page that anyone can open without a network: the means, the worst cases, distributions, agreement
            of volumes, and reliability where probabilities are scored.
        tables: Write .md and .tex tables of the means next to the CSV file too.
        labels: Year or dataset of the label values of both sides, if the files do not say or say it wrongly.
        prediction_labels: The same for the predictions alone.
        workers: Number of cases scored at the same time.
    """
    from tunetseg.cli.console import shown, table_console
    from tunetseg.cli.tables import print_scores
    from tunetseg.evaluation.evaluate import evaluate as score

    _check_targets(out, report, lesions, strict=strict, tables=tables)
    with shown() as progress:
        scores = score(
            predictions,
            references,
            rules=rules,
            dataset=dataset,
            cases=cases,
            labels=labels,
            prediction_labels=prediction_labels,
            uncertainty=uncertainty,
            thresholds=thresholds,
            tolerance=tolerance,
            strict=strict,
            match_iou=match_iou,
            lesions=lesions is not None,
            cells=cells,
            workers=workers,
            progress=progress,
        )
    written = []
    if out is not None:
        written = scores.save(out, tables=tables, report=report, predictions=predictions)
    elif report is not None:
        written = [scores.report(report, predictions=predictions)]
    if lesions is not None:
        written.append(scores.save_lesions(lesions))
    console = table_console()
    print_scores(console, scores)
    if written:
        console.print(f"Wrote {', '.join(map(str, written))}.", markup=False, highlight=False)


def _check_targets(out: Path | None, report: Path | None, lesions: Path | None, *, strict: bool, tables: bool) -> None:
    """Raise InputError where a result could not be written, before the work."""
    from tunetseg.errors import InputError
    from tunetseg.evaluation.scores import check_scores_target, check_tables_target, strict_target
    from tunetseg.io.files import check_target
    from tunetseg.report.pages import check_new_page

    if out is not None:
        check_scores_target(out)
        if tables:
            check_tables_target(out)
        if strict:
            check_scores_target(strict_target(out))
    elif tables:
        raise InputError("--tables writes tables next to the table of scores; name it with --out")
    if lesions is not None:
        check_target(lesions, ".csv")
    if report is not None:
        check_new_page(report)
    strict_table = strict_target(out) if out is not None and strict else None
    targets = [path.resolve() for path in (out, strict_table, lesions) if path is not None]
    if len({*targets}) < len(targets):
        raise InputError("two of the tables would be the same file; name each another")
