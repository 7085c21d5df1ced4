"""What happens while networks learn: accuracy, the modes that come to modulus 1, and dimensionality, over the epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.claims.sample import present
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, sizes, sizes_in_colour
from reports.figures.style import panels, styled

CURVES = (
    ("test_accuracy_by_epoch", "test accuracy (%)", 100.0),
    ("modes_by_epoch", "modes at modulus 1", 1.0),
    ("participation_peak_by_epoch", "dimensions at the peak", 1.0),
    ("participation_last_by_epoch", "dimensions at the last row", 1.0),
)
MODES = "the number of modes that saturation leaves at modulus 1, from R alone; "
FIRST_TICK = 0.5  # where epoch 0, before training, is drawn on the logarithmic axis


def learning(analysis: Analysis) -> Figure | None:
    """The mean over networks by epoch, with the band where there is one, one line per hidden size."""
    names = [name for name, *_ in CURVES]
    if not set(analysis.dataset) >= set(names) or not sizes(analysis):
        return None
    there = [curve for curve in CURVES if analysis.dataset[curve[0]].notnull().any()]  # a cell may have no modes
    if not there:
        return None
    rows = []
    with styled():
        figure, [row] = panels(len(there), height=2.3)
        for axes, (name, label, scale) in zip(row, there, strict=True):
            for h, colour, _ in sizes_in_colour(analysis):
                curves = present(analysis.dataset, h)[name].transpose("seed", ...)
                epochs = curves[curves.dims[1]].values
                mean = scale * curves.mean("seed").values
                at = np.maximum(epochs, FIRST_TICK)
                axes.plot(at, mean, color=colour, linewidth=1.2, marker="o", markersize=2, label=f"H = {h}")
                if found := analysis.findings.band(name, h):
                    lower, upper = (scale * limit for limit in (found.band.lower, found.band.upper))
                    axes.fill_between(np.maximum(found.steps, FIRST_TICK), lower, upper, color=colour, alpha=0.2, linewidth=0)
                columns = {
                    "hidden_size": h,
                    "curve": name,
                    "epoch": epochs,
                    "mean": mean / scale,
                    "n": curves.notnull().sum("seed").values,
                }
                rows.append(pd.DataFrame(columns))
            _epochs(axes, int(analysis.dataset.epoch_sampled.max()))
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
        figure.legend(*row[0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return Figure(
        "learning",
        figure,
        f"While networks learn: test accuracy; {MODES if any(name == 'modes_by_epoch' for name, *_ in there) else ''}and the "
        "participation ratio of the hidden states of 500 test images, at the row where it is largest and at the last row. Lines: "
        "means over networks; shading: simultaneous 95% bands, where six networks have every value. Epochs 0 (before training), "
        f"the powers of two and the last; the accuracy at every epoch. Networks: {counts(analysis)}.",
        "Four line charts against the epoch: accuracy, number of modes, and two dimensions.",
        pd.concat(rows, ignore_index=True),
    )


def _epochs(axes: Axes, last: int) -> None:
    ticks = [2**power for power in range(last.bit_length())]
    ticks = ticks[:: max(1, len(ticks) // 4)]
    axes.set(xscale="log", xlim=(0.8 * FIRST_TICK, 1.1 * last), xlabel="epoch")
    axes.set_xticks([FIRST_TICK, *ticks], ["0", *map(str, ticks)])
    axes.minorticks_off()
