"""Eigenvalues of the blank map's Jacobian at rest, and how well they predict what the network does under blank rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from analysis.claims.findings import representatives
from analysis.claims.sample import present
from analysis.statistics.agreement import of_odd_map
from analysis.study_analysis import Analysis
from reports.cells import spectrum_words
from reports.figures.figure import Figure, counts, image_rows, period_limits, period_ticks, reference
from reports.figures.style import BLUE, GREY, INK, SKY, VERMILION, panels, styled
from study.measurements.attractors import KINDS

LOWEST = -1.5  # nat per row, of the exponents shown
SHORTEST = 2  # rows, of the periods shown: an accuracy may have half the state's


def spectrum(analysis: Analysis) -> Figure | None:
    """Eigenvalues at rest before and after training, predicted against measured periods, and Lyapunov exponents, by hidden size."""
    chosen = representatives(analysis.dataset)
    if not chosen or not {"eigenvalue_real_by_epoch", "period_predicted", "period_state", "lyapunov"} <= set(analysis.dataset):
        return None
    if analysis.dataset.eigenvalue_real.isnull().all():
        return None  # the variable says why there is no spectrum
    frames = []
    confirmed = {size: analysis.findings.oscillations[size].confirmed_periods for size in chosen}
    oscillates = bool(analysis.dataset.period_state.notnull().any()) or any(np.isfinite(one).any() for one in confirmed.values())
    longest = _longest(analysis.dataset)
    half = " and half (dashed)" if of_odd_map(analysis.dataset.period_predicted) else ""
    with styled():
        figure, (plane, *periods, exponents) = panels(len(chosen), 2 + oscillates, height=2.3)
        for index, (size, seed) in enumerate(chosen.items()):
            networks = present(analysis.dataset, size)
            _eigenvalue_paths(plane[index], networks.sel(seed=seed))
            plane[index].set_title(f"H = {size}, seed {seed}")
            accuracy = confirmed[size]
            for axes in periods:
                _periods(axes[index], networks, accuracy)
            _exponents(exponents[index], networks)
            frames.append(
                pd.DataFrame(
                    {
                        "hidden_size": size,
                        "seed": networks.seed.values,
                        "spectral_radius": networks.spectral_radius.values,
                        "period_predicted": networks.period_predicted.values,
                        "period_state": networks.period_state.values,
                        "period_accuracy": accuracy,
                        "largest_lyapunov_exponent": networks.lyapunov.isel(exponent=0).values,
                        "attractor": [KINDS[int(kind)] if np.isfinite(kind) else "" for kind in networks.attractor_kind.values],
                    }
                )
            )
        for axes in plane[1:]:
            axes.set_ylabel("")
        exponents[0].set_ylabel("Lyapunov exponent\n(nat per row)")
        figure.legend(*plane[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, handletextpad=0.1, markerscale=2)
        for axes in periods:
            axes[0].set_ylabel("measured period (rows)")
            axes[0].legend(loc="upper left", handletextpad=0.1, borderaxespad=0.1, fontsize=6.5, ncols=2, columnspacing=0.6)
    middle = (
        f"Middle: measured periods of the state and of the accuracy against the period predicted by the leading eigenvalue, all "
        f"networks; lines: equal (solid){half}; periods over {longest} rows, and predictions without rotation, are at the edge."
    )
    return Figure(
        "spectrum",
        figure,
        f"Do the eigenvalues at rest predict the dynamics under blank rows? Top: eigenvalues of {spectrum_words(analysis.dataset)} "
        f"before and after training, the trajectory of the leading eigenvalue over the epochs, and the unit circle, in the network "
        f"of each hidden size nearest the median accuracy. {middle if oscillates else 'No network oscillates.'} Bottom: the "
        f"largest Lyapunov exponents on the attractor that most images reach, one line per network, cut off at {LOWEST:g}. "
        f"Networks: {counts(analysis)}.",
        "For each hidden size the eigenvalues in the complex plane, measured periods against predicted ones, and Lyapunov "
        "exponents.",
        pd.concat(frames, ignore_index=True),
    )


def eigenvalues(axes: Axes, record: xr.Dataset) -> float:
    """The eigenvalues at rest before and after one network's training, and the unit circle; returns the half-width to show."""
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(turn), np.sin(turn), color=GREY, linewidth=0.6)
    real, imaginary = record.eigenvalue_real_by_epoch, record.eigenvalue_imaginary_by_epoch
    axes.scatter(real[0], imaginary[0], s=4, color=SKY, linewidth=0, label="untrained")
    axes.scatter(real[-1], imaginary[-1], s=6, color=VERMILION, marker="^", linewidth=0, label="trained")
    axes.set_aspect("equal")
    axes.set(xlabel="real part", ylabel="imaginary part", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    return 1.15 * float(np.hypot(real, imaginary).fillna(1).max().clip(1))


def _eigenvalue_paths(axes: Axes, record: xr.Dataset) -> None:
    """The eigenvalues, with the trajectory of the leading eigenvalue over the epochs."""
    reach = eigenvalues(axes, record)
    leading = record.isel(mode=0)
    axes.scatter(
        leading.eigenvalue_real_by_epoch,
        np.abs(leading.eigenvalue_imaginary_by_epoch),
        s=3,
        color=INK,
        linewidth=0,
        label="leading, by epoch",
        zorder=0.9,
    )
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))


def _periods(axes: Axes, networks: xr.Dataset, accuracy: np.ndarray) -> None:
    longest = _longest(networks)
    ends = np.array([SHORTEST, longest])
    axes.plot(ends, ends, color=GREY, linewidth=0.7)
    if of_odd_map(networks.period_predicted):
        axes.plot(2 * ends, ends, color=GREY, linewidth=0.7, linestyle="--")
    predicted = np.nan_to_num(networks.period_predicted.values, nan=longest, posinf=longest).clip(max=longest)
    measured = (networks.period_state.values, "state", BLUE, "o"), (accuracy, "accuracy", VERMILION, "^")
    for values, label, colour, marker in measured:
        axes.scatter(
            predicted,
            values.clip(max=longest),
            s=12,
            marker=marker,
            facecolor="none",
            edgecolor=colour,
            linewidth=0.8,
            label=label,
            clip_on=False,
            zorder=3,
        )
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="predicted period (rows)")
    for axis in (axes.xaxis, axes.yaxis):
        period_ticks(axis, (SHORTEST, longest))


def _exponents(axes: Axes, networks: xr.Dataset) -> None:
    axes.plot(networks.exponent, networks.lyapunov.transpose("exponent", "seed"), color=INK, linewidth=0.5, alpha=0.7)
    reference(axes, 0)
    axes.set_ylim(max(LOWEST, axes.get_ylim()[0]))  # a faster contraction is over within a row or two
    last = int(networks.lyapunov.notnull().any("seed").sum())
    axes.set(xlabel="exponent", xticks=[1, *(tick for tick in (5, 10, 15, 20) if tick <= last)])


def _longest(dataset: xr.Dataset) -> int:
    """The longest period shown, in rows; longer ones are drawn at the edge."""
    return period_limits(image_rows(dataset))[1]
