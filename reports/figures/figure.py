"""A figure together with what a reader needs to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from analysis.findings import CurveBands, present, step_curves
from analysis.study_analysis import Analysis
from reports.style import GREY, panels, styled


@dataclass(frozen=True)
class Figure:
    """A drawing, its `caption` (n, hidden sizes, band and level), its `description` in words for those who cannot see it,
    and the `numbers` behind it."""

    name: str
    drawing: Drawing
    caption: str
    description: str
    numbers: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Writes `name.svg`, byte for byte the same for the same data, `name.png` for previews, and `name.csv`."""
        with styled():
            self.drawing.savefig(folder / f"{self.name}.svg", metadata={"Date": None})
            self.drawing.savefig(folder / f"{self.name}.png", dpi=200, metadata={"Software": None})
        self.numbers.to_csv(folder / f"{self.name}.csv", index=False)


def sizes(analysis: Analysis) -> list[int]:
    """The hidden sizes that have networks."""
    return [int(h) for h in analysis.dataset.hidden_size.values if present(analysis.dataset, int(h)).sizes["seed"]]


def counts(analysis: Analysis) -> str:
    """The networks a hidden size, for captions."""
    return ", ".join(f"{present(analysis.dataset, h).sizes['seed']} at H = {h}" for h in sizes(analysis))


def curve_panels(
    analysis: Analysis, variables: Sequence[tuple[str, str, str, str]], x: str, ticks: Sequence[int], y: str, scale: float = 1.0
) -> tuple[Drawing, list[Axes]]:
    """A panel a hidden size, each with the same variables: (name, label, colour, line style). Digits are averaged over."""
    shown = sizes(analysis)
    figure, [row] = panels(len(shown), height=2.5, sharey=True)
    for axes, size in zip(row, shown, strict=True):
        networks = present(analysis.dataset, size)
        for name, label, colour, style in variables:
            curves = step_curves(networks[name])
            draw_curves(axes, curves[curves.dims[1]].values, curves.values, analysis.findings.band(name, size), colour, style,
                        label, scale)
        axes.set(title=f"H = {size}", xlabel=x, xticks=ticks)
    row[0].set_ylabel(y)
    figure.legend(*row[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(variables))
    return figure, row


def draw_curves(axes: Axes, steps: np.ndarray, curves: np.ndarray, band: CurveBands | None, colour: str, style: str,
                label: str, scale: float = 1.0) -> None:
    """Every network as a thin line, and their mean with its band; the plain mean where the band is withheld."""
    axes.plot(steps, scale * curves.T, color=colour, linewidth=0.4, alpha=0.35, linestyle=style)
    if band is None:
        axes.plot(steps, scale * curves.mean(axis=0), color=colour, linestyle=style, label=label)
        return
    axes.fill_between(steps, scale * band.band.lower, scale * band.band.upper, color=colour, alpha=0.25, linewidth=0)
    axes.plot(steps, scale * band.band.mean, color=colour, linestyle=style, label=label)


def band_words(analysis: Analysis) -> str:
    """What the shaded bands are, and where there is none."""
    bands = analysis.findings.bands
    words = ["Thin lines: single networks."]
    if bands:
        words.append(f"Thick lines and shading: mean and its simultaneous {bands[0].band.level:.0%} confidence band "
                     "(sup-t over the whole curve, networks as the unit; on the logit scale for accuracies).")
    if withheld := [f"H = {h}" for h, n in analysis.findings.withheld.items() if n]:
        words.append(f"No band at {', '.join(withheld)}: fewer than 6 networks; the thick line is their mean.")
    return " ".join(words)


def curve_numbers(analysis: Analysis, variables: list[str]) -> pd.DataFrame:
    """The mean and band of variables, as a long table: a row a hidden size, variable and step."""
    frames = []
    for size in sizes(analysis):
        networks = present(analysis.dataset, size)
        for name in variables:
            found = analysis.findings.band(name, size)
            curves = step_curves(networks[name])
            dimension = curves.dims[1]
            nothing = np.full(curves.sizes[dimension], np.nan)
            frames.append(pd.DataFrame({
                "hidden_size": size, "variable": name, "step_name": dimension, "step": curves[dimension].values,
                "n": networks.sizes["seed"],
                "mean": found.band.mean if found else curves.mean("seed").values,
                "lower": found.band.lower if found else nothing,
                "upper": found.band.upper if found else nothing,
            }))
    return pd.concat(frames, ignore_index=True)


def reference(axes: Axes, value: float, **options) -> None:
    """A thin grey line to read a curve against."""
    axes.axhline(value, color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0, **options)
