"""Accuracy over two times at once: rows shown and blank rows, and the step a probe learned and the step it is scored at."""

from __future__ import annotations

from analysis.findings import present
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, heat, sizes
from reports.style import panels, styled


def surface(analysis: Analysis) -> Figure | None:
    """The accuracy surface, mean over networks; a panel a hidden size."""
    return _means(
        analysis, "accuracy", "surface", (0, 0), "blank rows", "rows shown",
        "Test accuracy after some rows of the image and then some blank rows, mean over networks. The right edge of the image rows "
        "(top line) is experiment 3, the left column experiment 2, and the diagonal that ends at row 28 experiment 1.",
        "Rasters of test accuracy over rows shown and blank rows",
    )


def generalisation(analysis: Analysis) -> Figure | None:
    """The temporal generalisation matrix, mean over networks; a panel a hidden size."""
    return _means(
        analysis, "temporal_generalisation", "generalisation", (1, 1), "step scored", "step the probe learned",
        "Temporal generalisation: test accuracy of the probe of one step at the states of another, mean over networks; after "
        "step 28 "
        "rows are blank (right of the dotted line).",
        "Rasters of test accuracy over the step a probe learned and the step it is scored at",
    )


def _means(analysis: Analysis, variable: str, name: str, first: tuple[int, int], x: str, y: str, caption: str, description: str
           ) -> Figure | None:
    shown = sizes(analysis)
    if not shown or variable not in analysis.dataset:
        return None
    means = {size: present(analysis.dataset, size)[variable].mean("seed") for size in shown}
    with styled():
        figure, [row] = panels(len(shown), height=2.4, sharey=True)
        for axes, (size, mean) in zip(row, means.items(), strict=True):
            image = heat(axes, mean, first, vmax=100)
            axes.set(title=f"H = {size}", xlabel=x)
            if name == "generalisation":
                axes.axvline(mean.shape[0] + 0.5, color="white", linewidth=0.7, linestyle=":")
        row[0].set_ylabel(y)
        figure.colorbar(image, ax=row, label="test accuracy (%)")
    numbers = analysis.dataset[variable].mean("seed").to_dataframe().reset_index().dropna()
    return Figure(name, figure, f"{caption} Networks: {counts(analysis)}.",
                  f"{description}, one for each hidden size. The numbers are in {name}.csv.", numbers)
