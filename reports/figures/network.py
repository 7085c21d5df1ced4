"""One network on one page: all its measurements, for its run in the MLflow UI."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.figures.early_classification import confidence_curve
from reports.figures.figure import heat, image_rows, label_ticks, reference, row_ticks, short_names
from reports.figures.spectrum import eigenvalues
from reports.figures.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, WIDTH, styled
from reports.figures.surfaces import accuracy_surface, generalisation_matrix
from study.measurements.attractors import KINDS
from study.schema import by_source, of_source

COLUMNS = 3


def network(record: xr.Dataset) -> Drawing:
    """All panels for which a network's record (`measurements.nc`, or one network of a study's dataset) has the variables."""
    drawn = [(panel, needed) for panel, needed in PANELS.items() if all(_holds(record, name) for name in needed)]
    rows = max(1, -(-len(drawn) // COLUMNS))
    with styled():
        figure = Drawing(figsize=(WIDTH * 1.5, 2.4 * rows), layout="constrained")
        places = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axes, (panel, _) in zip(places, drawn, strict=False):
            panel(axes, record)
        for axes in places[len(drawn) :]:
            axes.set_visible(False)
        figure.suptitle(_title(record), fontsize=9)
    return figure


def _holds(record: xr.Dataset, name: str) -> bool:
    return name in record and bool(np.isfinite(record[name]).any())


def _title(record: xr.Dataset) -> str:
    words = [f"H = {int(record.hidden_size)}, seed {int(record.seed)}" if "seed" in record.coords else "one network"]
    if _holds(record, "test_accuracy"):
        words.append(f"test accuracy {float(record.test_accuracy):.2%}")
    if _holds(record, "attractor_kind"):
        kind = KINDS[int(record.attractor_kind)].replace("_", " ")
        words.append(f"{kind}, reached by {float(record.attractor_share):.0%} of images")
    return "; ".join(words)


def _curve(axes: Axes, curve: xr.DataArray, label: str, colour: str, style: str = "-", scale: float = 1.0) -> None:
    axes.plot(curve[curve.dims[0]], scale * curve.values, color=colour, linestyle=style, label=label)


def _experiments(axes: Axes, record: xr.Dataset) -> None:
    _curve(axes, record.accuracy_blanked, "blank rows follow", BLUE, scale=100)
    _curve(axes, record.accuracy_truncated, "stopped early", VERMILION, "--", 100)
    axes.set(title="experiments 1 and 2", xlabel="rows shown", ylabel="test accuracy (%)", ylim=(0, 102))
    axes.set_xticks(row_ticks(len(record.rows_shown) + 1, len(record.rows_shown)))
    axes.legend()


def _appended(axes: Axes, record: xr.Dataset) -> None:
    axes.plot(record.blank_rows, 100 * record.accuracy_appended, color=INK, linewidth=0.8)
    period = f", period {float(record.period):.1f} rows" if _holds(record, "period") else ""
    axes.set(title=f"experiment 3{period}", xlabel="blank rows after the image", ylabel="test accuracy (%)", ylim=(0, 102))


def _predicted(axes: Axes, record: xr.Dataset) -> None:
    shares = record.predicted.transpose("label", "blank_rows")
    axes.figure.colorbar(heat(axes, shares, (0, 0), upside_down=True), ax=axes, label="images (%)")
    axes.set(title="predicted labels", xlabel="blank rows after the image", ylabel="class")
    label_ticks(axes, record)


def _dimensions(axes: Axes, record: xr.Dataset) -> None:
    _curve(axes, record.pca90, "PCA-90", BLUE)
    _curve(axes, record.pca90_by_label.mean("label"), "PCA-90 by class", SKY, "--")
    if _holds(record, "participation_ratio_corrected"):
        _curve(axes, of_source(record.participation_ratio_corrected), "participation ratio", ORANGE, "-.")
        _curve(axes, of_source(record.twonn_by_group).mean("group"), "TwoNN", GREEN, ":")
    axes.set(title="dimensionality", xlabel="time step", ylabel="dimensions", xticks=row_ticks(image_rows(record)))
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.legend(ncols=2, loc="upper center", handlelength=1.6, columnspacing=1, fontsize=6.5)


def _probes(axes: Axes, record: xr.Dataset) -> None:
    probes = dict(by_source(record.probe_accuracy))
    for source, label, colour, style in (
        ("trained", "probe", BLUE, "-"),
        ("pixels", "pixels", GREY, "-"),
        ("untrained", "untrained", PURPLE, "-."),
        ("permuted", "permuted labels", GREY, ":"),
    ):
        if source in probes:
            _curve(axes, probes[source], label, colour, style, 100)
    _curve(axes, record.readout_accuracy, "readout", VERMILION, "--", 100)
    axes.set(
        title="decoding from the hidden state",
        xlabel="time step",
        ylabel="test accuracy (%)",
        ylim=(0, 145),
        xticks=row_ticks(image_rows(record)),
        yticks=[0, 25, 50, 75, 100],
    )
    axes.legend(ncols=2, loc="upper left", handlelength=1.6, columnspacing=1)


def _neighbours(axes: Axes, record: xr.Dataset) -> None:
    agreement = 100 * record.neighbour_agreement
    axes.plot(agreement.time_step, agreement.values, color=GREY, linewidth=0.5)
    _curve(axes, agreement.mean("label"), "mean", INK)
    if _holds(record, "early_class"):
        label = int(record.early_class)
        _curve(axes, agreement.sel(label=label), f"class {short_names(record)[label]}", VERMILION, "--")
    axes.set(
        title="nearest neighbours of the same class",
        xlabel="time step",
        ylabel="share (%)",
        ylim=(0, 128),
        xticks=row_ticks(image_rows(record)),
        yticks=[0, 25, 50, 75, 100],
    )
    axes.legend(ncols=2, loc="upper left")


def _generalisation(axes: Axes, record: xr.Dataset) -> None:
    axes.figure.colorbar(generalisation_matrix(axes, record.temporal_generalisation), ax=axes, label="test accuracy (%)")
    axes.set(title="temporal generalisation", xlabel="test step (dotted: image ends)")


def _surface(axes: Axes, record: xr.Dataset) -> None:
    axes.figure.colorbar(accuracy_surface(axes, record.accuracy), ax=axes, label="test accuracy (%)")
    axes.set_title("accuracy surface")


def _early(axes: Axes, record: xr.Dataset) -> None:
    confidence_curve(axes, record.early_rows, 100 * record.early_accuracy)
    axes.set(title="early classification", xlabel="mean rows read", ylabel="test accuracy (%)")
    if "time_step" in record.sizes:
        axes.set_xticks([0, *row_ticks(image_rows(record))[1:]])


def _eigenvalues(axes: Axes, record: xr.Dataset) -> None:
    reach = eigenvalues(axes, record)
    axes.set(title="eigenvalues at rest", xlim=(-1.5 * reach, 1.5 * reach), ylim=(-reach, 1.5 * reach))  # room for the legend
    axes.legend(ncols=2, loc="upper left", handletextpad=0.1, columnspacing=1, markerscale=2)


def _lyapunov(axes: Axes, record: xr.Dataset) -> None:
    error = 2 * record.lyapunov_error
    axes.errorbar(record.exponent, record.lyapunov, yerr=error, color=INK, marker="o", markersize=3, linewidth=0.8)
    reference(axes, 0)
    axes.set(title="Lyapunov exponents on the attractor", xlabel="exponent", ylabel="nat per row")


PANELS: dict[Callable[[Axes, xr.Dataset], None], tuple[str, ...]] = {
    _experiments: ("accuracy_blanked", "accuracy_truncated"),
    _appended: ("accuracy_appended",),
    _predicted: ("predicted",),
    _dimensions: ("pca90", "pca90_by_label"),
    _probes: ("probe_accuracy", "readout_accuracy"),
    _neighbours: ("neighbour_agreement",),
    _early: ("early_accuracy", "early_rows"),
    _eigenvalues: ("eigenvalue_real_by_epoch", "eigenvalue_imaginary_by_epoch"),
    _lyapunov: ("lyapunov", "lyapunov_error"),
    _surface: ("accuracy",),
    _generalisation: ("temporal_generalisation",),
}
