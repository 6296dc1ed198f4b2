"""Plot the scores of several methods: every case as a dot, the mean with its 95 % interval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tunetseg.evaluation.comparison import Comparison, ScoreTable
from tunetseg.io.files import whole_file
from tunetseg.metrics import SCORES
from tunetseg.report.palette import series_colours

__all__ = ["draw_comparison"]


def draw_comparison(comparison: Comparison, tables: Sequence[ScoreTable], out: str | Path) -> Path:
    """Draw one panel per score and region.

    Args:
        comparison: Comparison of the tables.
        tables: The tables that were compared.
        out: PNG file; it appears only when complete.

    Returns:
        The file.
    """
    names = list(comparison.methods)
    regions = list(comparison.methods[names[0]])
    scores = list(comparison.methods[names[0]][regions[0]])
    cases = comparison.facts["cases"]
    values = {table.name: table.on_cases(cases) for table in tables}
    figure = Figure(figsize=(1.2 + 2.6 * len(regions), 0.8 + 2.6 * len(scores)), layout="constrained")
    panels = figure.subplots(len(scores), len(regions), squeeze=False)
    generator = np.random.default_rng(0)
    for row, score in enumerate(scores):
        for column, region in enumerate(regions):
            axes = panels[row, column]
            for position, name in enumerate(names):
                summary = comparison.methods[name][region][score]
                _draw_method(axes, position, values[name][score, region], summary, generator)
            _label_methods(axes, names if row == len(scores) - 1 else [""] * len(names))
            if row == 0:
                axes.set_title(region, fontsize=11)
            if column == 0:
                axes.set_ylabel(SCORES[score].heading)
    figure.suptitle(
        f"{len(cases)} cases, rules {(comparison.facts['rules'] or {}).get('name', 'unknown')}; "
        "dots are cases, bars the mean and its 95 % interval",
        fontsize=9,
    )
    FigureCanvasAgg(figure)
    with whole_file(out) as partial:
        figure.savefig(partial, dpi=120, format="png")
    return Path(out)


def _draw_method(
    axes: Axes, position: int, values: NDArray[np.float64], summary: dict[str, Any], generator: np.random.Generator
) -> None:
    colour = series_colours(position + 1)[position]
    scatter = position + generator.uniform(-0.18, 0.18, values.size)
    axes.plot(scatter, values, ".", color=colour, alpha=0.4, markersize=5, markeredgewidth=0)
    axes.plot([position, position], list(summary["ci95"]), color=colour, linewidth=2.5)
    axes.plot(position, summary["mean"], "o", color=colour, markersize=7, markeredgecolor="white")


def _label_methods(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_xticks(range(len(labels)), labels, rotation=20, ha="right")
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
