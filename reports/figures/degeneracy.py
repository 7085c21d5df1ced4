"""How alike the solutions are: distances between networks, in weights, dynamics and behaviour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.states.degeneracy import BLANK_ROWS, CONDITIONS, NOISE, SHIFT, pseudovalues
from analysis.statistics.contrast import slope
from analysis.statistics.intervals import mean_interval
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure
from reports.figures.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, VERMILION, panels, styled

LEVELS = (
    ("weight_distance", "weights", "distance", 1.0),
    ("mode_distance", "dynamics: modes", "distance (octaves)", 1.0),
    ("dsa_distance", "dynamics: DSA", "distance", 1.0),
    ("disagreement", "behaviour", "disagreement (%)", 100.0),
)
COLOURS = dict(zip(CONDITIONS, (INK, BLUE, GREEN, ORANGE, PURPLE), strict=True))


def degeneracy(analysis: Analysis) -> Figure | None:
    """The mean distance over pairs of networks, with its interval, against the hidden size, trained and untrained."""
    if not analysis.degeneracies:
        return None
    rows, by_size = [], defaultdict(list)
    for size, pairs in sorted(analysis.degeneracies.items()):
        for name, *_ in LEVELS:
            for condition in CONDITIONS if name == "disagreement" else ("",):
                for source in pairs.source.values:
                    chosen = pairs[name].sel(source=source)
                    values = pseudovalues((chosen.sel(condition=condition) if condition else chosen).values)
                    mean = mean_interval(values)
                    most = 1.0 if name == "disagreement" else np.inf
                    limits = max(mean.lower, 0.0), min(mean.upper, most)
                    rows.append((size, name, condition, str(source), mean.n, mean.value, *limits))
                    if source == "trained":
                        by_size[name, condition].append(values)
    columns = ["hidden_size", "distance", "condition", "source", "networks", "mean", "lower", "upper"]
    table = pd.DataFrame(rows, columns=columns).dropna(subset=["mean"])
    levels = [level for level in LEVELS if level[0] in set(table.distance)]
    if not levels:
        return None
    with styled():
        figure, [row] = panels(len(levels), height=2.6)
        for axes, (name, title, label, scale) in zip(row, levels, strict=True):
            part = table.loc[table["distance"] == name]
            for condition, source in dict.fromkeys(zip(part["condition"], part["source"], strict=True)):
                one = part.loc[(part["condition"] == condition) & (part["source"] == source)]
                colour = COLOURS.get(condition, VERMILION)
                mean, lower, upper = (scale * one[limit].to_numpy() for limit in ("mean", "lower", "upper"))
                axes.errorbar(
                    one["hidden_size"],
                    mean,
                    np.stack([mean - lower, upper - mean]),
                    color=colour if source == "trained" else GREY,
                    linestyle="-" if source == "trained" else ":",
                    marker="o",
                    markersize=3,
                    linewidth=1,
                    label=condition if condition and source == "trained" else None,
                )
            ticks = sorted(set(part["hidden_size"]))
            axes.set(title=title, xscale="log", xlabel="hidden size", ylabel=label, xticks=ticks, xticklabels=ticks)
            axes.minorticks_off()
            axes.set_xlim(ticks[0] / 1.3, ticks[-1] * 1.3)
            axes.set_ylim(bottom=0)
        if any(name == "disagreement" for name, *_ in levels):
            figure.legend(*row[-1].get_legend_handles_labels(), loc="outside upper center", ncols=len(CONDITIONS))
    counted = ", ".join(f"{pairs.sizes['seed']} at H = {size}" for size, pairs in sorted(analysis.degeneracies.items()))
    return Figure(
        "degeneracy",
        figure,
        "How alike the solutions are: mean distance between two networks of one size, at the three levels of Huang, Singh, "
        "Martinelli and Rajan (2025). Weights: Frobenius distance up to the order and signs of the units (0: the same; 1: nothing "
        "in common). Dynamics: Wasserstein distance between the log periods of the modes that saturation leaves, weighed by "
        "energy; and, where the package dsa-metric is installed, Dynamical Similarity Analysis. Behaviour: test images that two "
        f"networks label differently: as they are (clean), after {BLANK_ROWS} blank rows, after half the rows (truncated), with "
        f"noise of standard deviation {NOISE:g}, and shifted by {SHIFT} pixels. Coloured: trained networks; grey and dotted: "
        f"untrained ones. Bars: 95% intervals by the jackknife over networks, since pairs share them. Networks: {counted}."
        f"{_trends(by_size, sorted(analysis.degeneracies))}",
        "Line charts of mean distances between networks against hidden size, for weights, dynamics and behaviour.",
        table,
    )


def _trends(by_size: Mapping[tuple[str, str], Sequence[np.ndarray]], sizes: Sequence[int]) -> str:
    """How each distance of trained networks changes per doubling of the hidden size, in words."""
    told = []
    for (name, condition), groups in by_size.items():
        scale, title = next((scale, title) for level, title, _, scale in LEVELS if level == name)
        change, _ = slope(np.log2(sizes), groups)
        if np.isfinite(change.lower):
            limits = f"{scale * change.value:+.2g} [{scale * change.lower:+.2g}, {scale * change.upper:+.2g}]"
            told.append(f"{condition or title} {limits}")
    return f" Change per doubling of the hidden size, trained networks: {'; '.join(told)}." if told else ""
