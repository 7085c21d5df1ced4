"""Figure 1b: accuracy under hundreds of blank rows, network by network."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import NullFormatter

from analysis.findings import present
from analysis.ledger import LEVEL
from analysis.phase import PHASES
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, sizes
from reports.style import GREY, INK, WIDTH, styled
from study.spectrum import SHORTEST, TRANSIENT

TALLEST = 8.3  # inches: what a page has left beside heading and caption


def oscillation(analysis: Analysis) -> Figure | None:
    """For each hidden size one network's curve, all networks as a raster sorted by period, and their spectra."""
    shown = sizes(analysis)
    if not shown or analysis.dataset.blank_rows.size < TRANSIENT + SHORTEST:
        return None
    rows: list[pd.DataFrame] = []
    with styled():
        figure = Drawing(figsize=(WIDTH, min(2.55 * len(shown), TALLEST)))
        grid = figure.add_gridspec(2 * len(shown), 2, width_ratios=[2.2, 1], height_ratios=[1, 1.25] * len(shown))
        image, brightest = None, _brightest(analysis, shown)
        for index, size in enumerate(shown):
            networks, found = present(analysis.dataset, size), analysis.findings.oscillations[size]
            curves, blank = 100 * networks.accuracy_appended.values, networks.blank_rows.values
            periods = np.array([test.period for test in found.tests])
            order = np.lexsort((periods, ~found.oscillates))
            last = index == len(shown) - 1

            single = figure.add_subplot(grid[2 * index, 0])
            nearest = int(np.abs(curves[:, 0] - np.median(curves[:, 0])).argmin())
            single.plot(blank, curves[nearest], color=INK, linewidth=0.8)
            single.set(ylim=(0, 100), xlim=(0, blank[-1]), yticks=[0, 50, 100], ylabel="accuracy (%)")
            single.set_title(f"H = {size}: seed {int(networks.seed.values[nearest])} alone, and all networks below",
                             loc="left")
            single.xaxis.set_major_formatter(NullFormatter())

            raster = figure.add_subplot(grid[2 * index + 1, 0])
            image = raster.imshow(curves[order], aspect="auto", interpolation="nearest", cmap="cividis", vmin=0, vmax=brightest,
                                  extent=(-0.5, blank[-1] + 0.5, len(order) - 0.5, -0.5))
            labels = [f"{int(networks.seed.values[i])}{'' if found.oscillates[i] else '*'}" for i in order]
            if len(order) <= 12:
                raster.set_yticks(range(len(order)), labels, fontsize=6)
            raster.set_ylabel("seed" if len(order) <= 12 else "network")
            raster.set_xlabel("blank rows after the image" if last else "")
            for side in raster.spines.values():
                side.set_visible(False)

            turn = figure.add_subplot(grid[2 * index, 1])
            _cycle(turn, analysis, size)
            turn.set_xlabel("phase of the cycle" if last else "")

            spectrum = figure.add_subplot(grid[2 * index + 1, 1])
            spectra = found.spectra[found.spectra.any(axis=1)]  # a constant curve has no spectrum
            if len(spectra):
                spectrum.plot(1 / found.frequencies, spectra.T, color=GREY, linewidth=0.4, alpha=0.6)
                spectrum.plot(1 / found.frequencies, found.mean_spectrum, color=INK, linewidth=1.0)
            top = 1.3 * max(spectra.max(initial=0), 10)
            spectrum.scatter(periods[found.oscillates], np.full(found.oscillates.sum(), top), marker="v", s=12, color=INK,
                             clip_on=False, linewidth=0)
            spectrum.set(xscale="log", yscale="log", ylim=(1, top), xlim=(2, (len(blank) - TRANSIENT) / 3))
            spectrum.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
            spectrum.xaxis.set_minor_formatter(NullFormatter())
            spectrum.set_ylabel("power ratio")
            spectrum.set_xlabel("period (rows)" if last else "")
            rows.append(found.periods(networks.seed.values).assign(hidden_size=size))
        figure.colorbar(image, ax=figure.axes, location="top", shrink=0.35, aspect=40, label="test accuracy (%)",
                        extend="neither" if brightest == 100 else "max")
    return Figure(
        "oscillation",
        figure,
        f"Test accuracy after blank rows appended to the whole image (experiment 3). Left: the network nearest the median "
        f"accuracy, and all networks as a raster, sorted by period (an asterisk marks those whose oscillation is not beyond "
        f"red noise). Right: one cycle of each network that oscillates, about its mean accuracy (grey; its peak at phase 0, found "
        f"on the other half of the images), and their mean with its simultaneous {LEVEL:.0%} band where there are at least 6; and "
        f"each network's periodogram after {TRANSIENT} rows, over that of red noise with the same lag-one correlation (grey), "
        f"and their mean (black); triangles: the periods of networks that oscillate (Benjamini-Hochberg at 5%). Networks differ in "
        f"phase, so their mean curve says nothing. Networks: {counts(analysis)}.",
        "For each hidden size a curve of accuracy against blank rows for one network, a raster of all networks, one cycle of those "
        "that oscillate, and their spectra. The numbers are in oscillation.csv.",
        pd.concat(rows, ignore_index=True),
    )


def _cycle(axes: Axes, analysis: Analysis, size: int) -> None:
    """One cycle, and the phase it begins with again."""
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], ylabel="about mean (%)")
    axes.axhline(0, color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0)
    found = analysis.findings.cycles.get(size)
    if found is None:
        axes.text(0.5, 0.5, "no network oscillates", transform=axes.transAxes, ha="center", va="bottom", color=GREY)
        axes.set_yticks([])
        return
    phases = np.arange(PHASES + 1) / PHASES
    closed = 100 * np.concatenate([found.curves, found.curves[:, :1]], axis=1)
    axes.plot(phases, closed.T, color=GREY, linewidth=0.4, alpha=0.6)
    axes.plot(phases, closed.mean(axis=0), color=INK, linewidth=1.0)
    if found.band:
        lower, upper = (100 * np.append(limit, limit[0]) for limit in (found.band.lower, found.band.upper))
        axes.fill_between(phases, lower, upper, color=INK, alpha=0.2, linewidth=0)


def _brightest(analysis: Analysis, shown: list[int]) -> float:
    """The accuracy, in percent, at the end of the colour scale: all but the highest half percent of values lie below."""
    values = [present(analysis.dataset, size).accuracy_appended.values[:, 1:].ravel() for size in shown]
    return float(min(100, 10 * np.ceil(10 * np.quantile(np.concatenate(values), 0.995))))
