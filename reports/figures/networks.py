"""Appendix: the accuracy of every network under blank rows, one panel per network."""

from __future__ import annotations

from math import ceil

import numpy as np
from matplotlib.figure import Figure as Drawing

from analysis.claims.sample import present
from analysis.dataset.runs import table
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, sizes
from reports.figures.style import INK, WIDTH, styled

MOST_NETWORKS = 200  # on the page
TALLEST = 8.4  # inches
ABOVE, BELOW, GAP = 0.17, 0.42, 0.17  # inches: above and below all panels, and between two rows


def networks(analysis: Analysis) -> Figure | None:
    """Accuracy against blank rows, one panel per network; the same number of each hidden size where not all fit on a page."""
    shown = sizes(analysis)
    if not shown:
        return None
    each = MOST_NETWORKS // len(shown)
    panels = [(size, int(seed), curve) for size in shown for seed, curve in zip(*_curves(analysis, size, each), strict=True)]
    columns = 5 if len(panels) <= 50 else 8 if len(panels) <= 104 else 10
    rows = ceil(len(panels) / columns)
    with styled():
        height = min(TALLEST, 0.9 * rows + 0.6)
        figure = Drawing(figsize=(WIDTH, height))  # constrained layout of hundreds of panels takes a minute
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
        grid[0, 0].set(
            ylim=(0, 100), yticks=[0, 50, 100], xlim=(0, last), xticks=[0, 2 * last // 5, 4 * last // 5]
        )  # shared by all
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
        else (f" The first {each} of each hidden size are shown; the table has the numbers of all.")
    )
    naming = "hidden size and seed" if columns == 5 else "hidden size / seed"
    return Figure(
        "networks",
        figure,
        f"Test accuracy of every single network against the number of blank rows after the image ({naming} above each panel). "
        f"Networks: {counts(analysis)}.{some}",
        "Small line charts of test accuracy against blank rows, one for each network.",
        table(analysis.dataset, "accuracy_appended"),
    )


def _curves(analysis: Analysis, size: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    sample = present(analysis.dataset, size)
    return sample.seed.values[:most], sample.accuracy_appended.transpose("seed", "blank_rows").values[:most]
