"""Which labels the readout gives, blank row after blank row."""

from __future__ import annotations

import pandas as pd
import xarray as xr

from analysis.claims.findings import representatives
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, heat
from reports.figures.style import panels, styled


def predicted(analysis: Analysis) -> Figure | None:
    """The share of images given each label, in the representative network of each hidden size; a row a hidden size."""
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
            axes.set(ylabel="label", yticks=shares.digit.values)
            axes.set_title(f"H = {size}, seed {seed}", loc="left")
            frames.append(shares.rename("share").to_dataframe().reset_index())
        grid[-1][0].set_xlabel("blank rows after the image")
        figure.colorbar(images[-1], ax=[axes for [axes] in grid], label="images (%)", aspect=40)
    return Figure(
        "predicted",
        figure,
        f"The share of the test images to which the readout gives each label, as blank rows follow the image: in the network of "
        f"each hidden size whose test accuracy is nearest the median ({names}). Single networks, because the phases of different "
        f"networks differ.",
        "Rasters of the share of images given each label against blank rows, one for each hidden size.",
        pd.concat(frames, ignore_index=True),
    )


def _shares(analysis: Analysis, size: int, seed: int) -> xr.DataArray:
    return analysis.dataset.predicted.sel(hidden_size=size, seed=seed).transpose("digit", "blank_rows")
