"""Appendix: the accuracy of every network under blank rows, each in a panel of its own."""

from __future__ import annotations

from math import ceil

import numpy as np
from matplotlib.figure import Figure as Drawing

from analysis.claims.sample import present
from analysis.dataset.runs import table
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, sizes
from reports.figures.style import INK, WIDTH, styled

MOST = 200  # networks on the page
TALLEST = 8.4  # inches
ABOVE, BELOW, GAP = 0.17, 0.42, 0.17  # inches: above and below all panels, and between two rows


def networks(analysis: Analysis) -> Figure | None:
    """Accuracy against blank rows, a panel a network, as many of each hidden size where there are too many for a page."""
    shown = sizes(analysis)
    if not shown:
        return None
    each = MOST // len(shown)
    panels = [(size, int(seed), curve) for size in shown for seed, curve in zip(*_curves(analysis, size, each), strict=True)]
    columns = 5 if len(panels) <= 50 else 8 if len(panels) <= 104 else 10
    rows = ceil(len(panels) / columns)
    with styled():
        height = min(TALLEST, 0.9 * rows + 0.6)
        figure = Drawing(figsize=(WIDTH, height))  # a layout that fits hundreds of panels to each other takes a minute
        panel = (height - ABOVE - BELOW - (rows - 1) * GAP) / rows
        places = {
            "left": 0.5 / WIDTH,
            "right": 0.985,
            "bottom": BELOW / height,
            "top": 1 - ABOVE / height,
            "hspace": GAP / panel,
            "wspace": 0.12,
        }
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True, gridspec_kw=places)
        last = len(panels[0][2]) - 1
        grid[0, 0].set(ylim=(0, 100), yticks=[0, 50, 100], xlim=(0, last), xticks=[0, 2 * last // 5, 4 * last // 5])  # and so all
        for axes, (size, seed, curve) in zip(grid.flat, panels, strict=False):
            axes.plot(100 * curve, color=INK, linewidth=0.4)
            axes.set_title(f"H = {size}, seed {seed}" if columns == 5 else f"{size} / {seed}", fontsize=6.5, pad=1.5)
            axes.tick_params(labelsize=6, length=2, pad=1.5)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes in grid.flat[max(0, len(panels) - columns) : len(panels)]:  # the lowest of each column
            axes.tick_params(labelbottom=True)
        figure.supxlabel("blank rows after the image", fontsize=8.5, y=0.05 / height, verticalalignment="bottom")
        figure.supylabel("test accuracy (%)", fontsize=8.5, x=0.05 / WIDTH, horizontalalignment="left")
    some = (
        ""
        if len(panels) == sum(present(analysis.dataset, size).sizes["seed"] for size in shown)
        else (f" Of each hidden size the first {each} are shown; the numbers of all are in the table.")
    )
    naming = "hidden size and seed" if columns == 5 else "hidden size / seed"
    return Figure(
        "networks",
        figure,
        f"Test accuracy under blank rows of every network by itself ({naming} above each panel). Networks: "
        f"{counts(analysis)}.{some}",
        "Small line charts of test accuracy against blank rows, one for each network.",
        table(analysis.dataset, "accuracy_appended"),
    )


def _curves(analysis: Analysis, size: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    found = present(analysis.dataset, size)
    return found.seed.values[:most], found.accuracy_appended.transpose("seed", "blank_rows").values[:most]
