"""Figure 1b: accuracy under hundreds of blank rows, network by network."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.image import AxesImage
from matplotlib.ticker import NullFormatter

from analysis.claims.finding import LEVEL
from analysis.claims.findings import representatives
from analysis.claims.sample import present
from analysis.statistics.phase import PHASES
from analysis.study_analysis import Analysis
from reports.figures.figure import PERIODS, Figure, counts, heat, plain_ticks, reference, sizes
from reports.figures.style import GREY, INK, WIDTH, styled
from study.periodogram import SHORTEST, TRANSIENT

TALLEST = 8.3  # inches: what a page has left beside heading and caption
NAMED = 12  # networks of a hidden size at most whose seeds are written


def oscillation(analysis: Analysis) -> Figure | None:
    """For each hidden size one network's curve, all networks as a raster sorted by period, one cycle, and their spectra."""
    shown = sizes(analysis)
    if not shown or analysis.dataset.blank_rows.size < TRANSIENT + SHORTEST:
        return None
    chosen, brightest = representatives(analysis.dataset), _brightest(analysis, shown)
    with styled():
        figure = Drawing(figsize=(WIDTH, min(2.55 * len(shown), TALLEST)), layout="constrained")
        grid = figure.add_gridspec(2 * len(shown), 2, width_ratios=[2.2, 1], height_ratios=[1, 1.25] * len(shown))
        blocks = [[figure.add_subplot(grid[2 * row + part // 2, part % 2]) for part in range(4)] for row in range(len(shown))]
        images = []
        for (single, cycle, raster, spectrum), size in zip(blocks, shown, strict=True):
            _single(single, analysis, size, chosen[size])
            images.append(_raster(raster, analysis, size, brightest))
            _cycle(cycle, analysis, size)
            _spectrum(spectrum, analysis, size)
        for axes, label in zip(blocks[-1][1:], ("phase of the cycle", "blank rows after the image", "period (rows)"), strict=True):
            axes.set_xlabel(label)  # below the last hidden size alone
        figure.colorbar(
            images[-1],
            ax=figure.axes,
            location="top",
            shrink=0.35,
            aspect=40,
            label="test accuracy (%)",
            extend="neither" if brightest == 100 else "max",
        )
    numbers = [
        analysis.findings.oscillations[size].periods(present(analysis.dataset, size).seed.values).assign(hidden_size=size)
        for size in shown
    ]
    asterisk = " (an asterisk marks those that do not)" if max(map(len, numbers)) <= NAMED else ""
    return Figure(
        "oscillation",
        figure,
        f"Test accuracy after blank rows appended to the whole image (experiment 3). Left: the network nearest the median "
        f"accuracy, and all networks as a raster, those that oscillate first, by period{asterisk}. Right: one cycle of each "
        f"network that oscillates, about its mean accuracy (grey; its peak at phase 0, found on the other half of the images), "
        f"and their mean with its simultaneous {LEVEL:.0%} band where there are at least 6; and each network's periodogram "
        f"after {TRANSIENT} rows, over that of red noise with the same lag-one correlation (grey), and their mean (black); "
        f"triangles: the periods of networks that oscillate (by the rule under Methods). Networks differ in phase, so their "
        f"mean curve says nothing. Networks: {counts(analysis)}.",
        "For each hidden size a curve of accuracy against blank rows for one network, a raster of all networks, one cycle of those "
        "that oscillate, and their spectra.",
        pd.concat(numbers, ignore_index=True),
    )


def _single(axes: Axes, analysis: Analysis, size: int, seed: int) -> None:
    curve = 100 * analysis.dataset.accuracy_appended.sel(hidden_size=size, seed=seed)
    axes.plot(curve.blank_rows, curve, color=INK, linewidth=0.8)
    axes.set(ylim=(0, 100), xlim=(0, curve.blank_rows[-1]), yticks=[0, 50, 100], ylabel="accuracy (%)")
    axes.set_title(f"H = {size}: seed {seed} alone, and all networks below", loc="left")
    axes.xaxis.set_major_formatter(NullFormatter())


def _raster(axes: Axes, analysis: Analysis, size: int, brightest: float) -> AxesImage:
    """A line a network: those that oscillate first, from short to long period."""
    curves, found = present(analysis.dataset, size).accuracy_appended, analysis.findings.oscillations[size]
    order = np.lexsort((np.array([test.period for test in found.tests]), ~found.oscillates))
    if len(order) <= NAMED:
        labels = [f"{int(curves.seed[i])}{'' if found.oscillates[i] else '*'}" for i in order]
        axes.set_yticks(range(len(order)), labels, fontsize=6)
    axes.set_ylabel("seed" if len(order) <= NAMED else "network")
    for side in axes.spines.values():
        side.set_visible(False)
    return heat(axes, curves[order], (0, 0), upside_down=True, vmax=brightest)


def _spectrum(axes: Axes, analysis: Analysis, size: int) -> None:
    found = analysis.findings.oscillations[size]
    spectra = found.moving_spectra
    if len(spectra):
        axes.plot(1 / found.frequencies, spectra.T, color=GREY, linewidth=0.4, alpha=0.6)
        axes.plot(1 / found.frequencies, found.mean_spectrum, color=INK, linewidth=1.0)
    top = 1.3 * max(spectra.max(initial=0), 10)
    axes.scatter(found.confirmed_periods, np.full(len(found.tests), top), marker="v", s=12, color=INK, clip_on=False, linewidth=0)
    longest = (analysis.dataset.blank_rows.size - TRANSIENT) / 3
    axes.set(xscale="log", yscale="log", ylim=(1, top), xlim=(2, longest), ylabel="power ratio")
    plain_ticks(axes.xaxis, PERIODS)
    plain_ticks(axes.yaxis, (1, 10, 100))


def _cycle(axes: Axes, analysis: Analysis, size: int) -> None:
    """One cycle, and the phase it begins with again."""
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], ylabel="about\nmean (%)")
    reference(axes, 0)
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
