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
from reports.figures.figure import TALLEST, Figure, counts, heat, period_ticks, plain_ticks, reference, sizes
from reports.figures.style import GREY, INK, WIDTH, styled
from study.harmonics import ACCURACY_TRANSIENT, SHORTEST

NAMED = 12  # seeds are written out for up to this many networks per hidden size


def oscillation(analysis: Analysis) -> Figure | None:
    """For each hidden size: one network's curve, a heat map of all networks sorted by period, one cycle, and the periodograms."""
    shown = sizes(analysis)
    if not shown or analysis.dataset.blank_rows.size < ACCURACY_TRANSIENT + SHORTEST:
        return None
    chosen, brightest = representatives(analysis.dataset), _brightest(analysis, shown)
    with styled():
        figure = Drawing(figsize=(WIDTH, min(2.55 * len(shown), TALLEST)), layout="constrained")
        grid = figure.add_gridspec(2 * len(shown), 2, width_ratios=[2.2, 1], height_ratios=[1, 1.25] * len(shown))
        blocks = [[figure.add_subplot(grid[2 * row + part // 2, part % 2]) for part in range(4)] for row in range(len(shown))]
        images = []
        for (single, cycle, raster, periodogram), size in zip(blocks, shown, strict=True):
            _single(single, analysis, size, chosen[size])
            images.append(_raster(raster, analysis, size, brightest))
            _cycle(cycle, analysis, size)
            _periodogram(periodogram, analysis, size)
        for axes, label in zip(blocks[-1][1:], ("phase of the cycle", "blank rows after the image", "period (rows)"), strict=True):
            axes.set_xlabel(label)  # only below the last hidden size
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
        f"Does test accuracy oscillate when blank rows follow the whole image (experiment 3)? Left: the network nearest the median "
        f"accuracy, and below it all networks, one line each; oscillating networks come first, sorted by period{asterisk}. Right, "
        f"top: one cycle of each oscillating network about its mean accuracy (grey; aligned by the phase of the other half of the "
        f"images), and their mean with its simultaneous {LEVEL:.0%} band where there are at least 6. Right, bottom: each network's "
        f"periodogram after {ACCURACY_TRANSIENT} rows, relative to its smooth background (grey), and their "
        f"mean (black); triangles mark the periods of oscillating networks (rule under Methods). Networks differ in phase, so a "
        f"mean of their curves would say nothing. Networks: {counts(analysis)}.",
        "For each hidden size a line chart of accuracy against blank rows for one network, a heat map of all networks, one cycle "
        "of those that oscillate, and their periodograms.",
        pd.concat(numbers, ignore_index=True),
    )


def _single(axes: Axes, analysis: Analysis, size: int, seed: int) -> None:
    curve = 100 * analysis.dataset.accuracy_appended.sel(hidden_size=size, seed=seed)
    axes.plot(curve.blank_rows, curve, color=INK, linewidth=0.8)
    axes.set(ylim=(0, 100), xlim=(0, curve.blank_rows[-1]), yticks=[0, 50, 100], ylabel="accuracy (%)")
    axes.set_title(f"H = {size}: seed {seed} alone, and all networks below", loc="left")
    axes.xaxis.set_major_formatter(NullFormatter())


def _raster(axes: Axes, analysis: Analysis, size: int, brightest: float) -> AxesImage:
    """One line per network: those that oscillate first, from short to long period."""
    curves, result = present(analysis.dataset, size).accuracy_appended, analysis.findings.oscillations[size]
    order = np.lexsort((np.array([test.period for test in result.tests]), ~result.oscillates))
    if len(order) <= NAMED:
        labels = [f"{int(curves.seed[i])}{'' if result.oscillates[i] else '*'}" for i in order]
        axes.set_yticks(range(len(order)), labels, fontsize=6)
    axes.set_ylabel("seed" if len(order) <= NAMED else "network")
    for side in axes.spines.values():
        side.set_visible(False)
    return heat(axes, curves[order], (0, 0), upside_down=True, vmax=brightest)


def _periodogram(axes: Axes, analysis: Analysis, size: int) -> None:
    result = analysis.findings.oscillations[size]
    periodograms = result.moving_spectra
    if len(periodograms):
        axes.plot(1 / result.frequencies, periodograms.T, color=GREY, linewidth=0.4, alpha=0.6)
        axes.plot(1 / result.frequencies, result.mean_spectrum, color=INK, linewidth=1.0)
    top = 1.3 * max(periodograms.max(initial=0), 10)
    axes.scatter(result.confirmed_periods, np.full(len(result.tests), top), marker="v", s=12, color=INK, clip_on=False, linewidth=0)
    longest = (analysis.dataset.blank_rows.size - ACCURACY_TRANSIENT) / 3
    axes.set(xscale="log", yscale="log", ylim=(1, top), xlim=(2, longest), ylabel="power ratio")
    period_ticks(axes.xaxis, (2, longest))
    plain_ticks(axes.yaxis, (1, 10, 100))


def _cycle(axes: Axes, analysis: Analysis, size: int) -> None:
    """One cycle; its first phase is repeated at the end."""
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], ylabel="about\nmean (%)")
    reference(axes, 0)
    cycle = analysis.findings.cycles.get(size)
    if cycle is None:
        axes.text(0.5, 0.5, "no network oscillates", transform=axes.transAxes, ha="center", va="bottom", color=GREY)
        axes.set_yticks([])
        return
    phases = np.arange(PHASES + 1) / PHASES
    closed = 100 * np.concatenate([cycle.curves, cycle.curves[:, :1]], axis=1)
    axes.plot(phases, closed.T, color=GREY, linewidth=0.4, alpha=0.6)
    axes.plot(phases, closed.mean(axis=0), color=INK, linewidth=1.0)
    if cycle.band:
        lower, upper = (100 * np.append(limit, limit[0]) for limit in (cycle.band.lower, cycle.band.upper))
        axes.fill_between(phases, lower, upper, color=INK, alpha=0.2, linewidth=0)


def _brightest(analysis: Analysis, shown: list[int]) -> float:
    """The accuracy (percent) at the end of the colour scale: 99.5% of the values lie below it."""
    values = [present(analysis.dataset, size).accuracy_appended.values[:, 1:].ravel() for size in shown]
    return float(min(100, 10 * np.ceil(10 * np.quantile(np.concatenate(values), 0.995))))
