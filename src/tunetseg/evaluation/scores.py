"""The result of an evaluation as an object."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunetseg.errors import InputError
from tunetseg.evaluation.paper_tables import PAPER_GROUPS, write_tables
from tunetseg.evaluation.summary import strict_summary
from tunetseg.evaluation.tables import LESION_COLUMNS, columns, write_rows, write_scores
from tunetseg.evaluation.text import format_table, summary_lines, summary_tables
from tunetseg.io.files import check_target, spare_other, written_together

if TYPE_CHECKING:
    import pandas

__all__ = ["Scores", "check_scores_target", "check_tables_target", "strict_target"]


@dataclass(frozen=True, repr=False)
class Scores:
    """Scores of one case or a cohort.

    Args:
        rows: One dictionary per case and region: ``case``, the values of `score_region`, with uncertainty those of
            `score_maps`, and ``status``: ``scored``, or ``missing``, ``unreadable`` or ``misaligned`` for a prediction
            that counts as empty. NaN where the rules leave a score out.
        summary: Rules, label schemes, cases and the statistics of every region, ready for JSON.
        strict_rows: The rows by the strict version of the rules, where it was requested.
        lesions: One row per lesion of every case and region, where these were requested: ``case``, ``region`` and the
            values of `lesion_rows`.

    Examples:
        >>> import numpy as np
        >>> from tunetseg.evaluation.evaluate import evaluate
        >>> label_map = np.zeros((8, 8, 8), np.uint8)
        >>> label_map[2:6, 2:6, 2:6] = 2
        >>> label_map[3:5, 3:5, 3:5] = 4
        >>> scores = evaluate(label_map, label_map, spacing=(1, 1, 1), labels="brats2020")
        >>> scores.rows[0]["region"], scores.rows[0]["dice"]
        ('whole', 1.0)
        >>> scores.summary["regions"]["enhancing"]["hd95"]["mean"]
        0.0
    """

    rows: tuple[dict[str, Any], ...]
    summary: dict[str, Any]
    strict_rows: tuple[dict[str, Any], ...] = ()
    lesions: tuple[dict[str, Any], ...] = ()

    def __repr__(self) -> str:
        """Return the means as tables, and what must be known with them."""
        tables = "\n\n".join(format_table(table) for table in summary_tables(self.summary))
        return "\n".join([tables, "", *summary_lines(self.summary)])

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the rows as a data frame, with the columns of the CSV file.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "Scores.to_pandas needs pandas, which is not installed; run 'pip install pandas'", name="pandas"
            ) from None
        return pandas.DataFrame(list(self.rows), columns=list(columns(self.rows[0])))

    def report(self, path: str | Path, *, predictions: str | Path | None = None) -> Path:
        """Write one HTML file that shows the scores in any browser, without a network.

        Args:
            path: Ends in ``.html``.
            predictions: Folder that was scored; the reports of patients in it are linked to.

        Returns:
            The file.

        Raises:
            InputError: The name has another ending, or a file of another program would be replaced.
        """
        from tunetseg.report.scores import write_scores_page

        return write_scores_page(self, path, predictions=predictions)

    def save(
        self,
        path: str | Path,
        *,
        tables: bool = False,
        report: str | Path | None = None,
        predictions: str | Path | None = None,
    ) -> list[Path]:
        """Write the rows as CSV and the summary as JSON next to it; strict rows as ``<name>-strict.csv`` likewise.

        All files appear together. The summary holds the SHA-256 of the CSV file, by which `read_scores` knows that they
        belong together.

        Args:
            path: Ends in ``.csv``.
            tables: Write the means as Markdown and LaTeX tables too, in the layout of the paper's Tables 1 and 4.
            report: Write the page of `report` too, which appears together with the other files.
            predictions: As for `report`.

        Returns:
            All files written.

        Raises:
            InputError: The file cannot be written, or another program's ``.json`` would be overwritten.
        """
        target = check_scores_target(path)
        strict_table = check_scores_target(strict_target(target)) if self.strict_rows else None
        page = "" if report is None else self._page(report, predictions)
        with ExitStack() as stack:
            aside = stack.enter_context(written_together(target.parent))
            if report is not None:
                # A folder of its own is left first, so that no table appears where the page cannot be written.
                place = Path(report)
                apart = place.parent.resolve() != target.parent.resolve()
                folder = stack.enter_context(written_together(place.parent)) if apart else aside
                (folder / place.name).write_text(page, encoding="utf-8")
            files = write_scores(self.rows, self.summary, aside / target.name)
            if strict_table is not None:
                files += write_scores(self.strict_rows, strict_summary(self.summary), aside / strict_table.name)
            if tables:
                files += write_tables({target.stem: self.summary["regions"]}, PAPER_GROUPS, aside / target.name)
        return [*(target.with_name(file.name) for file in files), *([] if report is None else [Path(report)])]

    def save_lesions(self, path: str | Path) -> Path:
        """Write one row per lesion as CSV; the distance of a missed lesion is a blank cell.

        Args:
            path: Ends in ``.csv``.

        Raises:
            InputError: The file cannot be written.
        """
        target = check_target(path, ".csv")
        write_rows(self.lesions, LESION_COLUMNS, target)
        return target

    def _page(self, path: str | Path, predictions: str | Path | None) -> str:
        from tunetseg.report.pages import check_page
        from tunetseg.report.scores import scores_page

        return scores_page(self, check_page(path), predictions=predictions)


def strict_target(path: Path) -> Path:
    """Return where the table by the strict version of the rules goes."""
    return path.with_name(f"{path.stem}-strict.csv")


def check_scores_target(path: str | Path) -> Path:
    """Return the path of a table of scores if it can be written, so that no work is lost.

    Raises:
        InputError: It does not end in ``.csv``, its folder cannot be written to, or another program's ``.json`` would
            be overwritten.
    """
    target = check_target(path, ".csv")
    spare_other(target.with_suffix(".json"), "summary of scores", {"rules", "regions"})
    return target


def check_tables_target(path: Path) -> None:
    """Raise InputError where tables for papers would replace files that do not belong to a summary of that name.

    Args:
        path: Table of scores or JSON file that they are named after.
    """
    for ending in (".md", ".tex"):
        if path.with_suffix(ending).exists() and not path.with_suffix(".json").exists():
            raise InputError(f"{path.with_suffix(ending)}: exists and may be of another program; choose another name")
