"""Accuracy over two times at once: rows shown and blank rows; the step a probe was trained at and the step it is tested at."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from analysis.claims.sample import present
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, heat, image_rows, sizes
from reports.figures.style import panels, styled


def surface(analysis: Analysis) -> Figure | None:
    """The accuracy surface, mean over networks; one panel per hidden size."""
    return _means(
        analysis,
        "accuracy",
        "surface",
        accuracy_surface,
        "Test accuracy after the first rows of the image and then a number of blank rows; the paper's three experiments are three "
        "lines on this surface. The top line is experiment 3, the left column experiment 2, and the diagonal that ends at row "
        "{rows} experiment 1. Mean over networks.",
        "Heat maps of test accuracy over rows shown and blank rows, one for each hidden size.",
    )


def generalisation(analysis: Analysis) -> Figure | None:
    """The temporal generalisation matrix, mean over networks; one panel per hidden size."""
    return _means(
        analysis,
        "temporal_generalisation",
        "generalisation",
        generalisation_matrix,
        "Temporal generalisation: how well the linear probe trained at one step decodes the states of another. Test accuracy, mean "
        "over networks; after step {rows} the rows are blank (right of the dotted line).",
        "Heat maps of test accuracy over the step a probe was trained at and the step it is tested at, one for each hidden size.",
    )


def accuracy_surface(axes: Axes, accuracy: xr.DataArray) -> AxesImage:
    """Accuracy over (rows shown, blank rows)."""
    axes.set(xlabel="blank rows", ylabel="rows shown")
    return heat(axes, accuracy, (0, 0), vmax=100)


def generalisation_matrix(axes: Axes, accuracy: xr.DataArray) -> AxesImage:
    """Accuracy over (training step, test step) of the probe, with a line where the image ends."""
    axes.set(xlabel="test step", ylabel="training step of the probe")
    image = heat(axes, accuracy, (1, 1), vmax=100)
    axes.axvline(accuracy.shape[0] + 0.5, color="white", linewidth=0.7, linestyle=":")
    return image


def _means(
    analysis: Analysis, variable: str, name: str, draw: Callable[[Axes, xr.DataArray], AxesImage], caption: str, description: str
) -> Figure | None:
    shown = sizes(analysis)
    if not shown or variable not in analysis.dataset:
        return None
    with styled():
        figure, [row] = panels(len(shown), height=2.4, sharey=True)
        images = [draw(axes, present(analysis.dataset, size)[variable].mean("seed")) for axes, size in zip(row, shown, strict=True)]
        for axes, size in zip(row, shown, strict=True):
            axes.set_title(f"H = {size}")
            axes.label_outer()
        figure.colorbar(images[-1], ax=row, label="test accuracy (%)")
    numbers = analysis.dataset[variable].mean("seed").to_dataframe().reset_index().dropna()
    told = caption.format(rows=image_rows(analysis.dataset))
    return Figure(name, figure, f"{told} Networks: {counts(analysis)}.", description, numbers)
