"""t-SNE of the hidden states of the representative network of each hidden size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.states.embedding import chosen_steps
from analysis.study_analysis import Analysis
from reports.figures.figure import TALLEST, Figure, image_rows, names_of_classes
from reports.figures.style import colours, panels, styled

NAMES = {"tsne": "t-SNE", "umap": "UMAP"}
COLUMNS = 7  # of the overview of all steps
MOST_STEPS = 7 * COLUMNS  # in it: more would not fit on a page
MOST_COLUMNS = 10  # of the legend
ROOM = 84  # characters in a line of the legend
MANY, LARGEST_POINT = 5000, 6  # images for which points are small, and how much larger they become where there are fewer
LINE = 0.15  # inches: the height of one


def embedding(analysis: Analysis) -> Figure | None:
    """One row per hidden size, one panel per time step of the paper."""
    if not analysis.embeddings:
        return None
    chosen = chosen_steps(image_rows(analysis.dataset))
    shown = {
        size: picture.sel(time_step=[step for step in chosen if step in picture.time_step])
        for size, picture in analysis.embeddings.items()
    }
    columns = max(picture.sizes["time_step"] for picture in shown.values())
    names = names_of_classes(analysis.dataset)
    entries = [name if name == str(label) else f"{label} {name}" for label, name in enumerate(names)]
    beside = max(1, min(MOST_COLUMNS, ROOM // (max(map(len, entries)) + 5)))
    legend = LINE * (-(-len(entries) // beside) - 1)
    with styled():
        figure, axes = panels(columns, len(shown), height=min(2.35 + legend / len(shown), TALLEST / len(shown)))
        for row, (size, picture) in zip(axes, shown.items(), strict=True):
            for panel, step in zip(row, picture.time_step.values, strict=True):
                _scatter(panel, picture.sel(time_step=step), f"H = {size}, step {step}", len(entries), large=True)
        figure.legend(
            handles=[
                Line2D([], [], color=colour, marker="o", markersize=4, linestyle="", label=entry)
                for entry, colour in zip(entries, colours(len(entries)), strict=True)
            ],
            loc="outside upper center",
            ncols=min(len(entries), beside),
            handletextpad=0.1,
            columnspacing=1,
        )
    first = next(iter(shown.values()))
    seeds = ", ".join(f"seed {picture.attrs['seed']} at H = {size}" for size, picture in shown.items())
    return Figure(
        "embedding",
        figure,
        f"Do images of the same class have similar hidden states? {NAMES[first.attrs['method']]} of the hidden states for "
        f"{first.sizes['image']:,} test images, coloured by their true class, in one network per hidden size: the one nearest the "
        f"median test accuracy ({seeds}). Each class is printed where its points are densest (classes overlap where their points "
        f"do). Each panel is initialised with the one to its left. Below each panel: the share of an image's ten nearest "
        f"neighbours that show its class, among the states and in the plane, and the share of neighbours that the plane keeps. "
        f"Single networks, so there are no bands. Distances between clusters mean little.",
        "Scatter plots of the images, one for each hidden size and time step, coloured by class.",
        _numbers(shown),
    )


def embedding_steps(analysis: Analysis) -> Figure | None:
    """Every time step of the representative network of the largest hidden size; None where not all steps were embedded."""
    if not analysis.embeddings:
        return None
    size, picture = max(analysis.embeddings.items())
    steps = picture.time_step.values
    if len(steps) <= len(chosen_steps(image_rows(analysis.dataset))):
        return None
    every = -(-len(steps) // MOST_STEPS)
    steps = steps[every - 1 :: every]
    rows = -(-len(steps) // COLUMNS)
    columns = -(-len(steps) // rows)  # the last row is as full as can be
    classes = analysis.dataset.sizes["label"]
    with styled():
        figure, axes = panels(columns, rows, height=1.05 * COLUMNS / columns)
        grid = [panel for row in axes for panel in row]
        for panel, step in zip(grid, steps, strict=False):
            _scatter(panel, picture.sel(time_step=step), str(step), classes, large=False)
        for panel in grid[len(steps) :]:
            panel.set_visible(False)
    return Figure(
        "embedding_steps",
        figure,
        f"{NAMES[picture.attrs['method']]} of the hidden states after {'each row' if every == 1 else f'every {every} rows'}, for "
        f"the same network (H = {size}, seed {picture.attrs['seed']}) and images. Each step is initialised with the one before; "
        "colours as above.",
        "Small scatter plots of the images, one for each time step, coloured by class.",
        _numbers({size: picture}).drop(columns=["x", "y", "image", "label"]).drop_duplicates(),
    )


def _scatter(axes: Axes, picture: xr.Dataset, title: str, classes: int, large: bool) -> None:
    x, y = picture.points.values.T
    label = picture.label.values
    order = np.random.default_rng(0).permutation(len(label))  # no class lies on top of the others
    axes.scatter(
        x[order],
        y[order],
        c=np.array(colours(classes))[label[order]],
        s=(1.2 if large else 0.25) * max(1.0, min(LARGEST_POINT, MANY / len(label))),
        linewidth=0,
        rasterized=True,
    )
    for d in np.unique(label) if large else []:
        axes.text(
            *_centre(x[label == d], y[label == d]),
            str(d),
            ha="center",
            va="center",
            fontsize=8 if classes <= MOST_COLUMNS else 5.5,
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
            f"{float(picture.agreement_states):.0%} among states, {float(picture.agreement_plane):.0%} in plane, "
            f"{float(picture.neighbours_kept):.0%} kept",
            fontsize=6,
        )


def _centre(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The densest point: the one whose nearest tenth of the others is closest. A mean could lie between clusters."""
    some = slice(None, None, max(1, len(x) // 500))  # a few hundred of thousands of points are enough
    x, y = x[some], y[some]
    distances = np.hypot(x[:, None] - x, y[:, None] - y)
    densest = np.sort(distances, axis=1)[:, len(x) // 10].argmin()
    return float(x[densest]), float(y[densest])


def _numbers(shown: dict[int, xr.Dataset]) -> pd.DataFrame:
    tables = []
    for size, picture in shown.items():
        flat = picture.assign(x=picture.points.isel(axis=0), y=picture.points.isel(axis=1)).drop_vars("points")
        tables.append(flat.to_dataframe().reset_index().assign(hidden_size=size))
    return pd.concat(tables, ignore_index=True)
