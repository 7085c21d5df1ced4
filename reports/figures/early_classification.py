"""How much of an image a network has to read if it may stop as soon as its linear probe is confident enough."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes

from analysis.claims.sample import present
from analysis.dataset.runs import table
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, image_rows, row_ticks, sizes
from reports.figures.style import GREY, INK, panels, styled

NAMED = (50, 80, 99)  # percent of confidence, written next to the curve
APART = (0.08, 5)  # of the rows, and points of accuracy: confidences that are nearer to each other in both share a label


def early_classification(analysis: Analysis) -> Figure | None:
    """Accuracy against the mean number of rows read, for each required confidence; one panel per hidden size."""
    shown = sizes(analysis)
    if not shown or "early_accuracy" not in analysis.dataset:
        return None
    rows = image_rows(analysis.dataset)
    with styled():
        figure, [row] = panels(len(shown), height=2.4, sharey=True, sharex=True)
        for axes, size in zip(row, shown, strict=True):
            sample = present(analysis.dataset, size)
            read, right = sample.early_rows, 100 * sample.early_accuracy
            axes.plot(read.T, right.T, color=GREY, linewidth=0.4, alpha=0.6)
            confidence_curve(axes, read.mean("seed"), right.mean("seed"))
            axes.axhline(100 * float(sample.test_accuracy.mean()), color=GREY, linewidth=0.7, linestyle=(0, (4, 2)))
            axes.set(title=f"H = {size}", xlabel="mean rows read", xlim=(0, 1.1 * rows), xticks=[0, *row_ticks(rows)[1:]])
        row[0].set_ylabel("test accuracy (%)")
    numbers = table(analysis.dataset, "early_accuracy").merge(table(analysis.dataset, "early_rows"))
    return Figure(
        "early_classification",
        figure,
        f"Early classification: test accuracy against the mean number of rows read, if a network may stop early. Each image is "
        f"read until the linear probe of that step reaches the required confidence (percentages at the curve; calibrated on "
        f"training images), and is classified by that probe. Grey: single networks; black: their mean; dashed: mean test accuracy "
        f"of the readout after all {rows} rows. Networks: {counts(analysis)}.",
        "Line charts, one for each hidden size, of test accuracy against the mean number of rows read, as the required confidence "
        "rises.",
        numbers,
    )


def confidence_curve(axes: Axes, read: xr.DataArray, accuracy: xr.DataArray) -> None:
    """Accuracy (percent) against the rows read, both over `confidence`; the values in `NAMED` are labelled."""
    axes.plot(read, accuracy, color=INK, marker="o", markersize=2.5, linewidth=1)
    axes.margins(y=0.15)  # the label of the lowest point is below it
    named: list[tuple[list[str], float, float]] = []
    for confidence in sorted(set(NAMED) & set(read.confidence.values.tolist())):
        x, y = float(read.sel(confidence=confidence)), float(accuracy.sel(confidence=confidence))
        if named and abs(x - named[-1][1]) < APART[0] * float(read.max()) and abs(y - named[-1][2]) < APART[1]:
            named[-1][0].append(f"{confidence}%")
        else:
            named.append(([f"{confidence}%"], x, y))
    for words, x, y in named:
        axes.annotate(", ".join(words), (x, y), textcoords="offset points", xytext=(2, -10), fontsize=6.5)
