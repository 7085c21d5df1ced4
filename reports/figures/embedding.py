"""t-SNE of one network's hidden states at the paper's time steps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.study_analysis import Analysis
from reports.figures.figure import Figure
from reports.style import DIGITS, panels, styled


def embedding(analysis: Analysis) -> Figure | None:
    """A panel a time step, a point an image, coloured by digit, the digit printed where its points lie densest."""
    points = analysis.embedding
    if points is None or analysis.representative is None:
        return None
    size, seed = analysis.representative
    digit = points.digit.values
    with styled():
        figure, [row] = panels(points.sizes["time_step"], height=2.45)
        for axes, step in zip(row, points.time_step.values, strict=True):
            x, y = points.sel(time_step=step).values.T
            axes.scatter(x, y, c=[DIGITS[d] for d in digit], s=2.2, linewidth=0)
            for d in np.unique(digit):
                axes.text(*_centre(x[digit == d], y[digit == d]), str(d), ha="center", va="center", fontsize=8, weight="bold",
                          bbox={"boxstyle": "circle,pad=0.12", "facecolor": "white", "alpha": 0.8, "linewidth": 0})
            axes.set(title=f"step {step}", xticks=[], yticks=[])
            axes.set_aspect("equal", adjustable="datalim")
            for side in axes.spines.values():
                side.set_visible(False)
    table = points.to_dataset("axis").rename({0: "x", 1: "y"}).to_dataframe().reset_index()
    return Figure(
        "embedding",
        figure,
        f"t-SNE of the hidden states of one network (H = {size}, seed {seed}: the one nearest the median test accuracy) after "
        f"some rows are read, for the first {len(digit):,} test images, coloured by their true digit; each digit is printed "
        f"where its points lie densest. One network, so no band. Distances between clusters mean little in t-SNE.",
        "Scatter plots of the images, one for each time step, coloured by digit. The numbers are in embedding.csv.",
        pd.DataFrame(table),
    )


def _centre(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The point whose nearest tenth of its fellows lies closest: the densest place, unlike a mean between clusters."""
    distances = np.hypot(x[:, None] - x, y[:, None] - y)
    densest = np.sort(distances, axis=1)[:, len(x) // 10].argmin()
    return float(x[densest]), float(y[densest])
