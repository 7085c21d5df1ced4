"""Why accuracy oscillates: saturation pulls the eigenvalues of R onto the unit circle, and one of them sets the period."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from analysis.claims.findings import representatives
from analysis.claims.sample import present
from analysis.statistics.agreement import TOLERANCE, agrees
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, counts, image_rows, period_limits, period_ticks, plain_ticks, sizes, sizes_in_colour
from reports.figures.style import BLUE, GREY, INK, VERMILION, panels, styled

NEEDED = {"saturated_real", "mode_period", "mode_energy", "period_selected", "period_predicted", "period_state", "eigenvalue_real"}
SHORTEST_LADDER = 2  # rows, of the periods shown where there are other lengths
BINS = 24
SPREAD = 1.4  # factor around a length within which its networks are drawn
ASIDE = 0.5  # of the radius: a mode further to the left is named on its left
APART = 0.2  # radians between modes whose periods are both written


def theory(analysis: Analysis) -> Figure | None:
    """Eigenvalues of R and D R, the modes' periods, and measured periods against both predictions."""
    dataset, chosen = analysis.dataset, representatives(analysis.dataset)
    if not chosen or not set(dataset) >= NEEDED or dataset.saturated_real.isnull().all():
        return None  # not measured, or the cell's blank map is of another form
    size, seed = list(chosen.items())[-1]
    network = present(dataset, size).sel(seed=seed)
    predictions = {"leading eigenvalue of R": "period_predicted", "quasi-linear theory": "period_selected"}
    shortest, longest = period_limits(image_rows(dataset))
    with styled():
        figure, ((plane, ladder), scatters) = panels(2, 2, height=2.75)
        _plane(plane, network)
        plane.set_title(f"H = {size}, seed {seed}")
        (_lengths if "length" in dataset.dims else _ladder)(ladder, analysis)
        for axes, (words, name) in zip(scatters, predictions.items(), strict=True):
            right, all_of_them = _against(axes, analysis, name)
            axes.set_title(f"{words}: {right} of {all_of_them} within {TOLERANCE:.0%}")
        scatters[0].legend(loc="lower right", handletextpad=0.1, borderaxespad=0.1)
    frames = [
        pd.DataFrame(
            {"hidden_size": h, "seed": networks.seed.values} | {name: networks[name].values for name in COLUMNS if name in networks}
        )
        for h in sizes(analysis)
        for networks in [present(dataset, h)]
    ]
    return Figure(
        "theory",
        figure,
        f"Why it oscillates. Top left: eigenvalues of R (grey) and of D R (blue), where D holds the gain that saturation "
        f"leaves each unit, in the network of H = {size} nearest the median accuracy; orange: the modes that are left at "
        f"modulus 1, the larger the more of the state's energy they carry; the line is the unit circle. Top right: "
        f"{_ladder_words(dataset)}. Bottom: the period of the state, measured under blank "
        f"rows, against its prediction from R alone; lines: equal, and within {TOLERANCE:.0%}. Periods over {longest} or "
        f"below {shortest} rows, predictions without rotation and states that stand still are drawn at the edge. Networks: "
        f"{counts(analysis)}.",
        "Eigenvalues in the complex plane before and after saturation, a histogram of the modes' periods, and two scatter plots of "
        "measured against predicted periods.",
        pd.concat(frames, ignore_index=True),
    )


COLUMNS = ("period_predicted", "period_quasilinear", "period_selected", "mode_tie", "period_secant", "period_dmd", "period_state")


def _plane(axes: Axes, network: xr.Dataset) -> None:
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(turn), np.sin(turn), color=INK, linewidth=0.7)
    axes.scatter(network.eigenvalue_real, network.eigenvalue_imaginary, s=5, color=GREY, linewidth=0, label="R")
    axes.scatter(network.saturated_real, network.saturated_imaginary, s=5, color=BLUE, linewidth=0, label="D R")
    period, energy = (network[name].values for name in ("mode_period", "mode_energy"))
    angle = np.where(np.isfinite(period), 2 * np.pi / period, 0)
    modulus = network.mode_modulus.values
    for sign in (1, -1):
        axes.scatter(
            modulus * np.cos(angle),
            sign * modulus * np.sin(angle),
            s=160 * np.nan_to_num(energy),
            color=VERMILION,
            alpha=0.75,
            linewidth=0,
            zorder=3,
            label="modes left" if sign > 0 else None,
        )
    named: list[float] = []
    for one, away in zip(period, angle, strict=True):  # the most energy first
        if np.isfinite(one) and all(abs(away - other) > APART for other in named):
            named.append(away)
            place = (1.12 * np.cos(away), 1.12 * np.sin(away))
            side = "left" if np.cos(away) > -ASIDE else "right"
            axes.annotate(f"{one:.1f} rows", (np.cos(away), np.sin(away)), place, fontsize=7, va="center", ha=side)
    reach = 1.1 * float(np.hypot(network.eigenvalue_real, network.eigenvalue_imaginary).fillna(1).max().clip(1))
    axes.set_aspect("equal")
    axes.set(xlabel="real part", ylabel="imaginary part", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    left = -1.2 if all(np.cos(away) > -ASIDE for away in named) else -2.0  # room for what is written there
    axes.set(xlim=(left, max(reach, 1.8)), ylim=(-reach, reach))
    axes.legend(loc="lower left", handletextpad=0.1, borderaxespad=0.1, fontsize=7)


def _ladder(axes: Axes, analysis: Analysis) -> None:
    rows = image_rows(analysis.dataset)
    limits = period_limits(rows)
    edges = np.geomspace(*limits, BINS + 1)
    for h, colour, _ in sizes_in_colour(analysis):
        networks = present(analysis.dataset, h)
        periods, weights = (networks[name].values.ravel() for name in ("mode_period", "mode_energy"))
        known = np.isfinite(periods)
        share, _ = np.histogram(periods[known].clip(*limits), edges, weights=weights[known] / networks.sizes["seed"])
        axes.stairs(100 * share, edges, color=colour, linewidth=1.2, label=f"H = {h}")
    for part in (one for one in (1, 2, 3) if rows / one >= limits[0]):
        axes.axvline(rows / part, color=GREY, linewidth=0.8, linestyle="--", zorder=0.5)
        axes.text(
            rows / part, 1.0, f"T/{part}" if part > 1 else "T", transform=axes.get_xaxis_transform(), ha="center", va="bottom"
        )
    axes.set(xscale="log", xlim=limits, xlabel="period of a mode (rows)", ylabel="energy (%)")
    period_ticks(axes.xaxis, limits)
    axes.legend(loc="upper right", handletextpad=0.3, borderaxespad=0.1)


def _lengths(axes: Axes, analysis: Analysis) -> None:
    """The modes of networks of all lengths, side by side within a length, and the lines of T, T/2 and T/3."""
    lengths = np.sort(analysis.dataset.length.values.astype(float))
    limits = SHORTEST_LADDER, period_limits(int(lengths[-1]))[1]
    shortest, longest = lengths[0] / SPREAD, lengths[-1] * SPREAD
    ends = np.array([shortest, longest])
    for part in (1, 2, 3):
        axes.plot(ends, ends / part, color=GREY, linewidth=0.8, linestyle="--", zorder=0.5)
        axes.text(longest, longest / part, f" T/{part}" if part > 1 else " T", ha="left", va="center")
    side_by_side = np.geomspace(1 / SPREAD**0.5, SPREAD**0.5, 2 * len(sizes(analysis)) + 1)[1::2]
    for (h, colour, marker), shift in zip(sizes_in_colour(analysis), side_by_side, strict=True):
        networks = analysis.dataset.sel(hidden_size=h)
        for length in lengths:
            periods, energy = (networks[f"length_mode_{name}"].sel(length=length).values.ravel() for name in ("period", "energy"))
            axes.scatter(
                np.full(periods.shape, length * shift),
                periods.clip(*limits),
                s=40 * np.nan_to_num(energy),
                marker=marker,
                color=colour,
                alpha=0.5,
                linewidth=0,
            )
        axes.scatter([], [], s=14, marker=marker, color=colour, linewidth=0, label=f"H = {h}")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=limits)
    axes.set(xlabel="rows of a sequence, T", ylabel="period of a mode (rows)")
    plain_ticks(axes.xaxis, [int(length) for length in lengths])
    axes.tick_params(axis="x", which="minor", bottom=False)
    period_ticks(axes.yaxis, limits)
    axes.legend(loc="upper left", handletextpad=0.1, borderaxespad=0.1)


def _ladder_words(dataset: xr.Dataset) -> str:
    if "length" in dataset.dims:
        return (
            "periods of these modes in networks trained on sequences of other lengths T, too, the larger the more energy they "
            "carry; dashed: T, T/2 and T/3"
        )
    return (
        "periods of these modes in all networks, weighed by their share of the energy, each network equally; dashed: the image's "
        f"{image_rows(dataset)} rows, and a half and a third of them"
    )


def _against(axes: Axes, analysis: Analysis, name: str) -> tuple[int, int]:
    """Draws measured against predicted periods; returns how many agree, and of how many."""
    limits = shortest, longest = period_limits(image_rows(analysis.dataset))
    ends = np.array(limits)
    axes.plot(ends, ends, color=INK, linewidth=0.7)
    axes.fill_between(ends, (1 - TOLERANCE) * ends, (1 + TOLERANCE) * ends, color=GREY, alpha=0.25, linewidth=0)
    right = count = 0
    for h, colour, marker in sizes_in_colour(analysis):
        networks = present(analysis.dataset, h)
        predicted, measured = networks[name].values, networks.period_state.values
        right, count = right + int(agrees(predicted, measured).sum()), count + len(predicted)
        shown = (np.nan_to_num(values, nan=longest).clip(shortest, longest) for values in (predicted, measured))
        axes.scatter(
            *shown,
            s=14,
            marker=marker,
            facecolor="none",
            edgecolor=colour,
            linewidth=0.8,
            label=f"H = {h}",
            clip_on=False,
            zorder=3,
        )
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="predicted period (rows)")
    axes.set_ylabel("measured period (rows)")
    for axis in (axes.xaxis, axes.yaxis):
        period_ticks(axis, limits)
    return right, count
