"""Which labels the readout predicts as blank rows follow the image."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from analysis.claims.findings import representatives
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, heat, label_ticks
from reports.figures.style import panels, styled


def predicted(analysis: Analysis) -> Figure | None:
    """The share of images given each label, in the representative network of each hidden size; one row per hidden size."""
    chosen = representatives(analysis.dataset)
    if not chosen or "predicted" not in analysis.dataset:
        return None
    names = ", ".join(f"seed {seed} at H = {size}" for size, seed in chosen.items())
    frames, images = [], []
    with styled():
        figure, grid = panels(1, len(chosen), height=1.6, sharex=True)
        brightest = 100 * max(float(_shares(analysis, size, seed).max()) for size, seed in chosen.items())
        for [axes], (size, seed) in zip(grid, chosen.items(), strict=True):
            shares = _shares(analysis, size, seed)
            images.append(heat(axes, shares, (0, 0), upside_down=True, vmax=brightest))
            axes.set_ylabel("class")
            label_ticks(axes, analysis.dataset)
            axes.set_title(f"H = {size}, seed {seed}", loc="left")
            frames.append(shares.rename("share").to_dataframe().reset_index())
        grid[-1][0].set_xlabel("blank rows after the image")
        figure.colorbar(images[-1], ax=[axes for [axes] in grid], label="images (%)", aspect=40)
    return Figure(
        "predicted",
        figure,
        f"Which labels the network cycles through: the share of the test images that the readout gives each label, against the "
        f"number of blank rows after the image. One network per hidden size, the one nearest the median test accuracy ({names}); "
        f"no mean is drawn, because networks differ in phase.",
        "Heat maps of the share of images given each label against blank rows, one for each hidden size.",
        pd.concat(frames, ignore_index=True),
    )


def _shares(analysis: Analysis, size: int, seed: int) -> xr.DataArray:
    return analysis.dataset.predicted.sel(hidden_size=size, seed=seed).transpose("label", "blank_rows")
