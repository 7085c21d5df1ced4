"""t-SNE of the hidden states of the representative network of each hidden size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.states.embedding import chosen_steps
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, image_rows
from reports.figures.style import colours, panels, styled

NAMES = {"tsne": "t-SNE", "umap": "UMAP"}
COLUMNS = 7  # of the overview of all steps
MOST_COLUMNS = 10  # of the legend


def embedding(analysis: Analysis) -> Figure | None:
    """A row a hidden size, a panel for each of the paper's time steps."""
    if not analysis.embeddings:
        return None
    chosen = chosen_steps(image_rows(analysis.dataset))
    shown = {
        size: found.sel(time_step=[step for step in chosen if step in found.time_step])
        for size, found in analysis.embeddings.items()
    }
    classes = max(int(found.digit.max()) for found in shown.values()) + 1
    columns = max(found.sizes["time_step"] for found in shown.values())
    with styled():
        figure, axes = panels(columns, len(shown), height=2.35)
        for row, (size, found) in zip(axes, shown.items(), strict=True):
            for place, step in zip(row, found.time_step.values, strict=True):
                _scatter(place, found.sel(time_step=step), f"H = {size}, step {step}", large=True)
        figure.legend(
            handles=[
                Line2D([], [], color=colour, marker="o", markersize=4, linestyle="", label=str(digit))
                for digit, colour in enumerate(colours(classes))
            ],
            loc="outside upper center",
            ncols=min(classes, MOST_COLUMNS),
            handletextpad=0.1,
            columnspacing=1,
        )
    first = next(iter(shown.values()))
    seeds = ", ".join(f"seed {found.attrs['seed']} at H = {size}" for size, found in shown.items())
    return Figure(
        "embedding",
        figure,
        f"{NAMES[first.attrs['method']]} of the hidden states of one network a hidden size, the one nearest the median test "
        f"accuracy ({seeds}), for {first.sizes['image']:,} test images, coloured by their true digit; each digit is printed "
        f"where its points lie densest (one on the other where digits lie together). Each panel is started from the one to "
        f"its left. Below each, the share of an image's ten nearest neighbours that show its digit, among the states and in "
        f"the plane, and the share of neighbours the plane keeps. One network a row, so no bands. Distances between clusters "
        f"mean little.",
        "Scatter plots of the images, one for each time step, coloured by digit.",
        _numbers(shown),
    )


def embedding_steps(analysis: Analysis) -> Figure | None:
    """Every time step of the representative network of the largest hidden size; None where not all steps were embedded."""
    if not analysis.embeddings:
        return None
    size, found = max(analysis.embeddings.items())
    steps = found.time_step.values
    if len(steps) <= len(chosen_steps(image_rows(analysis.dataset))):
        return None
    with styled():
        rows = -(-len(steps) // COLUMNS)
        figure, axes = panels(COLUMNS, rows, height=1.05)
        places = [place for row in axes for place in row]
        for place, step in zip(places, steps, strict=False):
            _scatter(place, found.sel(time_step=step), str(step), large=False)
        for place in places[len(steps) :]:
            place.set_visible(False)
    return Figure(
        "embedding_steps",
        figure,
        f"{NAMES[found.attrs['method']]} of the hidden states after each row for the same network (H = {size}, seed "
        f"{found.attrs['seed']}) and images, each step started from the one before; colours as above.",
        "Small scatter plots of the images, one for each time step, coloured by digit.",
        _numbers({size: found}).drop(columns=["x", "y", "image", "digit"]).drop_duplicates(),
    )


def _scatter(axes: Axes, found: xr.Dataset, title: str, large: bool) -> None:
    x, y = found.points.values.T
    digit = found.digit.values
    order = np.random.default_rng(0).permutation(len(digit))  # no digit lies on top of the others
    axes.scatter(
        x[order],
        y[order],
        c=np.array(colours(int(digit.max()) + 1))[digit[order]],
        s=1.2 if large else 0.25,
        linewidth=0,
        rasterized=True,
    )
    for d in np.unique(digit) if large else []:
        axes.text(
            *_centre(x[digit == d], y[digit == d]),
            str(d),
            ha="center",
            va="center",
            fontsize=8,
            weight="bold",
            bbox={"boxstyle": "circle,pad=0.12", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
        )
    axes.set_title(title, pad=2 if not large else None)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    for side in axes.spines.values():
        side.set_visible(False)
    if large:
        axes.set_xlabel(
            f"{float(found.agreement_states):.0%} among states, {float(found.agreement_plane):.0%} in plane, "
            f"{float(found.neighbours_kept):.0%} kept",
            fontsize=6,
        )


def _centre(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The point whose nearest tenth of its fellows lies closest: the densest place, unlike a mean between clusters."""
    some = slice(None, None, max(1, len(x) // 500))  # of thousands of points, hundreds tell as well
    x, y = x[some], y[some]
    distances = np.hypot(x[:, None] - x, y[:, None] - y)
    densest = np.sort(distances, axis=1)[:, len(x) // 10].argmin()
    return float(x[densest]), float(y[densest])


def _numbers(shown: dict[int, xr.Dataset]) -> pd.DataFrame:
    tables = []
    for size, found in shown.items():
        flat = found.assign(x=found.points.isel(axis=0), y=found.points.isel(axis=1)).drop_vars("points")
        tables.append(flat.to_dataframe().reset_index().assign(hidden_size=size))
    return pd.concat(tables, ignore_index=True)
