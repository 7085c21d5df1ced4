"""How much of an image has to be read when the network may stop as soon as its probe is sure enough."""

from __future__ import annotations

import xarray as xr
from matplotlib.axes import Axes

from analysis.claims.sample import present
from analysis.dataset.runs import table
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, image_rows, row_ticks, sizes
from reports.figures.style import GREY, INK, panels, styled

NAMED = (50, 80, 99)  # percent of confidence, written at the curve


def early_classification(analysis: Analysis) -> Figure | None:
    """Accuracy against the mean number of rows read, along the confidence asked for; a panel a hidden size."""
    shown = sizes(analysis)
    if not shown or "early_accuracy" not in analysis.dataset:
        return None
    rows = image_rows(analysis.dataset)
    with styled():
        figure, [row] = panels(len(shown), height=2.4, sharey=True, sharex=True)
        for axes, size in zip(row, shown, strict=True):
            networks = present(analysis.dataset, size)
            read, right = networks.early_rows, 100 * networks.early_accuracy
            axes.plot(read.T, right.T, color=GREY, linewidth=0.4, alpha=0.6)
            confidence_curve(axes, read.mean("seed"), right.mean("seed"))
            axes.axhline(100 * float(networks.test_accuracy.mean()), color=GREY, linewidth=0.7, linestyle=(0, (4, 2)))
            axes.set(title=f"H = {size}", xlabel="mean rows read", xlim=(0, 1.1 * rows), xticks=[0, *row_ticks(rows)[1:]])
        row[0].set_ylabel("test accuracy (%)")
    numbers = table(analysis.dataset, "early_accuracy").merge(table(analysis.dataset, "early_rows"))
    return Figure(
        "early_classification",
        figure,
        f"Early classification: each image is read until the probe of that step is as sure as asked for (percentages at the curve; "
        f"confidence calibrated on training images), and classified by that probe. Grey: single networks; black: their mean; "
        f"dashed: mean test accuracy of the readout after all {rows} rows. Networks: {counts(analysis)}.",
        "For each hidden size test accuracy against the mean number of rows read, along the confidence asked for.",
        numbers,
    )


def confidence_curve(axes: Axes, read: xr.DataArray, accuracy: xr.DataArray) -> None:
    """Accuracy, in percent, against the rows read, both over `confidence`, of which some values are named."""
    axes.plot(read, accuracy, color=INK, marker="o", markersize=2.5, linewidth=1)
    for confidence in set(NAMED) & set(read.confidence.values.tolist()):
        at = (float(read.sel(confidence=confidence)), float(accuracy.sel(confidence=confidence)))
        axes.annotate(f"{confidence}%", at, textcoords="offset points", xytext=(2, -10), fontsize=6.5)
