"""What networks do once their strongest mode, or a random subspace of the same energy, is taken out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from analysis.claims.sample import present
from analysis.statistics.intervals import mean_interval
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, sizes, sizes_in_colour
from reports.figures.style import GREY, panels, styled
from study.measurements.interventions import BLANK_ROWS, IMAGES, SLOWER, TRANSIENT

CHANGES = (  # in the words of the axis, and where the outcomes are
    ("as it is", "intact_outcome"),
    ("R without\nthe mode", "without_mode_outcome"),
    ("R without a\nsubspace", "without_plane_outcome"),
    ("mode\nslower", "slower_mode_outcome"),
    ("readout\nwithout it", "unread_mode_outcome"),
    ("readout without\na subspace", "unread_plane_outcome"),
)
OUTCOMES = ("test accuracy (%)", "lost by one blank row (points)", "oscillation (points)")


def interventions(analysis: Analysis) -> Figure | None:
    """The mean of each outcome over networks, with its interval, for each change of the strongest mode."""
    if not set(analysis.dataset) >= {name for _, name in CHANGES}:
        return None
    rows = [
        (h, words.replace("\n", " "), outcome, mean.n, mean.value, mean.lower, mean.upper)
        for h in sizes(analysis)
        for words, name in CHANGES
        for outcome, values in zip(OUTCOMES, _of_strongest(present(analysis.dataset, h)[name]), strict=True)
        for mean in [mean_interval(100 * values)]
    ]
    table = pd.DataFrame(rows, columns=["hidden_size", "change", "outcome", "networks", "mean", "lower", "upper"])
    table = table.dropna(subset=["mean"])
    if set(table["change"]) <= {CHANGES[0][0]}:
        return None
    place = {words.replace("\n", " "): number for number, (words, _) in enumerate(CHANGES)}
    with styled():
        figure, rows_of_axes = panels(1, 3, height=1.7, sharex=True)
        bottom = rows_of_axes[-1][0]
        for (axes,), outcome in zip(rows_of_axes, OUTCOMES, strict=True):
            shifts = np.linspace(-0.2, 0.2, len(sizes(analysis))) if len(sizes(analysis)) > 1 else [0.0]
            for (h, colour, marker), shift in zip(sizes_in_colour(analysis), shifts, strict=True):
                one = table.loc[(table["hidden_size"] == h) & (table["outcome"] == outcome)]
                mean, lower, upper = (one[limit].to_numpy() for limit in ("mean", "lower", "upper"))
                at = np.array([place[change] for change in one["change"]]) + shift
                bars = np.nan_to_num(np.stack([mean - lower, upper - mean]))
                axes.errorbar(at, mean, bars, color=colour, marker=marker, markersize=4, linestyle="", label=f"H = {h}")
            axes.axhline(0, color=GREY, linewidth=0.7, zorder=0.5)
            axes.set_ylabel(outcome.replace(" (", "\n("))
        bottom.set_xticks(range(len(CHANGES)), [words for words, _ in CHANGES])
        figure.legend(*rows_of_axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return Figure(
        "interventions",
        figure,
        "What the strongest mode is needed for. Left to right: the network as it is; with the mode taken out of R by its spectral "
        "projector; with a random subspace taken out of R that has the same number of dimensions and the same energy at the last "
        f"row; with the mode's period {SLOWER:g} times as long; with the mode's plane hidden from the readout; and with such a "
        f"subspace hidden from it. On {IMAGES:,} test images: accuracy, what one blank row costs, and the standard deviation of "
        f"the accuracy after {TRANSIENT} to {BLANK_ROWS} blank rows. Means over networks with 95% intervals. Networks: "
        f"{counts(analysis)}.",
        "Three point charts of accuracy, loss by one blank row and oscillation for six changes of the network.",
        table,
    )


def _of_strongest(outcomes: xr.DataArray) -> np.ndarray:
    """The outcomes `[3, networks]` of the strongest mode, averaged over its random subspaces."""
    chosen = outcomes.isel(neutral_mode=0) if "neutral_mode" in outcomes.dims else outcomes
    return (chosen.mean("plane") if "plane" in chosen.dims else chosen).transpose("outcome", "seed").values
