"""One picture of several methods' scores: every case a dot, the mean with its 95 % interval."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tunetseg.evaluation.comparison import Comparison, ScoreTable
from tunetseg.io.files import whole_file

__all__ = ["draw_comparison"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by colour-blind people too (Okabe and Ito)."""

_LABELS = {"dice": "Dice", "hd95": "HD95, mm", "assd": "average surface distance, mm", "hd100": "HD100, mm"}


def draw_comparison(comparison: Comparison, tables: Sequence[ScoreTable], out: str | Path) -> Path:
    """Draw a panel a score and region.

    Args:
        comparison: Of the tables.
        tables: What was compared.
        out: PNG file; appears only when complete.
    """
    names = list(comparison.methods)
    regions = list(comparison.methods[names[0]])
    scores = list(comparison.methods[names[0]][regions[0]])
    figure = Figure(figsize=(1.2 + 2.6 * len(regions), 0.8 + 2.6 * len(scores)), layout="constrained")
    panels = figure.subplots(len(scores), len(regions), squeeze=False)
    cases = comparison.facts["cases"]
    generator = np.random.default_rng(0)
    for down, score in enumerate(scores):
        for right, region in enumerate(regions):
            axes = panels[down, right]
            for place, table in enumerate(tables):
                colour = _COLOURS[place % len(_COLOURS)]
                values = table.values[score, region][np.searchsorted(table.cases, cases)]
                spread = place + generator.uniform(-0.18, 0.18, values.size)
                axes.plot(spread, values, ".", color=colour, alpha=0.4, markersize=5, markeredgewidth=0)
                found = comparison.methods[table.name][region][score]
                low, high = found["ci95"]
                axes.plot([place, place], [low, high], color=colour, linewidth=2.5)
                axes.plot(place, found["mean"], "o", color=colour, markersize=7, markeredgecolor="white")
            axes.set_xticks(
                range(len(names)), names if down == len(scores) - 1 else [""] * len(names), rotation=20, ha="right"
            )
            axes.set_xlim(-0.6, len(names) - 0.4)
            axes.grid(axis="y", alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            if down == 0:
                axes.set_title(region, fontsize=11)
            if right == 0:
                axes.set_ylabel(_LABELS.get(score, score))
    figure.suptitle(
        f"{len(cases)} cases, rules {(comparison.facts['rules'] or {}).get('name', 'unknown')}; "
        "dots are cases, bars the mean and its 95 % interval",
        fontsize=9,
    )
    FigureCanvasAgg(figure)
    with whole_file(out) as partial:
        figure.savefig(partial, dpi=120, format="png")
    return Path(out)
